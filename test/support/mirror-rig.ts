/** A mapped device over scripted devices on a virtual clock: the stage for the mirror's stories. */

import { isPromise } from '../../src/base/awaitable.ts';
import { ENXIO, type IoResult } from '../../src/base/errno.ts';
import { UserError } from '../../src/base/failure.ts';
import { silentLogger } from '../../src/base/log.ts';
import { type Probe, silentProbe } from '../../src/base/probe.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../../src/base/units.ts';
import type { BioOp } from '../../src/block/bio.ts';
import { runBio } from '../../src/block/run-bio.ts';
import type { DirtyLogType } from '../../src/dirtylog/dirty-log.ts';
import { LOG_TYPES } from '../../src/dirtylog/log-types.ts';
import { MappedDevice } from '../../src/dm/mapped-device.ts';
import { parseTable } from '../../src/dm/table-line.ts';
import { TargetTypes } from '../../src/dm/target-types.ts';
import { PLAIN_TARGET_TYPES } from '../../src/dm/targets/all-target-types.ts';
import { UnderlyingDevices } from '../../src/dm/underlying-devices.ts';
import { createMirrorTargetType, MirrorTarget } from '../../src/mirror/mirror-target.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';
import { ScriptedDevice } from './scripted-device.ts';

/** A request under way: its result as soon as there is one. */
export interface Sent {
  result: IoResult | null;
  data: Uint8Array;
}

export interface RigOptions {
  readonly sectors?: number;
  readonly logSectors?: number;
  readonly logBlockSize?: number;
  readonly legsWithoutDiscard?: readonly string[];
  readonly probe?: Probe;
  /** In place of those of a machine. */
  readonly logTypes?: readonly DirtyLogType[];
  /** Other names of the disks, e.g. 254:0 for leg0. */
  readonly aliases?: ReadonlyMap<string, string>;
}

export class MirrorRig {
  readonly clock = new VirtualClock();
  /** Every request that reached a device, in one order: "leg1 write 0+8". */
  readonly trace: string[] = [];
  readonly #byName = new Map<string, ScriptedDevice>();
  readonly #options: RigOptions;
  readonly device: MappedDevice;

  constructor(options: RigOptions = {}) {
    this.#options = options;
    this.device = new MappedDevice({
      name: 'm',
      clock: this.clock,
      log: silentLogger,
      probe: options.probe ?? silentProbe,
      targetTypes: new TargetTypes([
        createMirrorTargetType({ logTypes: options.logTypes ?? LOG_TYPES }),
        ...PLAIN_TARGET_TYPES,
      ]),
      devices: new UnderlyingDevices({
        identify: async (name) => this.#resolve(name),
        open: async (name) => this.disk(this.#resolve(name)),
      }),
    });
  }

  #resolve(name: string): string {
    const resolved = this.#options.aliases?.get(name) ?? name;
    if (/^(leg\d|spare|log)$/.test(resolved)) return resolved;
    throw new UserError('no-device', `Cannot open "${name}": there is no such device`, {
      errno: ENXIO,
    });
  }

  /** The device of this name: `leg0` to `leg9`, `spare`, `log`. */
  disk(name: string): ScriptedDevice {
    let disk = this.#byName.get(name);
    if (disk === undefined) {
      disk = new ScriptedDevice({
        name,
        sectors: (name === 'log' ? this.#options.logSectors : this.#options.sectors) ?? 64,
        blockSize: name === 'log' ? (this.#options.logBlockSize ?? 512) : 512,
        discard: !(this.#options.legsWithoutDiscard ?? []).includes(name),
        onSeen: (what) => this.trace.push(what),
      });
      this.#byName.set(name, disk);
    }
    return disk;
  }

  wasOpened(name: string): boolean {
    return this.#byName.has(name);
  }

  /** Lets everything happen that can happen without another word from the test. */
  async settle(): Promise<void> {
    await this.clock.run({ ended: () => false, untilMs: Number.POSITIVE_INFINITY });
  }

  /** Carries out a life-cycle operation to its end. */
  async perform<T>(operation: Promise<T>): Promise<T> {
    let ended = false;
    const done = operation.finally(() => {
      ended = true;
    });
    done.catch(() => undefined);
    await this.clock.run({ ended: () => ended, untilMs: Number.POSITIVE_INFINITY });
    if (!ended) throw new Error('The operation does not end');
    return done;
  }

  /** Loads a table and makes it live; `settle` is the caller's. */
  async start(table: string): Promise<void> {
    await this.perform(this.device.load(parseTable(table)));
    await this.perform(this.device.resume());
  }

  /** Suspends, swaps in a table, resumes. */
  async replace(table: string, options: { noflush: boolean }): Promise<void> {
    await this.perform(this.device.suspend(options));
    await this.start(table);
  }

  /** The table is refused; gives the error. */
  async refusal(table: string): Promise<UserError> {
    try {
      await this.perform(this.device.load(parseTable(table)));
    } catch (error) {
      if (error instanceof UserError) return error;
      throw error;
    }
    throw new Error(`The table was accepted: ${table}`);
  }

  async info(): Promise<string> {
    return (await this.device.liveTable!.status('info')).join('\n');
  }

  async table(): Promise<string> {
    return (await this.device.liveTable!.status('table')).join('\n');
  }

  get mirror(): MirrorTarget {
    const target = this.device.liveTable?.targets[0]?.target;
    if (!(target instanceof MirrorTarget)) throw new Error('The live table is no mirror');
    return target;
  }

  send(op: BioOp, sector = 0, count = 0, options: { fill?: number; fua?: boolean } = {}): Sent {
    // As from a socket: some methods of a Buffer are not those of a Uint8Array.
    const data = Buffer.alloc(count * SECTOR_SIZE, options.fill ?? 0);
    const sent: Sent = { result: null, data };
    const outcome = runBio(this.device, {
      op,
      sector: sector as Sector,
      count: count as SectorCount,
      data: op === 'read' || op === 'write' ? data : null,
      fua: options.fua ?? false,
    });
    if (isPromise(outcome)) {
      void outcome.then((result) => {
        sent.result = result;
      });
    } else {
      sent.result = outcome;
    }
    return sent;
  }

  write(sector: number, count: number, fill: number, options: { fua?: boolean } = {}): Sent {
    return this.send('write', sector, count, { fill, ...options });
  }

  read(sector: number, count: number): Sent {
    return this.send('read', sector, count);
  }
}
