/**
 * The in-memory half that core and disk logs share: clean, sync and recovering bits of every
 * region, the sync count and the cursor of the search for resync work. Counterpart: `struct log_c`.
 *
 * Kept as the kernel keeps it (specification 8.3, 8.6), oddities included: a bit set in any of the
 * three sets counts as "cleaned", a bit cleared in any of them as "dirtied", whether or not it
 * changed; and `setRegionSync(true)` raises the count without looking at the old bit.
 */

import { assert } from '../base/assert.ts';
import { Bitset } from '../base/bitset.ts';
import { ENOMEM } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import type { Region } from '../base/units.ts';
import type { SyncWord } from './log-args.ts';

export class LogContext {
  readonly regionCount: number;
  readonly syncWord: SyncWord;
  /** 1: idle, legs equal. The only bits that a disk log stores. */
  readonly clean: Bitset;
  /** 1: in sync. */
  readonly sync: Bitset;
  /** 1: handed out as resync work. */
  readonly recovering: Bitset;
  /** A bit was set since the last image was written. */
  touchedCleaned = false;
  /** A bit was cleared since the last image was written and made durable. */
  touchedDirtied = false;
  /** A leg could not flush its cache: no region is recorded clean any more, for life. */
  flushFailed = false;
  /** The bytes of the clean set that may differ from the last image: from, and behind the last. */
  changedFrom = Number.POSITIVE_INFINITY;
  changedEnd = 0;
  #syncCount: number;
  #cursor = 0;

  /** `cleanStorage`: where the clean bits live, for a log whose image they are part of. */
  constructor(options: {
    regionCount: number;
    syncWord: SyncWord;
    cleanStorage?: Uint8Array;
  }) {
    const { regionCount, syncWord, cleanStorage } = options;
    assert(regionCount > 0, `Dirty log of ${regionCount} regions`);
    this.regionCount = regionCount;
    this.syncWord = syncWord;
    this.clean = new Bitset(regionCount, cleanStorage);
    this.sync = new Bitset(regionCount);
    this.recovering = new Bitset(regionCount);
    this.clean.fill(true);
    this.sync.fill(syncWord === 'nosync');
    this.#syncCount = syncWord === 'nosync' ? regionCount : 0;
  }

  get syncCount(): number {
    return this.#syncCount;
  }

  markRegion(region: Region): void {
    this.#changeClean(region, false);
  }

  clearRegion(region: Region): void {
    if (!this.flushFailed) this.#changeClean(region, true);
  }

  /** The next region that is neither in sync nor handed out; the cursor only moves on. */
  getResyncWork(): Region | null {
    while (this.#cursor < this.regionCount) {
      const region = this.sync.findNextZero(this.#cursor);
      this.#cursor = region + 1;
      if (region >= this.regionCount) break;
      if (this.recovering.test(region)) continue;
      this.recovering.set(region);
      this.touchedCleaned = true;
      return region as Region;
    }
    return null;
  }

  setRegionSync(region: Region, inSync: boolean): void {
    this.recovering.clear(region);
    this.touchedDirtied = true;
    if (inSync) {
      this.sync.set(region);
      this.touchedCleaned = true;
      this.#syncCount += 1;
    } else if (this.sync.test(region)) {
      this.sync.clear(region);
      this.#syncCount -= 1;
    }
  }

  /** The search for resync work starts again from the first region. */
  rewind(): void {
    this.#cursor = 0;
  }

  /** A leg could not flush: whatever was clean may not be so on that leg's medium. */
  distrustLegs(): void {
    this.flushFailed = true;
    this.clean.fillFrom(0, false);
    this.touchedDirtied = true;
    this.#changedAll();
  }

  /**
   * The clean bits were loaded from a log that had `storedRegions` regions: decide those of new
   * regions, drop those of regions gone, take what is clean as in sync (specification 8.4, steps 4
   * to 6).
   */
  merge(storedRegions: number): void {
    if (storedRegions < this.regionCount) {
      const trusted = this.syncWord === 'nosync';
      this.clean.fillFrom(storedRegions, trusted);
      if (trusted) this.touchedCleaned = true;
      else this.touchedDirtied = true;
    }
    // Padding up to a whole 64-bit word is cleared bit by bit, which counts as dirtying.
    if (this.regionCount % 64 !== 0) {
      this.clean.clearTail();
      this.touchedDirtied = true;
    }
    this.sync.copyFrom(this.clean);
    this.#syncCount = this.sync.weight();
    this.#changedAll();
    this.rewind();
  }

  /** The stored image equals the clean bits. */
  imageWritten(): void {
    this.changedFrom = Number.POSITIVE_INFINITY;
    this.changedEnd = 0;
  }

  #changeClean(region: Region, value: boolean): void {
    if (value) {
      this.clean.set(region);
      this.touchedCleaned = true;
    } else {
      this.clean.clear(region);
      this.touchedDirtied = true;
    }
    const byte = Math.floor(region / 8);
    if (byte < this.changedFrom) this.changedFrom = byte;
    if (byte >= this.changedEnd) this.changedEnd = byte + 1;
  }

  #changedAll(): void {
    this.changedFrom = 0;
    this.changedEnd = this.clean.bytes.length;
  }
}

/** Runs `make`, which allocates for that many regions. @throws UserError where memory is short. */
export function withinMemory<T>(regionCount: number, make: () => T): T {
  try {
    return make();
  } catch (error) {
    // The one way in which an array of a valid length cannot be made.
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(
      'log-memory',
      `Cannot create mirror log: ${regionCount} regions do not fit into memory, must be fewer`,
      { hint: 'Use a larger region size.', errno: ENOMEM, cause: error },
    );
  }
}
