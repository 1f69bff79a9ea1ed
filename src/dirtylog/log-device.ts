/**
 * The device below a disk log and the image it holds: one transfer at a time, and its health.
 *
 * The image is read and written whole, at sector 0 (specification 8.2). Large images are written
 * only where they changed, as long as the device surely holds the rest; after any failure they are
 * written whole again. Nothing is allocated for a whole write, and an inline device answers without
 * a promise.
 */

import { assert } from '../base/assert.ts';
import type { Awaitable } from '../base/awaitable.ts';
import type { IoResult } from '../base/errno.ts';
import { bytesToSectors, type Sector, type SectorCount } from '../base/units.ts';
import { Bio } from '../block/bio.ts';
import type { BlockDevice } from '../block/block-device.ts';

export type LogHealth = 'A' | 'D' | 'F';

export class LogDevice {
  readonly device: BlockDevice;
  /** What is on the device, or will be with the next write. */
  readonly image: Uint8Array;
  readonly #writesWhole: boolean;
  readonly #onFirstFailure: () => void;
  readonly #readBio: Bio;
  readonly #writeBio: Bio;
  readonly #flushBio: Bio;
  /** The device surely holds the image as it was last written. */
  #holdsImage = false;
  #health: LogHealth = 'A';
  #result: IoResult | null = null;
  #waiter: ((result: IoResult) => void) | null = null;

  constructor(options: {
    device: BlockDevice;
    imageBytes: number;
    wholeWriteBytesMax: number;
    onFirstFailure: () => void;
  }) {
    this.device = options.device;
    this.image = new Uint8Array(options.imageBytes);
    this.#writesWhole = options.imageBytes <= options.wholeWriteBytesMax;
    this.#onFirstFailure = options.onFirstFailure;
    this.#readBio = this.#makeBio('read');
    this.#writeBio = this.#makeBio('write');
    this.#flushBio = this.#makeBio('flush');
  }

  /** F: a cache flush has failed, D: something else has, A: nothing; it never gets better (7.1). */
  get health(): LogHealth {
    return this.#health;
  }

  /**
   * Fills the image; with zeros, as in the kernel, what cannot be read, be it that it was read
   * before. The caller decides whether to call a failure one of the device.
   */
  read(): Awaitable<IoResult> {
    this.#holdsImage = false;
    this.image.fill(0);
    return this.#submit(this.#readBio);
  }

  writeWhole(): Awaitable<IoResult> {
    this.#writeBio.sector = 0 as Sector;
    this.#writeBio.count = bytesToSectors(this.image.length);
    this.#writeBio.data = this.image;
    return this.#submit(this.#writeBio);
  }

  /**
   * Brings the device up to the image, of which only bytes `from` to `end` (not included) have
   * changed since it was last written. Where nothing did, something is written still: a failure
   * must be noticed.
   */
  writeChanged(from: number, end: number): Awaitable<IoResult> {
    if (this.#writesWhole || !this.#holdsImage) return this.writeWhole();
    const blockSize = this.device.logicalBlockSize;
    const firstByte = from < end ? Math.floor(from / blockSize) * blockSize : 0;
    const endByte = from < end ? Math.ceil(end / blockSize) * blockSize : blockSize;
    this.#writeBio.sector = bytesToSectors(firstByte) as number as Sector;
    this.#writeBio.count = bytesToSectors(endByte - firstByte);
    this.#writeBio.data = this.image.subarray(firstByte, endByte);
    return this.#submit(this.#writeBio);
  }

  flushCache(): Awaitable<IoResult> {
    return this.#submit(this.#flushBio);
  }

  /** Everything up to now arrived: from here on changes will do. */
  imageWritten(): void {
    this.#holdsImage = true;
  }

  /** Notes a failure; the first one of a log's life is reported (specification 7.4). */
  fail(health: 'D' | 'F'): void {
    this.#holdsImage = false;
    const isFirst = this.#health === 'A';
    if (this.#health !== 'F') this.#health = health;
    if (isFirst) this.#onFirstFailure();
  }

  #makeBio(op: 'read' | 'write' | 'flush'): Bio {
    return new Bio({
      op,
      sector: 0 as Sector,
      count: op === 'flush' ? (0 as SectorCount) : bytesToSectors(this.image.length),
      data: op === 'flush' ? null : this.image,
      fua: false,
      onEnd: (_bio, result) => this.#ended(result),
    });
  }

  #submit(bio: Bio): Awaitable<IoResult> {
    assert(this.#waiter === null, 'Two transfers of one log at a time');
    this.#result = null;
    this.device.submit(bio);
    const result = this.#result as IoResult | null;
    if (result !== null) return result;
    return new Promise((resolve) => {
      this.#waiter = resolve;
    });
  }

  #ended(result: IoResult): void {
    assert(this.#result === null, 'A log transfer ended twice');
    this.#result = result;
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter?.(result);
  }
}
