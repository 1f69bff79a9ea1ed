/**
 * Where a mirror is known to read as zeros: where the leg does that a read is served from. A region
 * in sync is read from the default leg or its stand-in, one out of sync from the default leg or not
 * at all (`reads.ts`); a log that cannot tell at once leaves the answer open. Other legs are not
 * asked: where they differ from the one that is read, so would reads.
 */

import {
  type Region,
  type Sector,
  type SectorCount,
  sectorAfter,
  toSector,
} from '../base/units.ts';
import { allocationOf, learnAllocation, unknownAllocation } from '../block/allocation.ts';
import type { Allocation, AllocationLearnt } from '../block/block-device.ts';
import { chooseLeg } from './choose-leg.ts';
import type { Leg } from './leg.ts';
import type { MirrorSet } from './mirror-set.ts';

/** Regions that one answer may span. */
const REGIONS_MAX = 1024;

export function mirrorAllocation(set: MirrorSet, sector: Sector, count: SectorCount): Allocation {
  const first = set.geometry.regionOf(sector);
  const inSync = set.log.inSyncNow(first);
  const within = sameSync(set, first, inSync, sector, count);
  const leg = legThatIsRead(set, inSync);
  if (leg === null) return unknownAllocation(within);
  return allocationOf(leg.device, sectorAfter(leg.offset, sector), within);
}

/** Of the leg that is read at the beginning of the range; of another one nothing is known then. */
export function learnMirrorAllocation(
  set: MirrorSet,
  sector: Sector,
  count: SectorCount,
  done: AllocationLearnt,
): void {
  const leg = legThatIsRead(set, set.log.inSyncNow(set.geometry.regionOf(sector)));
  if (leg === null) done(count);
  else learnAllocation(leg.device, sectorAfter(leg.offset, sector), count, done);
}

/** Null where a read fails, or waits for the log. */
function legThatIsRead(set: MirrorSet, inSync: number | 'would-block'): Leg | null {
  const { legs, defaultLeg } = set;
  if (inSync === 'would-block') return null;
  if (inSync !== 0) return chooseLeg(legs, defaultLeg);
  return defaultLeg.failed ? null : defaultLeg;
}

/** How many of the sectors lie in regions that are as much in sync as the first. */
function sameSync(
  set: MirrorSet,
  first: Region,
  inSync: number | 'would-block',
  sector: Sector,
  count: SectorCount,
): SectorCount {
  const { geometry, log } = set;
  const last = geometry.regionOf(toSector(sector + count - 1));
  const limit = Math.min(last + 1, first + REGIONS_MAX);
  let end = first + 1;
  while (end < limit && log.inSyncNow(end as Region) === inSync) end += 1;
  return Math.min(count, end * geometry.regionSizeSectors - sector) as SectorCount;
}
