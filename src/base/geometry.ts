/**
 * How a target is cut into regions (specification 1.3). Sectors here are relative to the target.
 */

import { assert, unreachable } from './assert.ts';
import {
  isPowerOfTwo,
  type Region,
  type Sector,
  type SectorCount,
  toSectorCount,
} from './units.ts';

/**
 * The region size in sectors with which a target has so many regions; null where no power of two
 * gives that number.
 */
export function regionSizeFor(targetSectors: number, regionCount: number): SectorCount | null {
  if (targetSectors < 1 || regionCount < 1) return null;
  const size = 2 ** Math.ceil(Math.log2(targetSectors / regionCount));
  const fits =
    size >= 2 && size <= targetSectors && Math.ceil(targetSectors / size) === regionCount;
  return fits ? toSectorCount(size) : null;
}

export class RegionGeometry {
  readonly targetSectors: SectorCount;
  readonly regionSizeSectors: SectorCount;
  /** ceil(target length / region size). */
  readonly regionCount: number;

  constructor(options: { targetSectors: SectorCount; regionSizeSectors: SectorCount }) {
    const { targetSectors, regionSizeSectors } = options;
    assert(targetSectors > 0, 'Target length is 0 sectors, must be positive');
    assert(isPowerOfTwo(regionSizeSectors), `Region size ${regionSizeSectors} is no power of two`);
    this.targetSectors = targetSectors;
    this.regionSizeSectors = regionSizeSectors;
    this.regionCount = Math.ceil(targetSectors / regionSizeSectors);
  }

  regionOf(sector: Sector): Region {
    return Math.floor(sector / this.regionSizeSectors) as Region;
  }

  /** The first sector of a region. */
  startOf(region: Region): Sector {
    return (region * this.regionSizeSectors) as Sector;
  }

  /** The length of a region; only the last one may be short. */
  lengthOf(region: Region): SectorCount {
    if (region >= this.regionCount)
      unreachable(`Region ${region} is beyond the last, ${this.regionCount - 1}`);
    return toSectorCount(
      Math.min(this.regionSizeSectors, this.targetSectors - region * this.regionSizeSectors),
    );
  }
}
