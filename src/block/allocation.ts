/**
 * What a device knows of its contents without reading them: where it has holes, and what reads as
 * zeros. Whoever does not know for certain says so, which is always right.
 */

import type { Sector, SectorCount } from '../base/units.ts';
import type { Allocation, AllocationLearnt, BlockDevice } from './block-device.ts';

export function unknownAllocation(count: SectorCount): Allocation {
  return { count, zero: false, hole: false };
}

/** What `device` knows of the beginning of the range, which lies inside it. */
export function allocationOf(device: BlockDevice, sector: Sector, count: SectorCount): Allocation {
  return device.allocation?.(sector, count) ?? unknownAllocation(count);
}

/** What a device or target can learn of the range is learnt, if there is anything. */
export function learnAllocation(
  from: Pick<BlockDevice, 'learnAllocation'>,
  sector: Sector,
  count: SectorCount,
  done: AllocationLearnt,
): void {
  if (from.learnAllocation === undefined) done(count);
  else from.learnAllocation(sector, count, done);
}
