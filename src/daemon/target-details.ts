/** Glue: what live displays show of a mirror beyond its status line. */

import type { TargetDetails } from '../control/control-host.ts';
import type { Target } from '../dm/target.ts';
import { MirrorTarget } from '../mirror/mirror-target.ts';

export async function targetDetails(target: Target): Promise<TargetDetails | null> {
  if (!(target instanceof MirrorTarget)) return null;
  const { geometry, legs, log, hash, defaultLeg, heldCount, counters } = target.set;
  const { regionCount } = geometry;
  const inSync = Math.min(await log.getSyncCount('status'), regionCount);
  let [dirty, recovering] = [0, 0];
  for (const { state } of hash.entries()) {
    if (state === 'dirty') dirty += 1;
    else if (state === 'recovering') recovering += 1;
  }
  const clean = Math.max(0, inSync - dirty);
  return {
    regionSectors: geometry.regionSizeSectors,
    regionCount,
    regions: { clean, dirty, recovering, nosync: regionCount - clean - dirty - recovering },
    legs: legs.map((leg) => ({
      name: leg.device.name,
      health: leg.health,
      errors: leg.errorCount,
      isDefault: leg === defaultLeg,
    })),
    heldWrites: heldCount,
    losses: { ...counters },
  };
}
