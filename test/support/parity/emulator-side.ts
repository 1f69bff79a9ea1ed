/**
 * Runs a program's commands in the emulator, in process and on a virtual clock, and tells as
 * guest.c does.
 */

import { EINVAL, ENODEV, EOPNOTSUPP, type IoResult, OK } from '../../../src/base/errno.ts';
import { UserError } from '../../../src/base/failure.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { silentProbe } from '../../../src/base/probe.ts';
import { SECTOR_SIZE, toSector, toSectorCount } from '../../../src/base/units.ts';
import { Bio, type BioOp } from '../../../src/block/bio.ts';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { DeviceMap } from '../../../src/dm/device-map.ts';
import type { MappedDevice } from '../../../src/dm/mapped-device.ts';
import { MappedDeviceHandle } from '../../../src/dm/mapped-device-handle.ts';
import type { Table } from '../../../src/dm/table.ts';
import { parseTable } from '../../../src/dm/table-line.ts';
import type { TargetType } from '../../../src/dm/target.ts';
import { TargetTypes } from '../../../src/dm/target-types.ts';
import { PLAIN_TARGET_TYPES } from '../../../src/dm/targets/all-target-types.ts';
import type { VirtualClock } from '../../../src/sim/machine/virtual-clock.ts';
import { lateTargetType, racingMirrorType } from './kernel-races.ts';
import { describeSectors, describeWords, fillSectors } from './patterns.ts';
import { LateClock, Timing } from './timing.ts';

/** Programs use less. */
const DISK_SECTORS = 65536;
/** Virtual time in which anything that will ever end has ended. */
const PATIENCE_MS = 1_000_000;
const OPS: Readonly<Record<string, BioOp>> = {
  ...{ r: 'read', w: 'write', u: 'write', f: 'flush', d: 'discard' },
};

/** Of the guest's disk, which is a file, in sectors. */
const GRANULARITY = 8;

function bioPlace(sector: number, count: number): Pick<Bio, 'sector' | 'count'> {
  return { sector: toSector(sector), count: toSectorCount(count) };
}

export interface EmulatorOptions {
  /** The mirror; another one to plant a difference. */
  readonly mirrorType?: TargetType;
  /** How long things take; nothing takes long by default. */
  readonly timing?: Timing;
}

/** The lines of the transcript, behind the line with the program's name. */
export async function runInEmulator(
  commands: readonly string[],
  options: EmulatorOptions = {},
): Promise<string[]> {
  return new EmulatorRun(options).run(commands);
}

interface Request {
  readonly id: string;
  readonly op: BioOp | 'suspend';
  readonly device: MappedDevice;
  readonly data: Uint8Array | null;
  result: number | null;
  reported: boolean;
}

class EmulatorRun {
  readonly #timing: Timing;
  readonly #clock: VirtualClock;
  readonly #disk = new MemoryDevice({ name: 'disk', sizeSectors: DISK_SECTORS });
  readonly #map: DeviceMap;
  readonly #lines: string[] = [];
  readonly #requests: Request[] = [];
  readonly #opened = new Set<MappedDevice>();
  readonly #labels = new Map<string, string>();

  constructor({ mirrorType, timing = new Timing() }: EmulatorOptions) {
    const clock = new LateClock(timing);
    const racing = { clock, timing, note: (line: string) => this.#lines.push(line) };
    const types = [...PLAIN_TARGET_TYPES, mirrorType ?? racingMirrorType(racing)];
    this.#timing = timing;
    this.#clock = clock;
    this.#map = new DeviceMap({
      clock,
      log: silentLogger,
      probe: silentProbe,
      targetTypes: new TargetTypes(types.map((type) => lateTargetType(type, racing))),
      opener: {
        identify: async (name) => {
          if (name === '/disk') return name;
          throw new UserError('no-device', `There is no ${name}`, { errno: ENODEV });
        },
        open: async () => lateDevice(this.#disk, clock, timing),
      },
    });
  }

  async run(commands: readonly string[]): Promise<string[]> {
    try {
      for (const line of commands) await this.#command(line);
    } catch (error) {
      this.#lines.push(`! ${String(error)}`);
    }
    return this.#lines;
  }

  async #command(line: string): Promise<void> {
    const [verb = '', name = '', ...rest] = line.split(' ');
    const [one = 0, two = 0] = rest.map(Number);
    if (verb === 'program' || verb === 'end' || verb === 'watch') return;
    if (verb === 'step') this.#beginStep(line, Number(name));
    else if (verb === 'fill') this.#fill(Number(name), one, Number.parseInt(rest[1]!, 16));
    else if (verb === 'contents') this.#label(name, describeSectors(this.#sectors(one, two)));
    else if (verb === 'bytes') this.#label(name, describeWords(this.#sectors(one, two)));
    else if (verb === 'io') this.#request(name, rest);
    else if (verb === 'observe') await this.#observe(name);
    else await this.#change(verb, name, rest.join(' '));
  }

  #beginStep(line: string, step: number): void {
    this.#timing.beginStep(step);
    this.#lines.push(line);
  }

  // --- the disk
  // -----------------------------------------------------------------------------------

  #sectors(start: number, count: number): Uint8Array {
    return this.#disk.bytes.subarray(start * SECTOR_SIZE, (start + count) * SECTOR_SIZE);
  }

  #fill(start: number, count: number, tag: number): void {
    const sectors = this.#sectors(start, count);
    if (tag === 0) sectors.fill(0);
    else fillSectors(sectors, tag, 0);
  }

  #label(name: string, text: string): void {
    if (this.#labels.get(name) === text) return;
    this.#labels.set(name, text);
    this.#lines.push(`c ${name} ${text}`);
  }

  // --- devices
  // ------------------------------------------------------------------------------------

  async #change(verb: string, name: string, rest: string): Promise<void> {
    let errno: number | null = null;
    const note = (error: unknown): void => {
      if (!(error instanceof UserError)) throw error;
      errno = error.errno ?? EINVAL;
    };
    let failure: unknown = null;
    const work = this.#verb(verb, name, rest)
      .then(() => {
        errno = OK;
      }, note)
      .catch((error: unknown) => {
        failure = error ?? 'failed';
      });
    const end = await this.#runUntil(() => errno !== null || failure !== null);
    if (end === 'idle') throw new Error(`${verb} ${name} hangs`);
    await work;
    if (failure !== null) throw failure;
    if (errno !== OK) this.#lines.push(`r ${verb} ${name} ${errno}`);
  }

  async #verb(verb: string, name: string, rest: string): Promise<void> {
    if (verb === 'create') {
      this.#map.create(name);
      return;
    }
    const device = this.#map.get(name);
    const noflush = rest === 'noflush';
    if (verb === 'load') await device.load(parseTable(tableText(rest)));
    else if (verb === 'clear') await device.clear();
    else if (verb === 'suspend') await device.suspend({ noflush });
    else if (verb === 'resume') await device.resume();
    else if (verb === 'remove') await this.#remove(device);
    else throw new Error(`Unknown command ${verb}`);
  }

  async #remove(device: MappedDevice): Promise<void> {
    const isWaiting = this.#requests.some((one) => one.device === device && one.result === null);
    if (!isWaiting && this.#opened.delete(device)) device.released();
    await this.#map.remove(device);
  }

  // --- requests
  // -----------------------------------------------------------------------------------

  #request(letter: string, words: readonly string[]): void {
    const [id = '', name = '', sectorWord, countWord, tag = ''] = words;
    const [sector, count] = [Number(sectorWord), Number(countWord)];
    const device = this.#map.find(name);
    if (device === null || !this.#open(device)) {
      this.#lines.push(`i ${id} no-device`);
      return;
    }
    if (sector + count > device.sizeSectors) {
      this.#lines.push(`i ${id} beyond`);
      return;
    }
    if (letter === 's' || letter === 'n') {
      this.#suspendBeside(id, device, letter === 'n');
      return;
    }
    const op = OPS[letter]!;
    if (op === 'discard' && this.#isDiscarding(device)) {
      this.#lines.push(`i ${id} busy`);
      return;
    }
    const data = op === 'read' || op === 'write' ? new Uint8Array(count * SECTOR_SIZE) : null;
    if (op === 'write') fillSectors(data!, Number.parseInt(tag, 16), sector);
    const request: Request = { id, op, device, data, result: null, reported: false };
    this.#requests.push(request);
    if (op === 'discard') this.#discard(request, device, { sector, count });
    else {
      const fua = letter === 'u';
      const onEnd = (_bio: Bio, result: IoResult): void => {
        if (fua && result === OK) this.#flushBehind(request);
        else request.result = result;
      };
      device.submit(new Bio({ op, ...bioPlace(sector, count), data, fua, onEnd }));
    }
  }

  /** As the kernel does behind a write of O_DSYNC. */
  #flushBehind(request: Request): void {
    const onEnd = (_bio: Bio, result: IoResult): void => {
      request.result = result;
    };
    const place = bioPlace(0, 0);
    request.device.submit(new Bio({ op: 'flush', ...place, data: null, fua: false, onEnd }));
  }

  #suspendBeside(id: string, device: MappedDevice, noflush: boolean): void {
    const common = { id, device, data: null, reported: false };
    const request: Request = { ...common, op: 'suspend', result: null };
    this.#requests.push(request);
    void device.suspend({ noflush }).then(() => {
      request.result = OK;
    });
  }

  /**
   * As BLKDISCARD does it: what comes before the first multiple of the granularity is a request of
   * its own, and a discard that is not understood was a hint.
   */
  #discard(request: Request, device: MappedDevice, place: { sector: number; count: number }): void {
    if (!device.capabilities.discard) {
      request.result = EOPNOTSUPP;
      return;
    }
    const { sector, count } = place;
    const head = Math.min(count, (GRANULARITY - (sector % GRANULARITY)) % GRANULARITY);
    const parts = [
      { sector, count: head },
      { sector: sector + head, count: count - head },
    ].filter((part) => part.count > 0);
    let open = parts.length;
    let outcome: IoResult = OK;
    for (const part of parts) {
      const onEnd = (_bio: Bio, result: IoResult): void => {
        if (outcome === OK) outcome = result;
        open -= 1;
        if (open === 0) request.result = outcome === EOPNOTSUPP ? OK : outcome;
      };
      const at = bioPlace(part.sector, part.count);
      device.submit(new Bio({ op: 'discard', ...at, data: null, fua: false, onEnd }));
    }
  }

  /** The kernel lets one discard of a device at a time reach it. */
  #isDiscarding(device: MappedDevice): boolean {
    return this.#requests.some(
      (one) => one.op === 'discard' && one.device === device && one.result === null,
    );
  }

  /** A device without a size cannot be opened; one that was stays open until it is removed. */
  #open(device: MappedDevice): boolean {
    if (this.#opened.has(device)) return true;
    if (device.sizeSectors === 0) return false;
    device.opened();
    this.#opened.add(device);
    return true;
  }

  // --- looking
  // ------------------------------------------------------------------------------------

  async #observe(name: string): Promise<void> {
    await this.#runUntil(() => false);
    for (const request of this.#requests) this.#tell(request);
    const device = this.#map.find(name);
    if (device === null) {
      this.#lines.push('e none');
      return;
    }
    const { suspended, liveTable, inactiveTable, eventNumber } = device;
    const flags = [
      ...(suspended ? ['suspended'] : []),
      ...(liveTable === null ? [] : ['live']),
      ...(inactiveTable === null ? [] : ['inactive']),
    ];
    this.#lines.push(['e', eventNumber, ...flags].join(' '));
    await this.#tellLines('s', liveTable, 'info');
    await this.#tellLines('t', liveTable, 'table');
    await this.#tellLines('x', inactiveTable, 'table');
  }

  #tell(request: Request): void {
    const { id, op, data, result } = request;
    if (request.reported) return;
    if (result === null) {
      this.#lines.push(`i ${id} waits`);
      return;
    }
    request.reported = true;
    const read = op === 'read' && result === OK ? ` ${describeSectors(data!)}` : '';
    this.#lines.push(`i ${id} ${result}${read}`);
  }

  async #tellLines(mark: string, table: Table | null, kind: 'info' | 'table'): Promise<void> {
    if (table === null) return;
    const lines = await table.status(kind, (device) =>
      device instanceof MappedDeviceHandle ? `@${device.mapped.name}` : '@disk',
    );
    for (const line of lines) this.#lines.push(`${mark} ${line}`);
  }

  #runUntil(ended: () => boolean): Promise<string> {
    return this.#clock.run({ ended, untilMs: this.#clock.now() + PATIENCE_MS });
  }
}

function tableText(table: string): string {
  return table
    .replaceAll(';', '\n')
    .replace(/@(\w+)/g, (_, name: string) => (name === 'disk' ? '/disk' : `/dev/mapper/${name}`));
}

function lateDevice(device: MemoryDevice, clock: VirtualClock, timing: Timing): BlockDevice {
  return {
    name: device.name,
    sizeSectors: device.sizeSectors,
    logicalBlockSize: device.logicalBlockSize,
    capabilities: device.capabilities,
    submit: (bio) => {
      clock.after(timing.requestMs(), () => device.submit(bio));
    },
    close: async () => {},
  };
}
