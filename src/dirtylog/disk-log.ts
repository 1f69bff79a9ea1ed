/**
 * The log on a device: clean bits behind a header, rewritten at every flush that has something to
 * say. Counterpart: the `disk` log type (specification 8); the format is in
 * docs/internals/disk-log-format.md.
 *
 * What a power cut may rely on:
 * - a bit that was cleared (dirty) is durable when `flush` answers 0: the image was written and the
 *   device's cache flushed;
 * - before an image with a newly set (clean) bit is written, every leg has flushed its cache; the
 *   image itself is then not flushed, since losing it is safe;
 * - an image may tear anywhere: each bit is right in its old and in its new value.
 * The header is the same in every image that one activation writes.
 */

import { assert } from '../base/assert.ts';
import { type Awaitable, andThen } from '../base/awaitable.ts';
import { Bitset } from '../base/bitset.ts';
import { EINVAL, ESHUTDOWN, errnoName, type IoResult, OK } from '../base/errno.ts';
import { LOG_WHOLE_WRITE_BYTES_MAX } from '../base/limits.ts';
import { type Region, type SectorCount, sectorsToBytes } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';
import type { DeviceNaming, StatusKind, TargetDevice } from '../dm/target.ts';
import type { TargetContext } from '../dm/target-context.ts';
import type { DirtyLog, DirtyLogCreation, DirtyLogType } from './dirty-log.ts';
import { type LogArgs, logError, parseLogArgs, wrongCount } from './log-args.ts';
import { LogContext, withinMemory } from './log-context.ts';
import { LogDevice } from './log-device.ts';
import {
  decodeLogHeader,
  encodeLogHeader,
  LOG_BITSET_OFFSET,
  LOG_MAGIC,
  LOG_VERSION,
  type LogHeader,
  logImageBytes,
  trustedRegions,
  validateLogHeader,
} from './log-header.ts';

export interface DiskLogOptions {
  /** Larger images are written only where they changed. */
  readonly wholeWriteBytesMax: number;
}

/** A disk log type of its own; everybody but tests of large images takes `diskLogType`. */
export function createDiskLogType(options: DiskLogOptions): DirtyLogType {
  const type: DirtyLogType = {
    name: 'disk',
    async create(creation: DirtyLogCreation): Promise<DirtyLog> {
      const { target, args } = creation;
      const [deviceName, ...words] = args;
      // The device is opened before the other words are looked at, as in the kernel.
      if (deviceName === undefined || args.length < 2 || args.length > 3) {
        throw wrongCount('disk', args.length);
      }
      const device = await target.getDevice(deviceName);
      try {
        const parsed = parseLogArgs({ type: 'disk', args: words, targetSectors: target.length });
        checkDevice(device, parsed.regionCount);
        return withinMemory(
          parsed.regionCount,
          () => new DiskLog({ type, creation, device, args: parsed, options }),
        );
      } catch (error) {
        await target.putDevice(device);
        throw error;
      }
    },
  };
  return type;
}

export const diskLogType = createDiskLogType({ wholeWriteBytesMax: LOG_WHOLE_WRITE_BYTES_MAX });

function checkDevice(device: BlockDevice, regionCount: number): void {
  const neededBytes = logImageBytes(regionCount, device.logicalBlockSize);
  const bytes = sectorsToBytes(device.sizeSectors);
  if (neededBytes > bytes) {
    throw logError('disk', 'log-too-small', {
      problem: `log device "${device.name}" has ${bytes} bytes, must have at least ${neededBytes}`,
      kernelMessage: `log device ${device.name} too small: need ${neededBytes} bytes`,
      hint: `${regionCount} regions take one bit each behind a header of 1024 bytes.`,
    });
  }
  if (device.capabilities.readOnly) {
    throw logError('disk', 'log-read-only', {
      problem: `log device "${device.name}" is read-only, must be writable`,
    });
  }
}

/**
 * "No region" and "more than one" for the probe, which names a region only where it is the only
 * one.
 */
const NO_REGION = -2;
const SEVERAL_REGIONS = -1;

interface DiskLogParts {
  readonly type: DirtyLogType;
  readonly creation: DirtyLogCreation;
  readonly device: BlockDevice;
  readonly args: LogArgs;
  readonly options: DiskLogOptions;
}

class DiskLog implements DirtyLog {
  readonly type: DirtyLogType;
  readonly devices: readonly TargetDevice[];
  readonly regionSizeSectors: SectorCount;
  readonly #target: TargetContext;
  readonly #args: LogArgs;
  readonly #flushLegs: () => Awaitable<IoResult>;
  readonly #disk: LogDevice;
  /** Its clean bits live in the disk's image. */
  readonly #context: LogContext;

  #life: 'new' | 'live' | 'suspended' | 'destroyed' = 'new';
  /** As decoded last; of an unread log the kernel would write what memory happened to hold. */
  #header: LogHeader = { magic: 0, version: 0, regionCount: 0n };
  #flushing = false;
  #marked = NO_REGION;
  #cleared = NO_REGION;
  #recovered = NO_REGION;

  constructor({ type, creation, device, args, options }: DiskLogParts) {
    this.type = type;
    this.devices = [{ device, start: 0, length: 0 }];
    this.regionSizeSectors = args.regionSizeSectors;
    this.#target = creation.target;
    this.#args = args;
    this.#flushLegs = creation.flushLegs;
    this.#disk = new LogDevice({
      device,
      imageBytes: logImageBytes(args.regionCount, device.logicalBlockSize),
      wholeWriteBytesMax: options.wholeWriteBytesMax,
      onFirstFailure: () => creation.target.event(),
    });
    const cleanEnd = LOG_BITSET_OFFSET + Bitset.byteLengthFor(args.regionCount);
    this.#context = new LogContext({
      regionCount: args.regionCount,
      syncWord: args.syncWord,
      cleanStorage: this.#disk.image.subarray(LOG_BITSET_OFFSET, cleanEnd),
    });
  }

  presuspend(): IoResult {
    return OK;
  }

  postsuspend(): Awaitable<IoResult> {
    return andThen(this.flush(), (result) => {
      this.#life = 'suspended';
      return result;
    });
  }

  /**
   * Specification 8.4. A log that cannot be read is not believed in anything, but written all the
   * same.
   */
  async resume(): Promise<IoResult> {
    assert(this.#life === 'new' || this.#life === 'suspended', `Disk log resumed: ${this.#life}`);
    assert(!this.#flushing, 'Disk log resumed during a flush');
    const readResult = await this.#disk.read();
    const storedRegions = this.#adoptHeader(readResult);
    this.#target.probe.reached('A1', -1, -1);
    this.#context.merge(storedRegions);
    this.#target.probe.reached('A2', -1, -1);
    this.#header = { ...this.#header, regionCount: BigInt(this.#args.regionCount) };
    encodeLogHeader(this.#header, this.#disk.image);
    const result = await this.#rewrite();
    this.#life = 'live';
    this.#target.probe.reached('A4', -1, -1);
    return result;
  }

  async destroy(): Promise<void> {
    assert(this.#life !== 'destroyed', 'Disk log destroyed twice');
    assert(!this.#flushing, 'Disk log destroyed during a flush');
    this.#life = 'destroyed';
    await this.#target.putDevice(this.#disk.device);
  }

  isClean(region: Region): boolean {
    return this.#context.clean.test(region);
  }

  inSync(region: Region): number {
    return this.#context.sync.test(region) ? 1 : 0;
  }

  inSyncNow(region: Region): number {
    return this.inSync(region);
  }

  isCleanNow(region: Region): boolean {
    return this.isClean(region);
  }

  /** Specification 8.5. Answers without a promise where legs and log device do. */
  flush(): Awaitable<IoResult> {
    const context = this.#context;
    if (!context.touchedCleaned && !context.touchedDirtied) return OK;
    // A retired log never writes: another instance may own the device by now (specification 6.5).
    if (this.#life !== 'live') return ESHUTDOWN;
    assert(!this.#flushing, 'Disk log flushed during a flush');
    this.#flushing = true;
    if (!context.touchedCleaned) return this.#writeImage();
    return andThen(this.#flushLegs(), (result) => this.#legsFlushed(result));
  }

  markRegion(region: Region): void {
    assert(!this.#flushing, 'Region marked during a log flush');
    this.#context.markRegion(region);
    this.#marked = joinRegions(this.#marked, region);
  }

  clearRegion(region: Region): void {
    assert(!this.#flushing, 'Region cleared during a log flush');
    this.#context.clearRegion(region);
    if (!this.#context.flushFailed) this.#cleared = joinRegions(this.#cleared, region);
  }

  getResyncWork(): Region | null {
    assert(!this.#flushing, 'Resync work handed out during a log flush');
    return this.#context.getResyncWork();
  }

  setRegionSync(region: Region, inSync: boolean): void {
    assert(!this.#flushing, 'Sync state set during a log flush');
    this.#context.setRegionSync(region, inSync);
    if (inSync) this.#recovered = joinRegions(this.#recovered, region);
  }

  getSyncCount(): number {
    return this.#context.syncCount;
  }

  status(kind: StatusKind, nameOf: DeviceNaming): string {
    const name = nameOf(this.#disk.device);
    if (kind === 'info') return `3 disk ${name} ${this.#disk.health}`;
    const { regionSizeSectors, syncWord } = this.#args;
    return syncWord === null
      ? `disk 2 ${name} ${regionSizeSectors}`
      : `disk 3 ${name} ${regionSizeSectors} ${syncWord}`;
  }

  /** How many regions of the stored bits are to be believed. */
  #adoptHeader(readResult: IoResult): number {
    if (readResult !== OK) {
      this.#headerFailed(errnoName(readResult));
      return 0;
    }
    this.#header = decodeLogHeader(this.#disk.image);
    this.#target.probe.reached('A0', -1, -1);
    const verdict = validateLogHeader(this.#header);
    if (this.#args.syncWord !== null || verdict === 'foreign-magic') {
      this.#header = { magic: LOG_MAGIC, version: LOG_VERSION, regionCount: 0n };
      return 0;
    }
    if (verdict === 'foreign-version') {
      // The version stays in memory and is written back, so that every later resume fails as well.
      this.#warn(`Dirty log has version ${this.#header.version}, must be ${LOG_VERSION}`, {
        kernelMessage: 'incompatible disk log version',
      });
      this.#headerFailed(errnoName(EINVAL));
      return 0;
    }
    if (verdict === 'old-version') this.#header = { ...this.#header, version: LOG_VERSION };
    return trustedRegions(this.#header);
  }

  #headerFailed(why: string): void {
    this.#warn('Cannot read the header of a dirty log: every region counts as dirty', {
      result: why,
      kernelMessage: `${this.#disk.device.name}: Failed to read header on dirty region log device`,
    });
    this.#disk.fail('D');
  }

  /** Writes the whole image and flushes the device; the touched flags stay, as in the kernel. */
  async #rewrite(): Promise<IoResult> {
    const written = await this.#disk.writeWhole();
    if (written === OK) this.#target.probe.reached('A3', -1, -1);
    const result = written === OK ? await this.#disk.flushCache() : written;
    if (result === OK) {
      this.#imageIsOnDisk();
      return OK;
    }
    this.#disk.fail(written === OK ? 'F' : 'D');
    this.#warn('Cannot write the header of a dirty log', {
      result: errnoName(result),
      kernelMessage: `${this.#disk.device.name}: Failed to write header on dirty region log device`,
    });
    return result;
  }

  #legsFlushed(result: IoResult): Awaitable<IoResult> {
    if (result !== OK) {
      if (!this.#context.flushFailed) {
        this.#warn('A leg cannot flush its cache: every region is dirty from now on', {
          result: errnoName(result),
        });
      }
      this.#context.distrustLegs();
      this.#cleared = NO_REGION;
    }
    return this.#writeImage();
  }

  #writeImage(): Awaitable<IoResult> {
    const { changedFrom, changedEnd } = this.#context;
    this.#target.probe.reached('W3', -1, nameable(this.#marked));
    const outcome = this.#disk.writeChanged(
      LOG_BITSET_OFFSET + changedFrom,
      LOG_BITSET_OFFSET + changedEnd,
    );
    return andThen(outcome, (result) => this.#imageWritten(result));
  }

  #imageWritten(result: IoResult): Awaitable<IoResult> {
    if (result !== OK) {
      this.#flushing = false;
      this.#disk.fail('D');
      return result;
    }
    this.#target.probe.reached('W4', -1, nameable(this.#marked));
    if (!this.#context.touchedDirtied) return this.#flushed();
    return andThen(this.#disk.flushCache(), (flushed) => this.#cacheFlushed(flushed));
  }

  #cacheFlushed(result: IoResult): IoResult {
    if (result !== OK) {
      this.#context.touchedCleaned = false;
      this.#flushing = false;
      this.#disk.fail('F');
      return result;
    }
    this.#context.touchedDirtied = false;
    this.#target.probe.reached('W5', -1, nameable(this.#marked));
    this.#marked = NO_REGION;
    return this.#flushed();
  }

  /**
   * The image is as durable as this flush was to make it; a lost clean bit costs a copy, no more.
   */
  #flushed(): IoResult {
    this.#context.touchedCleaned = false;
    this.#imageIsOnDisk();
    this.#flushing = false;
    const cleared = this.#cleared;
    const recovered = this.#recovered;
    this.#cleared = NO_REGION;
    this.#recovered = NO_REGION;
    if (cleared !== NO_REGION) this.#target.probe.reached('W12', -1, cleared);
    if (recovered !== NO_REGION) this.#target.probe.reached('R5', -1, recovered);
    return OK;
  }

  #imageIsOnDisk(): void {
    this.#disk.imageWritten();
    this.#context.imageWritten();
  }

  #warn(message: string, fields: Readonly<Record<string, string>>): void {
    this.#target.log.warn(message, { log: this.#disk.device.name, ...fields });
  }
}

function joinRegions(known: number, region: number): number {
  return known === NO_REGION || known === region ? region : SEVERAL_REGIONS;
}

function nameable(region: number): number {
  return Math.max(region, -1);
}
