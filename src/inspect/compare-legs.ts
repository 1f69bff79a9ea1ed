/**
 * Legs compared offline, region by region, and held against the log: where legs differ, the log
 * must say dirty, or the next start will not copy the region and the difference stays (invariant 4
 * of specification 12). Reads only.
 *
 * The legs are streamed in pieces, side by side. A region found different on every leg is not read
 * on; where all legs have a hole, nothing is read at all.
 */

import type { Bitset } from '../base/bitset.ts';
import { formatByteSize } from '../base/byte-size.ts';
import { type IoResult, OK } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { RegionGeometry, regionSizeFor } from '../base/geometry.ts';
import {
  bytesToSectors,
  isPowerOfTwo,
  SECTOR_SIZE,
  type Sector,
  type SectorCount,
  sectorsToBytes,
  toSector,
  toSectorCount,
} from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { runBio } from '../block/run-bio.ts';
import { type RegionRange, RegionRanges } from './region-ranges.ts';
import { readStoredCleanBits, type StoredCleanBits } from './stored-clean-bits.ts';

const PIECE_BYTES = 1024 * 1024;

/** A device that knows where its data begins; all sectors before read as zeros. */
export interface SparseDevice extends BlockDevice {
  /** The first sector at or behind `from` that may hold data; the size where there is none. */
  nextDataSector(from: Sector): Sector;
}

export interface ComparedLeg {
  readonly device: BlockDevice;
  /** Where the leg begins on its device, as in a table. */
  readonly offsetSectors: number;
}

export interface CompareLegsOptions {
  /** Two or more. */
  readonly legs: readonly ComparedLeg[];
  readonly regionSizeSectors: number;
  /** Length of the target; the shortest leg's where absent. */
  readonly lengthSectors?: number;
  readonly log?: BlockDevice;
  /** Called now and then with the sectors done. */
  readonly onProgress?: (doneSectors: number, allSectors: number) => void;
}

/** What was found in a region that is not the same on all legs. */
export interface Difference {
  /** Legs whose bytes are not those of leg 0. */
  readonly differingLegs: readonly number[];
  /** Legs that cannot be read there. */
  readonly unreadableLegs: readonly number[];
  /** The log will have the region copied; null without a log. */
  readonly isCovered: boolean | null;
}

/**
 * - `equal`: no region differs.
 * - `differs`: some do, and the log covers each; or no log was given, so that nobody can tell.
 * - `violation`: some do that the log calls clean, or a region cannot be read.
 */
export type CompareVerdict = 'equal' | 'differs' | 'violation';

export interface LegComparison {
  readonly legNames: readonly string[];
  readonly logName: string | null;
  readonly lengthSectors: number;
  readonly regionSizeSectors: number;
  readonly regionCount: number;
  /** Dirty in the log as a start would read it; null without a log. */
  readonly dirtyRegions: number | null;
  readonly differingRegions: number;
  /** Of the differing ones; 0 without a log. */
  readonly uncoveredRegions: number;
  readonly unreadableRegions: number;
  readonly ranges: readonly RegionRange<Difference>[];
  readonly unlistedRanges: number;
  readonly notes: readonly string[];
  readonly verdict: CompareVerdict;
}

/** The exit status of a comparison: 0 equal, 1 differs as far as allowed, 2 violation. */
export function exitStatusOf({ verdict }: LegComparison): 0 | 1 | 2 {
  if (verdict === 'equal') return 0;
  return verdict === 'differs' ? 1 : 2;
}

/** @throws UserError for legs, sizes or a log that cannot be compared. */
export async function compareLegs(options: CompareLegsOptions): Promise<LegComparison> {
  const { legs, regionSizeSectors, log } = options;
  const notes: string[] = [];
  const regionSize = toRegionSize(regionSizeSectors);
  const lengthSectors = chooseLength(options, notes);
  const geometry = new RegionGeometry({
    targetSectors: lengthSectors,
    regionSizeSectors: regionSize,
  });
  const { regionCount } = geometry;
  const stored = log === undefined ? null : await readStoredCleanBits(log, regionCount);
  if (stored !== null) notes.push(...noteLog(stored, geometry));
  const comparer = new LegComparer(legs, geometry, stored?.clean ?? null);
  await comparer.run(options.onProgress);
  const { ranges, unlisted } = comparer.ranges.finish();
  return {
    legNames: legs.map((leg) => leg.device.name),
    logName: log?.name ?? null,
    lengthSectors,
    regionSizeSectors,
    regionCount,
    dirtyRegions: stored === null ? null : regionCount - stored.clean.weight(),
    differingRegions: comparer.differingRegions,
    uncoveredRegions: comparer.uncoveredRegions,
    unreadableRegions: comparer.unreadableRegions,
    ranges,
    unlistedRanges: unlisted,
    notes,
    verdict: comparer.verdict(),
  };
}

const DISBELIEF = {
  blank: 'the log is blank',
  foreign: 'the log is no log of a mirror',
  'foreign-version': 'the log has an unknown version',
} as const;

function noteLog(
  { disbelief, loggedRegions }: StoredCleanBits,
  geometry: RegionGeometry,
): string[] {
  if (disbelief !== null) return [`${DISBELIEF[disbelief]}: every region counts as dirty`];
  const { regionCount, targetSectors } = geometry;
  if (loggedRegions === null || loggedRegions === regionCount) return [];
  const fitting = regionSizeFor(targetSectors, loggedRegions);
  const question =
    fitting === null
      ? 'is this the region size that the mirror had?'
      : `were the mirror's regions ${formatByteSize(sectorsToBytes(fitting))}?`;
  return [`the log has ${loggedRegions} regions, the legs have ${regionCount}: ${question}`];
}

function toRegionSize(sectors: number): SectorCount {
  if (sectors < 2 || !isPowerOfTwo(sectors)) {
    throw new UserError(
      'region-size',
      `Cannot compare legs: region size is ${sectors} sectors, must be a power of two >= 2`,
    );
  }
  return toSectorCount(sectors);
}

function chooseLength(options: CompareLegsOptions, notes: string[]): SectorCount {
  const { legs, lengthSectors } = options;
  if (legs.length < 2) {
    throw new UserError(
      'too-few-legs',
      `Cannot compare legs: ${legs.length} given, must be 2 or more`,
    );
  }
  const sizes = legs.map(({ device, offsetSectors }) => device.sizeSectors - offsetSectors);
  for (const [index, size] of sizes.entries()) {
    const wanted = lengthSectors ?? 1;
    if (size >= wanted) continue;
    const { device, offsetSectors } = legs[index]!;
    throw new UserError(
      'leg-too-small',
      `Cannot compare legs: "${device.name}" has ${device.sizeSectors} sectors, ` +
        `must have at least ${offsetSectors + wanted}`,
    );
  }
  const shortest = Math.min(...sizes);
  for (const { device, offsetSectors } of legs) {
    const blockSectors = bytesToSectors(device.logicalBlockSize);
    const length = lengthSectors ?? shortest;
    if (offsetSectors % blockSectors === 0 && length % blockSectors === 0) continue;
    throw new UserError(
      'leg-unaligned',
      `Cannot compare legs: "${device.name}" at sector ${offsetSectors}, length ${length}, ` +
        `must be in blocks of ${blockSectors} sectors`,
    );
  }
  if (lengthSectors === undefined && sizes.some((size) => size !== shortest)) {
    notes.push(`the legs have ${sizes.join(', ')} sectors: the first ${shortest} are compared`);
  }
  return toSectorCount(lengthSectors ?? shortest);
}

/** The state of one walk over all legs. */
class LegComparer {
  readonly ranges = new RegionRanges<Difference>(sameDifference);
  differingRegions = 0;
  uncoveredRegions = 0;
  unreadableRegions = 0;
  readonly #legs: readonly ComparedLeg[];
  readonly #geometry: RegionGeometry;
  readonly #clean: Bitset | null;
  readonly #buffers: readonly Uint8Array[];
  /** What a bad spot costs of the rest: one region, or one block where that is larger. */
  readonly #smallestStep: number;
  /** Of the region under way. */
  readonly #differing = new Set<number>();
  readonly #unreadable = new Set<number>();

  constructor(legs: readonly ComparedLeg[], geometry: RegionGeometry, clean: Bitset | null) {
    this.#legs = legs;
    this.#geometry = geometry;
    this.#clean = clean;
    this.#buffers = legs.map(() => new Uint8Array(PIECE_BYTES));
    const blockSizes = legs.map(({ device }) => device.logicalBlockSize);
    this.#smallestStep = Math.max(
      geometry.regionSizeSectors,
      bytesToSectors(Math.max(...blockSizes)),
    );
  }

  async run(onProgress: CompareLegsOptions['onProgress']): Promise<void> {
    const all = this.#geometry.targetSectors;
    for (let sector = this.#skipHoles(0); sector < all; sector = this.#skipHoles(sector)) {
      sector = await this.#walkPiece(sector, Math.min(bytesToSectors(PIECE_BYTES), all - sector));
      onProgress?.(sector, all);
    }
    onProgress?.(all, all);
  }

  /** Compares one piece, where it cannot be read part by part; returns the sector to go on with. */
  async #walkPiece(sector: number, count: number): Promise<number> {
    const results = await Promise.all(this.#legs.map((_, leg) => this.#read(leg, sector, count)));
    if (count <= this.#smallestStep || results.every((result) => result === OK)) {
      return this.#comparePiece(sector, count, results);
    }
    const end = sector + count;
    for (let from = sector; from < end; ) {
      from = await this.#walkPiece(from, Math.min(this.#smallestStep, end - from));
      if (from >= end) return from;
    }
    return end;
  }

  verdict(): CompareVerdict {
    if (this.uncoveredRegions > 0 || this.unreadableRegions > 0) return 'violation';
    return this.differingRegions > 0 ? 'differs' : 'equal';
  }

  /**
   * The first sector at or behind `from` where some leg may have data, or a region is under way.
   */
  #skipHoles(from: number): number {
    if (from >= this.#geometry.targetSectors || this.#isUnderway()) return from;
    let next = this.#geometry.targetSectors as number;
    for (const { device, offsetSectors } of this.#legs) {
      if (!isSparse(device)) return from;
      const data = device.nextDataSector(toSector(offsetSectors + from));
      next = Math.min(next, data - offsetSectors);
    }
    // Pieces begin on whole blocks, wherever the data does.
    const step = bytesToSectors(PIECE_BYTES);
    return Math.max(from, next - (next % step));
  }

  #read(leg: number, sector: number, count: number): IoResult | Promise<IoResult> {
    const { device, offsetSectors } = this.#legs[leg]!;
    const data = this.#buffers[leg]!.subarray(0, count * SECTOR_SIZE);
    return runBio(device, {
      op: 'read',
      sector: toSector(offsetSectors + sector),
      count: toSectorCount(count),
      data,
    });
  }

  /** Compares what was read, region by region; returns the sector to go on with. */
  #comparePiece(sector: number, count: number, results: readonly IoResult[]): number {
    const end = sector + count;
    if (results.every((result) => result === OK) && this.#allEqual(0, count)) {
      this.#settleUnderway(end);
      return end;
    }
    for (let from = sector; from < end; ) {
      const region = this.#geometry.regionOf(from as Sector);
      const regionEnd = this.#geometry.startOf(region) + this.#geometry.lengthOf(region);
      const to = Math.min(end, regionEnd);
      for (const [leg, result] of results.entries()) {
        if (result !== OK) this.#unreadable.add(leg);
        else if (leg > 0 && results[0] === OK && !this.#isEqual(leg, from - sector, to - sector)) {
          this.#differing.add(leg);
        }
      }
      from = to;
      if (to < regionEnd && this.#differing.size < this.#legs.length - 1) continue;
      this.#settle(region);
      // The rest of a region that differs everywhere has nothing to add.
      if (regionEnd >= end) return regionEnd;
    }
    return end;
  }

  #settleUnderway(end: number): void {
    if (!this.#isUnderway()) return;
    const region = this.#geometry.regionOf((end - 1) as Sector);
    const regionEnd = this.#geometry.startOf(region) + this.#geometry.lengthOf(region);
    if (regionEnd <= end) this.#settle(region);
  }

  /** Something was found already in a region that is not settled. */
  #isUnderway(): boolean {
    return this.#differing.size + this.#unreadable.size > 0;
  }

  #allEqual(from: number, to: number): boolean {
    return this.#legs.every((_, leg) => leg === 0 || this.#isEqual(leg, from, to));
  }

  #isEqual(leg: number, from: number, to: number): boolean {
    const [start, end] = [from * SECTOR_SIZE, to * SECTOR_SIZE];
    const expected = this.#buffers[0]!.subarray(start, end);
    return Buffer.compare(this.#buffers[leg]!.subarray(start, end), expected) === 0;
  }

  #settle(region: number): void {
    if (!this.#isUnderway()) return;
    const isCovered = this.#clean === null ? null : !this.#clean.test(region);
    if (this.#unreadable.size > 0) this.unreadableRegions += 1;
    if (this.#differing.size > 0) {
      this.differingRegions += 1;
      if (isCovered === false) this.uncoveredRegions += 1;
    }
    this.ranges.add(region, region, {
      differingLegs: [...this.#differing].sort((a, b) => a - b),
      unreadableLegs: [...this.#unreadable].sort((a, b) => a - b),
      isCovered,
    });
    this.#differing.clear();
    this.#unreadable.clear();
  }
}

function isSparse(device: BlockDevice): device is SparseDevice {
  return 'nextDataSector' in device;
}

function sameDifference(a: Difference, b: Difference): boolean {
  return (
    a.isCovered === b.isCovered &&
    String(a.differingLegs) === String(b.differingLegs) &&
    String(a.unreadableLegs) === String(b.unreadableLegs)
  );
}
