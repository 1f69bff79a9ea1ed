/**
 * A device over an open file or block device: positional I/O in the page cache, honest about what
 * is durable. `open-device.ts` opens it.
 *
 * - Reads and writes go inline or through the thread pool (`lane.ts`), large writes to memory to a
 *   thread (`threaded-writes.ts`); partial ones are continued;
 *   a read behind the end of a file that was cut off is EIO, never silent zeros.
 * - A flush is `fdatasync`, always in the pool, unless the file has no storage below it (tmpfs).
 * - FUA is the write and then such a flush, shared with others (`data-sync.ts`).
 */

import { close, fdatasync } from 'node:fs';
import { assert, unreachable } from '../../base/assert.ts';
import { EAGAIN, EINTR, EIO, EROFS, errnoName, type IoResult, OK } from '../../base/errno.ts';
import {
  bytesToSectors,
  SECTOR_SIZE,
  type Sector,
  type SectorCount,
  toSector,
} from '../../base/units.ts';
import { type Bio, isWriteOp } from '../bio.ts';
import type { Allocation, BlockDevice, DeviceCapabilities } from '../block-device.ts';
import { checkBio, describeBio } from '../check-bio.ts';
import { DataSync } from './data-sync.ts';
import { FileHoles } from './file-holes.ts';
import { type AioPolicy, Lane, type LaneMeter } from './lane.ts';
import { nativeCalls } from './native-calls.ts';
import { PooledTransfers } from './pooled-transfers.ts';
import type { SpaceCall } from './space-call.ts';
import { ThreadedWrites } from './threaded-writes.ts';

/**
 * Larger transfers go to the pool: the loop receives the next request meanwhile. Measured on tmpfs
 * with two cores: a trip through the pool takes twice the processor time at 64 KiB, loses a little
 * at 256 KiB, and gains a sixth at 1 MiB. Pieces of a resynchronisation stay below it: in the pool
 * they would keep the cores from the loop for tens of milliseconds.
 */
const INLINE_BYTES_MAX = 2 ** 19;

/** How ranges are given back and zeroed: by hole punching, or by calls for block devices. */
export interface SpaceCalls {
  /** Null where the storage cannot do it. */
  readonly discard: SpaceCall | null;
  readonly writeZeroes: SpaceCall | null;
}

export interface FileDeviceOptions {
  readonly name: string;
  readonly fd: number;
  /** Equal for two names of the same file. */
  readonly identity: string;
  readonly sizeSectors: SectorCount;
  readonly logicalBlockSize: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  /** The file lives in memory only, so that there is nothing to sync. */
  readonly isVolatile: boolean;
  readonly space: SpaceCalls;
  readonly aio: AioPolicy;
  /** By which slow storage is noticed; without it `auto` looks at sizes only. */
  readonly meter: LaneMeter | null;
}

export class FileDevice implements BlockDevice {
  readonly name: string;
  readonly identity: string;
  readonly logicalBlockSize: number;
  readonly capabilities: DeviceCapabilities;
  readonly #fd: number;
  #sizeSectors: SectorCount;
  readonly #calls = nativeCalls();
  readonly #holes: FileHoles;
  readonly #space: SpaceCalls;
  readonly #isVolatile: boolean;
  /** The file system tells whether a read would wait; found out by the first one. */
  #readsCached: boolean;
  readonly #sync: DataSync;
  readonly #readLane: Lane;
  readonly #writeLane: Lane;
  readonly #pooled: PooledTransfers;
  /** Null where a write may have to wait for storage, or a lane was chosen. */
  readonly #threaded: ThreadedWrites | null;
  /** One at a time: the file system lets them wait for each other anyway. */
  #isChangingSpace = false;
  readonly #spaceWaiting: Bio[] = [];
  #isClosed = false;

  constructor(options: FileDeviceOptions) {
    this.name = options.name;
    this.identity = options.identity;
    this.#sizeSectors = options.sizeSectors;
    this.logicalBlockSize = options.logicalBlockSize;
    this.capabilities = {
      readOnly: options.readOnly,
      discard: options.space.discard !== null && !options.readOnly,
      writeZeroes: options.space.writeZeroes !== null && !options.readOnly,
      rotational: options.rotational,
    };
    this.#fd = options.fd;
    const onEnd = (bio: Bio, result: IoResult): void => this.#finish(bio, result);
    this.#pooled = new PooledTransfers(options.fd, onEnd);
    const isThreaded = options.aio === 'auto' && options.isVolatile && !options.readOnly;
    const instead = (bio: Bio): void => this.#finish(bio, this.#transferInline(bio));
    this.#threaded = isThreaded ? new ThreadedWrites(options.fd, { onEnd, instead }) : null;
    this.#holes = new FileHoles(options);
    this.#space = options.space;
    this.#isVolatile = options.isVolatile;
    this.#readsCached = options.aio === 'auto' && !options.isVolatile;
    this.#sync = new DataSync(options.name, (onEnd) => fdatasync(options.fd, onEnd));
    // What lives in memory is not waited for.
    const meter = options.isVolatile ? null : options.meter;
    const lane = { policy: options.aio, inlineBytesMax: INLINE_BYTES_MAX, meter };
    this.#readLane = new Lane(lane);
    this.#writeLane = new Lane(lane);
  }

  get sizeSectors(): SectorCount {
    return this.#sizeSectors;
  }

  measureAgain(): void {
    const found = bytesToSectors(this.#calls.fileEnd(this.#fd));
    if (found > this.#sizeSectors) this.#sizeSectors = found;
  }

  /**
   * The first sector at or behind `from` that may hold data; before it everything reads as zeros.
   */
  nextDataSector(from: Sector): Sector {
    const found = this.#calls.seekData(this.#fd, from * SECTOR_SIZE);
    if (found === null) return this.sizeSectors as number as Sector;
    return toSector(Math.min(this.sizeSectors, Math.max(from, bytesToSectors(found))));
  }

  submit(bio: Bio): void {
    checkBio(this, bio);
    if (this.#isClosed) unreachable(`${describeBio(bio)} of "${this.name}" after close`);
    switch (bio.op) {
      case 'read':
        this.#transfer(bio, this.#readLane);
        return;
      case 'flush':
        this.#endDurably(bio);
        return;
      case 'write':
        if (this.capabilities.readOnly) this.#finish(bio, EROFS);
        else if (this.#threaded?.takes(bio)) this.#threaded.start(bio);
        else this.#transfer(bio, this.#writeLane);
        return;
      case 'discard':
      case 'write-zeroes':
        this.#changeSpace(bio);
    }
  }

  allocation(sector: Sector, count: SectorCount): Allocation {
    return this.#holes.at(sector, count);
  }

  close(): Promise<void> {
    assert(!this.#isClosed, `"${this.name}" is closed twice`);
    this.#isClosed = true;
    return new Promise((resolve, reject) => {
      close(this.#fd, (error) => (error ? reject(error) : resolve()));
    });
  }

  #transfer(bio: Bio, lane: Lane): void {
    const byteCount = lengthOf(bio);
    if (bio.op === 'read' && this.#readsCached && byteCount <= INLINE_BYTES_MAX) {
      this.#readCached(bio);
      return;
    }
    if (!this.#pooled.mustFollow(bio) && lane.isInline(byteCount)) {
      lane.begin();
      const result = this.#transferInline(bio);
      lane.end(byteCount);
      this.#finish(bio, result);
      return;
    }
    this.#pooled.start(bio);
  }

  #transferInline(bio: Bio): IoResult {
    const calls = this.#calls;
    const start = bio.sector * SECTOR_SIZE;
    let left = bio.data!;
    for (;;) {
      const position = start + bio.count * SECTOR_SIZE - left.length;
      const count =
        bio.op === 'read'
          ? calls.readAt(this.#fd, left, position)
          : calls.writeAt(this.#fd, left, position);
      if (count === left.length) return OK;
      // The end of the file, where there was none: it was cut off behind our back.
      if (count === 0) return EIO;
      if (count > 0) left = left.subarray(count);
      else if (count !== -EINTR) return -count;
    }
  }

  /** What is in the page cache is read inline, all else by the pool: no read ever waits here. */
  #readCached(bio: Bio): void {
    const count = this.#calls.readCached(this.#fd, bio.data!, startOf(bio));
    if (count === lengthOf(bio)) {
      this.#finish(bio, OK);
      return;
    }
    if (count < 0 && count !== -EAGAIN) this.#readsCached = false;
    this.#pooled.start(bio);
  }

  #changeSpace(bio: Bio): void {
    if (this.capabilities.readOnly) {
      this.#finish(bio, EROFS);
      return;
    }
    const change = bio.op === 'discard' ? this.#space.discard : this.#space.writeZeroes;
    assert(change !== null, `"${this.name}" does not ${bio.op}`);
    if (this.#isVolatile) {
      this.#spaceChanged(bio, change.now(this.#fd, startOf(bio), lengthOf(bio)));
    } else if (this.#isChangingSpace) {
      this.#spaceWaiting.push(bio);
    } else {
      this.#isChangingSpace = true;
      change.later(this.#fd, startOf(bio), lengthOf(bio), (result) => {
        this.#isChangingSpace = false;
        const next = this.#spaceWaiting.shift();
        if (next !== undefined) this.#changeSpace(next);
        this.#spaceChanged(bio, result);
      });
    }
  }

  #spaceChanged(bio: Bio, result: IoResult): void {
    this.#holes.forget();
    this.#finish(bio, result);
  }

  #finish(bio: Bio, result: IoResult): void {
    if (result !== OK) bio.fail(result, this.#explain(bio, result));
    else if (bio.fua && isWriteOp(bio.op)) this.#endDurably(bio);
    else bio.end(OK);
  }

  #endDurably(bio: Bio): void {
    if (this.#isVolatile || this.capabilities.readOnly) bio.end(OK);
    else this.#sync.end(bio);
  }

  #explain(bio: Bio, result: IoResult): string {
    return `${describeBio(bio)} of "${this.name}" failed with ${errnoName(result)}`;
  }
}

function startOf(bio: Bio): number {
  return bio.sector * SECTOR_SIZE;
}

function lengthOf(bio: Bio): number {
  return bio.count * SECTOR_SIZE;
}
