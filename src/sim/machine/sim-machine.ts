/**
 * One life of a simulated machine: devices in one power domain, from switching on to a power cut or
 * an orderly end.
 *
 * Every point passed by the program and every submission and completion of its devices is an
 * *event*; events are counted from 1, and the power goes at the one that was asked for. Rebooting
 * is making another machine over what `imagesAfter` says survived; nothing of a dead machine
 * reaches the new one.
 */

import type { IoResult } from '../../base/errno.ts';
import { errnoName, OK } from '../../base/errno.ts';
import { Prng } from '../../base/prng.ts';
import { POINTS, type PointName, type Probe } from '../../base/probe.ts';
import { SECTOR_SIZE } from '../../base/units.ts';
import { type Bio, type BioOp, isWriteOp } from '../../block/bio.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import { CheckedDevice } from '../../block/checked-device.ts';
import { MemoryDevice } from '../../block/memory-device.ts';

import { DelayFilter } from '../../fault/delay-filter.ts';
import { DEVICE_PROFILES } from '../../fault/device-profile.ts';
import { ErrorFilter } from '../../fault/error-filter.ts';
import { type CrashPoint, Failpoint } from '../../fault/failpoint.ts';
import { PauseFilter } from '../../fault/pause-filter.ts';
import { PowerDomain } from '../../fault/power-domain.ts';
import type { Fate } from '../../fault/unflushed-write.ts';
import { VolatileCache } from '../../fault/volatile-cache.ts';
import type { Finding } from '../findings.ts';
import { contentsAfter, type DeviceState } from './device-state.ts';
import { EventTap } from './event-tap.ts';
import {
  LOG_DEVICE,
  legDevice,
  type MachineImages,
  type MachineSetup,
  type MirrorTable,
} from './machine-setup.ts';
import type { SimStack, StackFactory } from './sim-stack.ts';
import { VirtualClock } from './virtual-clock.ts';

export interface SimDevice {
  readonly name: string;
  /** -1 for the log. */
  readonly leg: number;
  readonly medium: Uint8Array;
  readonly cache: VolatileCache;
  readonly errors: ErrorFilter;
  readonly delays: DelayFilter;
  readonly pauses: PauseFilter;
  readonly top: BlockDevice;
}

/** What checkers may want to hear while the machine lives. */
export interface MachineListener {
  legSubmitted?(machine: SimMachine, leg: number, bio: Bio): void;
  legEnded?(machine: SimMachine, leg: number, bio: Bio, result: IoResult): void;
  pointReached?(machine: SimMachine, point: PointName, leg: number, region: number): void;
}

export interface MachineOptions {
  readonly setup: MachineSetup;
  readonly images: MachineImages;
  /** Decides how long each request takes, and with it who overtakes whom. */
  readonly seed: string;
  readonly stackFactory: StackFactory;
  /** The event, or the named point, at which the power goes; never when absent. */
  readonly cutAt?: number | CrashPoint;
  readonly listeners?: readonly MachineListener[];
  /** Gets one line for each event. */
  readonly trace?: (line: string) => void;
}

export class SimMachine {
  readonly clock = new VirtualClock();
  readonly power = new PowerDomain();
  readonly devices: readonly SimDevice[];
  readonly setup: MachineSetup;
  /** The images the machine was switched on with. */
  readonly booted: MachineImages;
  readonly findings: Finding[] = [];
  /** Requests that failed on a leg, each with the region it went to; -1 for a flush. */
  readonly strikes: { leg: number; op: BioOp; region: number }[] = [];
  /** Legs to which a write was sent and to no other, with its region. */
  readonly sentAlone: { leg: number; region: number }[] = [];
  readonly #options: MachineOptions;
  #events = 0;
  #dispatched = { leg: -1, region: -1 };
  #table: MirrorTable;
  #stack: SimStack | null = null;
  readonly #failpoint: Failpoint | null = null;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.setup = options.setup;
    this.booted = options.images;
    this.#table = options.setup.table;
    if (typeof options.cutAt === 'object') {
      this.#failpoint = new Failpoint(options.cutAt, () => this.#cut());
    }
    const { legs, log } = options.images;
    this.devices = [
      ...legs.map((image, leg) => this.#makeDevice(legDevice(leg), leg, image)),
      this.#makeDevice(LOG_DEVICE, -1, log),
    ];
  }

  /** How many events have happened. */
  get events(): number {
    return this.#events;
  }

  get stack(): SimStack {
    if (this.#stack === null) throw new Error('The machine has not started');
    return this.#stack;
  }

  /** The table as the operator has it on record: what a reboot would load. */
  get table(): MirrorTable {
    return this.#table;
  }

  get legs(): readonly SimDevice[] {
    return this.devices.filter((device) => device.leg >= 0);
  }

  get log(): SimDevice {
    return this.devices[this.devices.length - 1]!;
  }

  /** Did any armed error strike? Then half of what holds of healthy machines does not. */
  get faulted(): boolean {
    return this.devices.some((device) => device.errors.rules.some((rule) => rule.fired > 0));
  }

  async start(): Promise<void> {
    this.#stack = await this.#options.stackFactory({
      clock: this.clock,
      probe: this.#probe,
      table: this.#table,
      devices: new Map(this.devices.map((device) => [device.name, device.top])),
    });
  }

  async reload(table: MirrorTable, options: { noflush: boolean }): Promise<void> {
    // An operator changes the record before the running device.
    this.#table = table;
    this.event(`reload ${table.legs.join(' ')}`);
    await this.stack.reload(table, options);
  }

  /** One more event; the power may go now. */
  event(text: string): void {
    if (!this.power.on) return;
    this.#events += 1;
    this.#options.trace?.(`${this.#events} ${this.clock.now().toFixed(2)} ${text}`);
    if (this.#events === this.#options.cutAt) this.#cut();
  }

  find(finding: Finding): void {
    this.#options.trace?.(`! ${finding.checker}: ${finding.message}`);
    this.findings.push(finding);
  }

  stateOf(device: SimDevice): DeviceState {
    return {
      name: device.name,
      durable: device.medium,
      unflushed: device.cache.unflushed,
      profile: device.cache.profile,
    };
  }

  /** The state of every device, legs first, the log last. */
  states(): DeviceState[] {
    return this.devices.map((device) => ({
      ...this.stateOf(device),
      durable: device.medium.slice(),
    }));
  }

  /** What a reader of the device would see: everything that has ended, durable or not. */
  visible(device: SimDevice): Uint8Array {
    const state = this.stateOf(device);
    return contentsAfter(
      state,
      state.unflushed.map((write) => (write.ended ? 'kept' : 'lost')),
    );
  }

  visibleImages(): MachineImages {
    return {
      legs: this.legs.map((leg) => this.visible(leg)),
      log: this.visible(this.log),
    };
  }

  #cut(): void {
    this.#options.trace?.(`${this.#events} ${this.clock.now().toFixed(2)} power cut`);
    this.power.cut();
  }

  readonly #probe: Probe = {
    reached: (point, leg, region) => {
      if (!this.power.on) return;
      for (const listener of this.#options.listeners ?? []) {
        listener.pointReached?.(this, point, leg, region);
      }
      if (point === 'W6') this.#noteDispatch(leg, region);
      const place = `${leg < 0 ? '' : `.${leg}`}${region < 0 ? '' : `@${region}`}`;
      this.event(`${point}${place} ${POINTS[point]}`);
      if (this.power.on) this.#failpoint?.reached(point, leg, region);
    },
  };

  /** A fan-out sends to legs 0, 1, … in a row; what does not belong to such a row goes alone. */
  #noteDispatch(leg: number, region: number): void {
    const last = this.#dispatched;
    this.#dispatched = { leg, region };
    const isNext = last.leg === leg - 1 && last.region === region;
    if (leg > 0 && !isNext) this.sentAlone.push({ leg, region });
    const wasAlone = last.leg >= 0 && last.leg < this.table.legs.length - 1 && !isNext;
    if (wasAlone) this.sentAlone.push(last);
  }

  #makeDevice(name: string, leg: number, image: Uint8Array): SimDevice {
    const { setup, seed } = this.#options;
    const memory = MemoryDevice.of(image, name);
    const prng = new Prng(`${seed}/${name}`);
    const cache = new VolatileCache(memory, {
      profile: DEVICE_PROFILES[leg < 0 ? setup.logProfile : setup.legProfile],
      power: this.power,
      // Always later, never at once: a request that is answered at once is never in flight.
      timing: { clock: this.clock, delayMs: () => prng.between(1, 5) / 10 },
      discard: setup.discards[leg] ?? 'zeroes',
    });
    const delays = new DelayFilter(cache, this.clock);
    const pauses = new PauseFilter(delays);
    const errors = new ErrorFilter(pauses);
    const tap = new EventTap(errors, this.power, {
      submitted: (bio) => this.#submitted(name, leg, bio),
      ended: (bio, result) => this.#ended(name, leg, bio, result),
    });
    // The program's side of the device contract is checked as well.
    const top = new CheckedDevice(tap, { checksums: true });
    return { name, leg, medium: memory.bytes, cache, errors, delays, pauses, top };
  }

  #submitted(name: string, leg: number, bio: Bio): void {
    for (const listener of this.#options.listeners ?? []) {
      if (leg >= 0) listener.legSubmitted?.(this, leg, bio);
    }
    this.event(`${name} ${describeBio(bio)} submitted`);
  }

  #ended(name: string, leg: number, bio: Bio, result: IoResult): void {
    for (const listener of this.#options.listeners ?? []) {
      if (leg >= 0) listener.legEnded?.(this, leg, bio, result);
    }
    if (leg >= 0 && result !== OK) {
      const region = Math.floor(bio.sector / this.table.regionSizeSectors);
      this.strikes.push({ leg, op: bio.op, region: bio.op === 'flush' ? -1 : region });
    }
    this.event(`${name} ${describeBio(bio)} ended ${result === OK ? 'OK' : errnoName(result)}`);
  }
}

/**
 * The durable contents of all devices, if the unflushed writes (device by device) have these fates.
 */
export function imagesAfter(states: readonly DeviceState[], fates: readonly Fate[]): MachineImages {
  let used = 0;
  const images = states.map((state) => {
    const own = fates.slice(used, used + state.unflushed.length);
    used += state.unflushed.length;
    return contentsAfter(state, own);
  });
  return { legs: images.slice(0, -1), log: images[images.length - 1]! };
}

export function describeBio(bio: Bio): string {
  if (bio.op === 'flush') return 'flush';
  const fua = bio.fua && isWriteOp(bio.op) ? ' fua' : '';
  return `${bio.op} ${bio.sector}+${bio.count}${fua}`;
}

export function emptyImage(sectors: number): Uint8Array {
  return new Uint8Array(sectors * SECTOR_SIZE);
}
