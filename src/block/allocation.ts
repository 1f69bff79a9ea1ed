/**
 * What a device knows of its contents without reading them: where it has holes, and what reads as
 * zeros. Whoever does not know for certain says so, which is always right.
 */

import type { Sector, SectorCount } from '../base/units.ts';
import type { Allocation, BlockDevice } from './block-device.ts';

export function unknownAllocation(count: SectorCount): Allocation {
  return { count, zero: false, hole: false };
}

/** What `device` knows of the beginning of the range, which lies inside it. */
export function allocationOf(device: BlockDevice, sector: Sector, count: SectorCount): Allocation {
  return device.allocation?.(sector, count) ?? unknownAllocation(count);
}
