/**
 * Where a file has holes, as its file system tells. Counterpart: lseek(2), SEEK_DATA and SEEK_HOLE.
 *
 * The end of a run of data is found at once by file systems that keep extents. Those in memory look
 * at every page on the way, some 30 ms for a gigabyte: there we look at a step's beginning only,
 * and a hole inside a step may pass for data, which it may.
 */

import { SECTOR_SIZE, type Sector, type SectorCount } from '../../base/units.ts';
import { unknownAllocation } from '../allocation.ts';
import type { Allocation } from '../block-device.ts';
import { nativeCalls } from './native-calls.ts';

/** Steps through a file in memory, and how many of them a question may cost. */
const STEP_BYTES = 256 * 1024;
const STEPS_MAX = 64;

export class FileHoles {
  readonly #fd: number;
  readonly #inMemory: boolean;
  /** Bytes that were data when last looked: they still are, or have become holes unnoticed. */
  #dataStart = 0;
  #dataEnd = 0;

  constructor(options: { readonly fd: number; readonly isVolatile: boolean }) {
    this.#fd = options.fd;
    this.#inMemory = options.isVolatile;
  }

  at(sector: Sector, count: SectorCount): Allocation {
    const start = sector * SECTOR_SIZE;
    const end = start + count * SECTOR_SIZE;
    if (start >= this.#dataStart && start < this.#dataEnd) return this.#data(start, end);
    const zeroEnd = this.#nextData(start, end);
    // A sector of which a part is data is data.
    const zeroes = Math.floor((zeroEnd - start) / SECTOR_SIZE);
    if (zeroes > 0) return { count: zeroes as SectorCount, zero: true, hole: true };
    // Whoever reads a file from its beginning on comes to know it as a whole.
    if (start !== this.#dataEnd) this.#dataStart = start;
    this.#dataEnd = this.#inMemory ? this.#stepToHole(start, end) : this.#nextHole(start, end);
    return this.#data(start, end);
  }

  /** Holes were made. */
  forget(): void {
    this.#dataStart = 0;
    this.#dataEnd = 0;
  }

  #data(start: number, end: number): Allocation {
    const known = Math.ceil((Math.min(end, this.#dataEnd) - start) / SECTOR_SIZE);
    return unknownAllocation(known as SectorCount);
  }

  /** Where data begin, at most `end`. A file that was cut off behind our back has no hole there. */
  #nextData(start: number, end: number): number {
    const calls = nativeCalls();
    const found = calls.seekData(this.#fd, start);
    if (found === null) return Math.max(start, Math.min(end, calls.fileEnd(this.#fd)));
    return Math.min(end, found);
  }

  #nextHole(start: number, end: number): number {
    const found = nativeCalls().seekHole(this.#fd, start) ?? end;
    // Never nothing: the file system may have changed its mind meanwhile.
    return Math.max(found, start + SECTOR_SIZE);
  }

  #stepToHole(start: number, end: number): number {
    const last = Math.min(end, start + STEPS_MAX * STEP_BYTES);
    const calls = nativeCalls();
    for (let at = start + STEP_BYTES; at < last; at += STEP_BYTES) {
      if (calls.seekData(this.#fd, at) !== at) return this.#nextHole(at - STEP_BYTES, at);
    }
    return last;
  }
}
