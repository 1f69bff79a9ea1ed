/**
 * What a dirty log needs around it in a test: a target context that notes what is asked of it, and
 * a log device with a volatile cache, made to fail, to answer late, or to lose power.
 */

import { assert } from '../../src/base/assert.ts';
import type { Awaitable } from '../../src/base/awaitable.ts';
import type { Clock } from '../../src/base/clock.ts';
import { EIO, type IoResult, OK } from '../../src/base/errno.ts';
import { UserError } from '../../src/base/failure.ts';
import type { LogFields, Logger } from '../../src/base/log.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { PointName } from '../../src/base/probe.ts';
import { bytesToSectors, type SectorCount } from '../../src/base/units.ts';
import type { Bio, BioOp } from '../../src/block/bio.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import type { TargetContext } from '../../src/dm/target-context.ts';

export class LogDisk implements BlockDevice {
  readonly name: string;
  readonly sizeSectors: SectorCount;
  readonly logicalBlockSize: number;
  capabilities = { readOnly: false, discard: false, writeZeroes: false, rotational: false };
  /** What a read returns. */
  readonly bytes: Uint8Array;
  /** What survives a power cut for certain. */
  readonly durable: Uint8Array;
  /** Operations so far: `write 0+3`, `flush`. */
  readonly history: string[] = [];
  readonly failing = new Set<BioOp>();
  /** Ends every bio in a later microtask. */
  late = false;
  closed = false;

  constructor(options: {
    name?: string;
    bytes?: number;
    blockSize?: number;
    contents?: Uint8Array;
  }) {
    const size = options.bytes ?? 1024 * 1024;
    this.name = options.name ?? '254:64';
    this.bytes = new Uint8Array(size);
    if (options.contents !== undefined) this.bytes.set(options.contents);
    this.durable = this.bytes.slice();
    this.sizeSectors = bytesToSectors(size);
    this.logicalBlockSize = options.blockSize ?? 512;
  }

  submit(bio: Bio): void {
    assert(!this.closed, 'Bio submitted to a closed device');
    if (this.late) queueMicrotask(() => bio.end(this.#perform(bio)));
    else bio.end(this.#perform(bio));
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Every sector written since the last flush is kept or lost, as `prng` draws. */
  cutPower(prng: Prng): void {
    for (let from = 0; from < this.bytes.length; from += 512) {
      const sector = this.bytes.subarray(from, from + 512);
      const old = this.durable.subarray(from, from + 512);
      if (prng.chance(1, 2)) sector.set(old);
      else old.set(sector);
    }
  }

  #perform(bio: Bio): IoResult {
    const extent = bio.op === 'flush' ? '' : ` ${bio.sector}+${bio.count}`;
    this.history.push(`${bio.op}${extent}${this.failing.has(bio.op) ? ' failed' : ''}`);
    if (this.failing.has(bio.op)) return EIO;
    const from = bio.sector * 512;
    const end = from + bio.count * 512;
    assert(end <= this.bytes.length, 'Bio beyond the end');
    assert(from % this.logicalBlockSize === 0, 'Bio is not aligned');
    assert((end - from) % this.logicalBlockSize === 0, 'Length of bio is not aligned');
    if (bio.op === 'read') bio.data!.set(this.bytes.subarray(from, end));
    if (bio.op === 'write') {
      assert(bio.data!.length === end - from, 'Data of bio has another length');
      this.bytes.set(bio.data!, from);
    }
    if (bio.op === 'flush') this.durable.set(this.bytes);
    return OK;
  }
}

export interface LoggedLine {
  readonly message: string;
  readonly fields: LogFields;
}

export class FakeTarget implements TargetContext {
  readonly length: SectorCount;
  readonly deviceName = 'm';
  clock: Clock = {
    now: () => 0,
    defer: () => assert(false, 'A log defers nothing'),
    after: () => ({ cancel: () => undefined }),
  };
  readonly lines: LoggedLine[] = [];
  readonly log: Logger;
  readonly points: string[] = [];
  readonly probe = {
    reached: (point: PointName, _leg: number, region: number): void => {
      this.points.push(region < 0 ? point : `${point}@${region}`);
    },
  };
  events = 0;
  /** How many times each device was got and not put back. */
  readonly held = new Map<BlockDevice, number>();
  readonly #devices: readonly BlockDevice[];

  constructor(length: number, devices: readonly BlockDevice[] = []) {
    this.length = length as SectorCount;
    this.#devices = devices;
    const note = (message: string, fields: LogFields = {}): void => {
      this.lines.push({ message, fields });
    };
    this.log = { debug: note, info: note, warn: note, error: note };
  }

  async getDevice(name: string): Promise<BlockDevice> {
    const device = this.#devices.find((candidate) => candidate.name === name);
    if (device === undefined) {
      throw new UserError('no-device', `Cannot open "${name}": no such device`);
    }
    this.held.set(device, (this.held.get(device) ?? 0) + 1);
    return device;
  }

  async putDevice(device: BlockDevice): Promise<void> {
    const count = this.held.get(device) ?? 0;
    assert(count > 0, `Device ${device.name} was put back too often`);
    this.held.set(device, count - 1);
  }

  event(): void {
    this.events += 1;
  }

  noflushSuspending(): boolean {
    return false;
  }

  get heldCount(): number {
    return [...this.held.values()].reduce((sum, count) => sum + count, 0);
  }

  /** What the kernel would have said, in order. */
  get kernelMessages(): string[] {
    return this.lines.flatMap(({ fields }) =>
      typeof fields.kernelMessage === 'string' ? [fields.kernelMessage] : [],
    );
  }
}

/** Legs that flush as told, and count it. */
export class FakeLegs {
  flushes = 0;
  result: IoResult = OK;
  late = false;
  readonly flush = (): Awaitable<IoResult> => {
    this.flushes += 1;
    return this.late ? Promise.resolve(this.result) : this.result;
  };
}
