/**
 * What a device knows of its contents without reading them: where it has holes, and what reads as
 * zeros. Whoever does not know for certain says so, which is always right.
 */

import type { Sector, SectorCount } from '../base/units.ts';
import type { BlockDevice } from './block-device.ts';

/** A run of sectors, from the one that was asked about. */
export interface Allocation {
  /** At least 1, at most as many as were asked about; what follows may be alike. */
  readonly count: SectorCount;
  /** A read submitted now would succeed and return zeros only. */
  readonly zero: boolean;
  /** No space is set aside, so that a write may find none. Only where `zero`. */
  readonly hole: boolean;
}

export function unknownAllocation(count: SectorCount): Allocation {
  return { count, zero: false, hole: false };
}

/** What `device` knows of the beginning of the range, which lies inside it. */
export function allocationOf(device: BlockDevice, sector: Sector, count: SectorCount): Allocation {
  return device.allocation?.(sector, count) ?? unknownAllocation(count);
}
