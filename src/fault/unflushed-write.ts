/**
 * One write that a disk has accepted and not made durable, and what a power event may do to it.
 *
 * Sectors are *open* until they are durable or until a newer durable write to the same sector makes
 * this one unable to come back. Only open sectors have a fate.
 */

import { SECTOR_SIZE } from '../base/units.ts';
import type { DeviceProfile } from './device-profile.ts';

/** Whole, not at all, or just these of its sectors (counted from its first; true: kept). */
export type Fate = 'kept' | 'lost' | readonly boolean[];

export class UnflushedWrite {
  /** Rises with every write of the device, in the order of submission. */
  readonly id: number;
  readonly sector: number;
  readonly count: number;
  /** A private copy: the submitter's buffer is its own again when the write ends. */
  readonly data: Uint8Array;
  /** It will be durable when it ends. */
  readonly fua: boolean;
  #ended = false;
  readonly #open: boolean[];
  #openCount: number;

  constructor(options: {
    id: number;
    sector: number;
    count: number;
    data: Uint8Array;
    fua: boolean;
  }) {
    this.id = options.id;
    this.sector = options.sector;
    this.count = options.count;
    this.data = options.data;
    this.fua = options.fua;
    this.#open = new Array<boolean>(options.count).fill(true);
    this.#openCount = options.count;
  }

  /** Its submitter has been told, or is about to be. */
  get ended(): boolean {
    return this.#ended;
  }

  get spent(): boolean {
    return this.#openCount === 0;
  }

  end(): void {
    this.#ended = true;
  }

  /** Is the device's sector `sector` in this write, and open? */
  touches(sector: number): boolean {
    return this.#open[sector - this.sector] === true;
  }

  /** The bytes for the device's sector `sector`, which is in this write. */
  sectorData(sector: number): Uint8Array {
    const offset = (sector - this.sector) * SECTOR_SIZE;
    return this.data.subarray(offset, offset + SECTOR_SIZE);
  }

  /** A newer write to these sectors is durable: this one cannot come back there. */
  supersede(sector: number, count: number): void {
    const first = Math.max(sector, this.sector);
    const end = Math.min(sector + count, this.sector + this.count);
    for (let at = first; at < end; at++) {
      if (!this.#open[at - this.sector]) continue;
      this.#open[at - this.sector] = false;
      this.#openCount -= 1;
    }
  }

  /** Calls back for each run of sectors that are open and, by `fate`, survive. */
  forEachSurvivingRun(
    fate: Fate,
    visit: (sector: number, count: number, data: Uint8Array) => void,
  ): void {
    let first = 0;
    for (let index = 0; index <= this.count; index++) {
      if (index < this.count && this.#open[index] && survives(fate, index)) continue;
      if (index > first) {
        const data = this.data.subarray(first * SECTOR_SIZE, index * SECTOR_SIZE);
        visit(this.sector + first, index - first, data);
      }
      first = index + 1;
    }
  }
}

/**
 * A fate as the profile of the disk permits it: groups of atomic sectors share that of the first of
 * the group that the write covers.
 */
export function permittedFate(write: UnflushedWrite, fate: Fate, profile: DeviceProfile): Fate {
  if (typeof fate === 'string' || profile.atomicSectors === 1) return fate;
  return Array.from({ length: write.count }, (_, index) => {
    const at = write.sector + index;
    const groupStart = at - (at % profile.atomicSectors);
    return fate[Math.max(0, groupStart - write.sector)] === true;
  });
}

function survives(fate: Fate, index: number): boolean {
  if (fate === 'kept') return true;
  return fate !== 'lost' && fate[index] === true;
}
