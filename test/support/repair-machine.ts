/**
 * A machine with legs, spares and logs on a virtual clock, one mirror, and the monitor that repairs
 * it: whose power can be cut at any event, and which is then judged by what its record says to
 * load.
 */

import { OK } from '../../src/base/errno.ts';
import { UserError } from '../../src/base/failure.ts';
import type { LogFields } from '../../src/base/log.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Prng } from '../../src/base/prng.ts';
import { silentProbe } from '../../src/base/probe.ts';
import { SECTOR_SIZE, toSector, toSectorCount } from '../../src/base/units.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { runBio } from '../../src/block/run-bio.ts';
import type { RepairMonitorOptions } from '../../src/daemon/repair/repair-monitor.ts';
import { RepairMonitor } from '../../src/daemon/repair/repair-monitor.ts';
import type { RecordedTable, TableRecord } from '../../src/daemon/repair/table-record.ts';
import { LOG_TYPES } from '../../src/dirtylog/log-types.ts';
import { DeviceMap } from '../../src/dm/device-map.ts';
import type { MappedDevice } from '../../src/dm/mapped-device.ts';
import { parseTable, type TableLine, textOf } from '../../src/dm/table-line.ts';
import { TargetTypes } from '../../src/dm/target-types.ts';
import { PLAIN_TARGET_TYPES } from '../../src/dm/targets/all-target-types.ts';
import type { ArmedFault } from '../../src/fault/armed-fault.ts';
import { FaultBoard } from '../../src/fault/fault-board.ts';
import { parseFaultSpec } from '../../src/fault/fault-spec.ts';
import type { FaultableDevice } from '../../src/fault/faultable-device.ts';
import { PowerDomain } from '../../src/fault/power-domain.ts';
import { VolatileCache } from '../../src/fault/volatile-cache.ts';
import { createMirrorTargetType } from '../../src/mirror/mirror-target.ts';
import type { Spare } from '../../src/mirror/repair-table.ts';
import type { DeviceState } from '../../src/sim/machine/device-state.ts';
import { EventTap } from '../../src/sim/machine/event-tap.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';

export const DATA_SECTORS = 32;
export const REGION_SECTORS = 8;
const LIMIT_MS = 60_000;

export type Images = ReadonlyMap<string, Uint8Array>;

export interface RepairMachineOptions {
  /** What each disk holds at power on. */
  readonly images: Images;
  readonly table: readonly TableLine[];
  readonly unsettled?: boolean;
  readonly policies?: RepairMonitorOptions['policies'] | null;
  readonly spares?: readonly string[];
  readonly cutAt?: number;
  readonly seed?: string;
  /** Spares that cannot be opened although they look well. */
  readonly unopenable?: readonly string[];
  /** In the place of the one that remembers. */
  readonly record?: (machine: RepairMachine) => TableRecord;
}

interface Disk {
  readonly medium: MemoryDevice;
  readonly cache: VolatileCache;
  readonly device: FaultableDevice;
}

export class RepairMachine {
  readonly clock = new VirtualClock();
  readonly power = new PowerDomain();
  readonly faults = new FaultBoard(this.clock);
  readonly device: MappedDevice;
  readonly monitor: RepairMonitor | null;
  /** What a start after a cut would load. */
  recorded: RecordedTable;
  /** What the monitor told, by type. */
  readonly told: { readonly type: string; readonly fields: LogFields }[] = [];
  events = 0;
  readonly #disks = new Map<string, Disk>();
  readonly #map: DeviceMap;
  readonly #options: RepairMachineOptions;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: RepairMachineOptions) {
    this.#options = options;
    this.recorded = { lines: options.table, unsettled: options.unsettled ?? false };
    const prng = new Prng(options.seed ?? 'machine');
    for (const [name, image] of options.images) this.#plugIn(name, image, prng.fork(name));
    this.#map = new DeviceMap({
      clock: this.clock,
      log: silentLogger,
      probe: silentProbe,
      targetTypes: new TargetTypes([
        createMirrorTargetType({ logTypes: LOG_TYPES }),
        ...PLAIN_TARGET_TYPES,
      ]),
      opener: { identify: async (name) => name, open: async (name) => this.#open(name) },
      onEvent: (device) => this.monitor?.noticed(device),
    });
    this.device = this.#map.create('data');
    this.monitor = this.#createMonitor();
  }

  /** Ends when the table is live. */
  async start(): Promise<void> {
    await this.device.load(this.recorded.lines);
    await this.device.resume();
    if (this.recorded.unsettled) this.monitor?.startedUnsettled(this.device);
  }

  /** Runs until the work has ended or the power is cut; false: it was cut. */
  async run(work: () => Promise<unknown>): Promise<boolean> {
    let ended = false;
    let failure: unknown = null;
    work().then(
      () => {
        ended = true;
      },
      (error: unknown) => {
        failure = error;
      },
    );
    const isOver = (): boolean => ended || failure !== null || !this.power.on;
    const end = await this.clock.run({ ended: isOver, untilMs: this.clock.now() + LIMIT_MS });
    if (failure !== null && this.power.on) throw failure;
    if (!ended && this.power.on) throw new Error(`The machine is stuck: ${end}`);
    return ended;
  }

  /** Lets everything settle that can. */
  async idle(ms = 50): Promise<void> {
    await new Promise<void>((resolve) => this.clock.after(ms, resolve));
  }

  disk(name: string): FaultableDevice {
    return this.#disks.get(name)!.device;
  }

  fault(name: string, words: string): ArmedFault {
    const underlying = this.disk(name);
    const area = { start: 0, length: underlying.sizeSectors };
    const place = { device: 'data', target: name, underlying, area };
    return this.faults.arm(place, parseFaultSpec(words.split(' ')));
  }

  /** The lines of `dmsetup table` and `status`. */
  async table(): Promise<string> {
    return ((await this.device.liveTable?.status('table')) ?? []).join('\n');
  }

  async status(): Promise<string> {
    return ((await this.device.liveTable?.status('info')) ?? []).join('\n');
  }

  async inSync(): Promise<void> {
    for (;;) {
      const counts = / (\d+)\/(\d+) /.exec(await this.status());
      if (counts === null || counts[1] === counts[2]) return;
      await this.idle(1);
    }
  }

  /** A write, durable when it ends with 0. */
  write(sector: number, fill: number, count = 1): Promise<number> {
    const data = new Uint8Array(count * SECTOR_SIZE).fill(fill);
    return Promise.resolve(
      runBio(this.device, {
        op: 'write',
        sector: toSector(sector),
        count: toSectorCount(count),
        data,
        fua: true,
      }),
    );
  }

  async read(sector: number): Promise<Uint8Array> {
    const data = new Uint8Array(SECTOR_SIZE);
    const place = { sector: toSector(sector), count: toSectorCount(1) };
    const result = await runBio(this.device, { op: 'read', ...place, data });
    if (result !== OK) throw new Error(`Reading sector ${sector} fails with ${result}`);
    return data;
  }

  /** What people do to the device takes turns with repairs. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  event(): void {
    if (!this.power.on) return;
    this.events += 1;
    if (this.events === this.#options.cutAt) this.power.cut();
  }

  states(): DeviceState[] {
    return [...this.#disks].map(([name, { medium, cache }]) => ({
      name,
      durable: medium.bytes.slice(),
      unflushed: cache.unflushed,
      profile: cache.profile,
    }));
  }

  #plugIn(name: string, image: Uint8Array, prng: Prng): void {
    const medium = MemoryDevice.of(image.slice(), name);
    const cache = new VolatileCache(medium, {
      power: this.power,
      timing: { clock: this.clock, delayMs: () => prng.between(1, 5) / 10 },
    });
    const tap = new EventTap(cache, this.power, {
      submitted: () => this.event(),
      ended: () => this.event(),
    });
    this.#disks.set(name, { medium, cache, device: this.faults.wrap(name, tap) });
  }

  #open(name: string): FaultableDevice {
    const disk = this.#disks.get(name);
    if (disk !== undefined && this.#options.unopenable?.includes(name) !== true) {
      return this.faults.wrap(name, disk.device.next);
    }
    throw new UserError('no-device', `Cannot open "${name}": there is no such disk`);
  }

  #createMonitor(): RepairMonitor | null {
    const { policies, spares = [], record } = this.#options;
    if (policies === undefined || policies === null) return null;
    return new RepairMonitor({
      policies,
      record: record?.(this) ?? this.rememberingRecord(),
      inspectSpares: async () => spares.map((name) => this.#inspect(name)),
      clock: this.clock,
      log: silentLogger,
      runInTurn: (_device, work) => this.inTurn(work),
      publish: (type, _device, fields) => void this.told.push({ type, fields }),
    });
  }

  /** The power may go before and behind the moment at which the record changes, and between. */
  rememberingRecord(): TableRecord {
    return {
      check: async () => {},
      put: async (_device, table) => {
        await this.idle(0.1);
        this.event();
        if (this.power.on) this.recorded = table;
        this.event();
        await this.idle(0.1);
      },
    };
  }

  #inspect(name: string): Spare {
    const live = this.device.liveTable?.devices ?? [];
    const problem = live.some((one) => one.name === name) ? 'it is in use' : null;
    const { sizeSectors, logicalBlockSize } = this.disk(name);
    return { device: name, sizeSectors, logicalBlockSize, problem };
  }
}

export function tableOf(text: string): readonly TableLine[] {
  return parseTable(text);
}

export function textOfTable({ lines }: RecordedTable): string {
  return textOf(lines);
}
