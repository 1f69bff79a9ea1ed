/**
 * A machine with five disks and the device mapper, in process and deterministic: what the kernel in
 * a virtual machine is to the recordings in test/golden, this is to us.
 *
 * Disks are memory under a volatile write cache, numbered as virtio disks are; everything a person
 * would type is a `Job`, which may wait for ever. Time is virtual and moves only in `advance`,
 * `done` and `waitInSync`. `powerCut` and `boot` begin a new life over the surviving contents.
 */

import type { IoResult } from '../../src/base/errno.ts';
import { ENODEV, ENXIO, OK } from '../../src/base/errno.ts';
import { UserError } from '../../src/base/failure.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Prng } from '../../src/base/prng.ts';
import { silentProbe } from '../../src/base/probe.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../../src/base/units.ts';
import type { BioOp } from '../../src/block/bio.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { runBio } from '../../src/block/run-bio.ts';
import { Control } from '../../src/control/control.ts';
import type { ControlHost } from '../../src/control/control-host.ts';
import { sendMessage } from '../../src/control/verbs/waiting-commands.ts';
import type { DirtyLogType } from '../../src/dirtylog/dirty-log.ts';
import { LOG_TYPES } from '../../src/dirtylog/log-types.ts';
import { LogChannel } from '../../src/dirtylog/userspace/log-channel.ts';
import { createUserspaceLogType } from '../../src/dirtylog/userspace/userspace-log.ts';
import { DeviceMap } from '../../src/dm/device-map.ts';
import { isDeviceNumber } from '../../src/dm/device-numbers.ts';
import { MappedDevice } from '../../src/dm/mapped-device.ts';
import { parseTable } from '../../src/dm/table-line.ts';
import type { StatusKind } from '../../src/dm/target.ts';
import { TargetTypes } from '../../src/dm/target-types.ts';
import { PLAIN_TARGET_TYPES } from '../../src/dm/targets/all-target-types.ts';
import { PowerDomain } from '../../src/fault/power-domain.ts';
import type { Fate, UnflushedWrite } from '../../src/fault/unflushed-write.ts';
import { VolatileCache } from '../../src/fault/volatile-cache.ts';
import { createMirrorTargetType } from '../../src/mirror/mirror-target.ts';
import { GOOD_DAY, LogWire } from '../../src/sim/machine/log-wire.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';
import { createUlogd, UlogdTranscript } from './golden-run/ulogd.ts';

/** Three legs, a spare one and a log, as the recorder's machine has them. */
const DISK_PATHS = ['/dev/vda', '/dev/vdb', '/dev/vdc', '/dev/vdd', '/dev/vde'] as const;
const LOG_PATH = '/dev/vde';
const LEG_SECTORS = 65536;
const LOG_SECTORS = 2048;

/** How long a disk takes for any request: short, but never at once. */
const REQUEST_MS = 0.01;
/** A command that has not ended after this long hangs. */
const HANGING_MS = 30_000;
const POLL_MS = 100;

export interface EmulatedMachineOptions {
  readonly legSectors?: number;
  readonly logSectors?: number;
}

interface Disk {
  readonly path: string;
  readonly number: string | undefined;
  readonly medium: MemoryDevice;
  cache: VolatileCache;
}

/** Something under way: its value or its error as soon as there is one. */
export interface Job<T> {
  readonly what: string;
  ended: boolean;
  value?: T;
  error?: unknown;
  /** For work that is itself a job; the machine must be run meanwhile. */
  readonly promise: Promise<T>;
}

export interface IoAnswer {
  readonly result: IoResult;
  /** What was read, or written. */
  readonly data: Uint8Array | null;
}

export interface IoOptions {
  readonly op: BioOp;
  readonly sector?: number;
  readonly count?: number;
  /** What to write; or `fill`, in every byte. */
  readonly data?: Uint8Array;
  readonly fill?: number;
  readonly fua?: boolean;
}

/** What becomes of a write at a power cut. */
export type DecideFate = (write: UnflushedWrite) => Fate;

/** As a virtual disk in the page cache of its host: what has ended is kept, flushed or not. */
const keepEnded: DecideFate = (write) => (write.ended ? 'kept' : 'lost');
/** The worst that an honest disk may do. */
export const loseUnflushed: DecideFate = () => 'lost';

export class EmulatedMachine {
  readonly #disks: Disk[] = [];
  #clock = new VirtualClock();
  #power = new PowerDomain();
  #map: DeviceMap | null = null;
  #wire: LogWire | null = null;
  #requests = new UlogdTranscript();
  #control: Control | null = null;

  /** A machine with zeroed disks, booted. */
  static async create(options: EmulatedMachineOptions = {}): Promise<EmulatedMachine> {
    const machine = new EmulatedMachine();
    for (const path of DISK_PATHS) {
      const isLog = path === LOG_PATH;
      const sizeSectors = isLog
        ? (options.logSectors ?? LOG_SECTORS)
        : (options.legSectors ?? LEG_SECTORS);
      machine.#plugIn(new MemoryDevice({ name: path, sizeSectors }), undefined);
    }
    await machine.boot();
    return machine;
  }

  get map(): DeviceMap {
    if (this.#map === null) throw new Error('The machine is off');
    return this.#map;
  }

  /** The control plane over the same devices. */
  get control(): Control {
    if (this.#control === null) throw new Error('The machine is off');
    return this.#control;
  }

  get nowMs(): number {
    return this.#clock.now();
  }

  /** One more disk, of zeros, with a number of its own: a loop device, say. */
  async addDisk(options: {
    path: string;
    number: string;
    sizeSectors: number;
    logicalBlockSize?: number;
  }): Promise<void> {
    const { path, number, ...rest } = options;
    this.#plugIn(new MemoryDevice({ name: path, ...rest }), number);
    await this.map.notice(path, number);
  }

  // --- devices by name; every error is a UserError in the job ---------------

  /** Creates, loads and resumes, as one command; where the table is refused nothing stays. */
  createDevice(
    name: string,
    table: string,
    options: { uuid?: string; readOnly?: boolean } = {},
  ): Job<void> {
    return this.start(`create ${name}`, async () => {
      const device = this.map.create(name, options);
      try {
        await device.load(parseTable(table));
        await device.resume();
      } catch (error) {
        await this.map.remove(device);
        throw error;
      }
    });
  }

  load(name: string, table: string): Job<void> {
    return this.start(`load ${name}`, async () => this.map.get(name).load(parseTable(table)));
  }

  clear(name: string): Job<void> {
    return this.start(`clear ${name}`, async () => this.map.get(name).clear());
  }

  suspend(name: string, options: { noflush: boolean }): Job<void> {
    return this.start(`suspend ${name}`, async () => this.map.get(name).suspend(options));
  }

  resume(name: string): Job<void> {
    return this.start(`resume ${name}`, async () => this.map.get(name).resume());
  }

  remove(name: string): Job<void> {
    return this.start(`remove ${name}`, async () => this.map.remove(this.map.get(name)));
  }

  message(name: string, sector: number, words: readonly string[]): Job<string> {
    return this.start(`message ${name}`, async () =>
      sendMessage(this.map.get(name), sector, words),
    );
  }

  /** The lines of `dmsetup status` (`info`) or `dmsetup table`, devices by their numbers. */
  lines(name: string, kind: StatusKind): Job<readonly string[]> {
    return this.start(`${kind} ${name}`, async () => {
      const table = this.map.get(name).liveTable;
      return table === null ? [] : table.status(kind, this.map.byNumber);
    });
  }

  eventNumber(name: string): number {
    return this.map.get(name).eventNumber;
  }

  /** `253:0` and so on. */
  numberOf(name: string): string {
    return this.map.numberOf(this.map.get(name));
  }

  // --- the log server ---------------------------------------------------------

  /** Until then no userspace log can be made. */
  startLogServer(): void {
    this.#wire?.serve(createUlogd());
  }

  /** What it was asked since the machine was switched on, a line for each request. */
  get logRequests(): readonly string[] {
    return this.#requests.lines;
  }

  // --- requests ---------------------------------------------------------------

  /** A disk by its path, or a mapped device by name or path. */
  device(path: string): BlockDevice {
    return this.#disks.find((disk) => disk.path === path)?.cache ?? this.map.get(path);
  }

  hasDevice(path: string): boolean {
    return this.#disks.some((disk) => disk.path === path) || this.map.find(path) !== null;
  }

  /** Sends one request past all caches; the device is in use until it ends. */
  send(path: string, options: IoOptions): Job<IoAnswer> {
    const count = options.count ?? 0;
    return this.start(`${options.op} ${path}`, async () => {
      const device = this.device(path);
      const data = payloadOf(options, count);
      if (device instanceof MappedDevice) device.opened();
      const result = await runBio(device, {
        op: options.op,
        sector: (options.sector ?? 0) as Sector,
        count: count as SectorCount,
        data,
        fua: options.fua ?? false,
      });
      if (device instanceof MappedDevice) device.released();
      return { result, data };
    });
  }

  /** The bytes of some sectors, which can be read. */
  async bytes(path: string, sector: number, count: number): Promise<Uint8Array> {
    const { result, data } = await this.done(this.send(path, { op: 'read', sector, count }));
    if (result !== OK) throw new Error(`Cannot read ${path}, sector ${sector}: errno ${result}`);
    return data!;
  }

  // --- time ---------------------------------------------------------------------

  /** Begins something that may take time, or for ever. */
  start<T>(what: string, work: () => Promise<T>): Job<T> {
    const promise = work();
    const job: Job<T> = { what, ended: false, promise };
    void promise.then(
      (value) => {
        job.value = value;
        job.ended = true;
      },
      (error: unknown) => {
        job.error = error;
        job.ended = true;
      },
    );
    return job;
  }

  /** Runs the machine until the job has ended, or for so long. True: it has. */
  async wait(job: Job<unknown>, limitMs: number): Promise<boolean> {
    const untilMs = this.nowMs + limitMs;
    await this.#clock.advance({ ended: () => job.ended, untilMs });
    return job.ended;
  }

  /** Runs the machine until the job has ended, and gives its value. @throws its error */
  async done<T>(job: Job<T>): Promise<T> {
    if (!(await this.wait(job, HANGING_MS))) throw new Error(`"${job.what}" does not end`);
    if (job.error !== undefined) throw job.error;
    return job.value as T;
  }

  async advance(ms: number): Promise<void> {
    await this.#clock.advance({ ended: () => false, untilMs: this.nowMs + ms });
  }

  /** Waits until all regions of a mirror are in sync; false when that does not happen. */
  async waitInSync(name: string, limitMs = HANGING_MS): Promise<boolean> {
    for (const until = this.nowMs + limitMs; this.nowMs < until; await this.advance(POLL_MS)) {
      const [line = ''] = await this.done(this.lines(name, 'info'));
      const counts = / (\d+)\/(\d+) /.exec(line);
      if (counts === null || counts[1] === counts[2]) return counts !== null;
    }
    return false;
  }

  // --- power --------------------------------------------------------------------

  /** From now on nothing that runs has any effect on a disk. */
  async powerCut(decide: DecideFate = keepEnded): Promise<void> {
    this.#power.cut();
    for (const disk of this.#disks) await disk.cache.crash(decide);
    this.#map = null;
    this.#control = null;
  }

  /** Switched on: no mapped devices, time from zero, disks with what they hold. */
  async boot(): Promise<void> {
    this.#clock = new VirtualClock();
    this.#power = new PowerDomain();
    for (const disk of this.#disks) disk.cache = this.#cacheOver(disk.medium);
    this.#map = new DeviceMap({
      clock: this.#clock,
      log: silentLogger,
      probe: silentProbe,
      targetTypes: new TargetTypes([
        createMirrorTargetType({ logTypes: [...LOG_TYPES, this.#userspaceLogType()] }),
        ...PLAIN_TARGET_TYPES,
      ]),
      opener: {
        identify: async (name) => this.#find(name).path,
        open: async (name) => this.#find(name).cache,
      },
    });
    this.#control = new Control(controlHost(this.#map, this.#clock));
    for (const { path, number } of this.#disks) await this.#map.notice(path, number);
  }

  #userspaceLogType(): DirtyLogType {
    this.#requests = new UlogdTranscript();
    this.#wire = new LogWire({
      clock: this.#clock,
      prng: new Prng(0),
      faults: GOOD_DAY,
      tap: this.#requests.tap,
    });
    return createUserspaceLogType(
      new LogChannel({
        transport: this.#wire,
        clock: this.#clock,
        log: silentLogger,
        firstLuid: 1n,
      }),
    );
  }

  #plugIn(medium: MemoryDevice, number: string | undefined): void {
    this.#disks.push({ path: medium.name, number, medium, cache: this.#cacheOver(medium) });
  }

  #cacheOver(medium: MemoryDevice): VolatileCache {
    const timing = { clock: this.#clock, delayMs: () => REQUEST_MS };
    return new VolatileCache(medium, { power: this.#power, timing });
  }

  #find(path: string): Disk {
    const found = this.#disks.find((disk) => disk.path === path);
    if (found !== undefined) return found;
    throw new UserError('no-device', `Cannot open "${path}": there is no such device`, {
      errno: isDeviceNumber(path) ? ENXIO : ENODEV,
    });
  }
}

function payloadOf({ op, data, fill }: IoOptions, count: number): Uint8Array | null {
  if (op !== 'read' && op !== 'write') return null;
  return data ?? new Uint8Array(count * SECTOR_SIZE).fill(fill ?? 0);
}

/** For the verbs of dmsetup: nobody is connected, and what else a daemon has is not asked for. */
function controlHost(devices: DeviceMap, clock: VirtualClock): ControlHost {
  return {
    devices,
    exports: {
      show: () => undefined,
      hide: async () => undefined,
      renamed: () => undefined,
      clientsOf: () => 0,
    },
    clock,
    log: silentLogger,
    version: '0',
    instance: 'emulated',
    detailsOf: async () => null,
  } as Partial<ControlHost> as ControlHost;
}
