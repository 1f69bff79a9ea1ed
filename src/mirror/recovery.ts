/** Recovery: pick a region, quiesce it, copy it from the default leg, settle (specification 5). */

import { type Awaitable, andThen } from '../base/awaitable.ts';
import type { CopyResult, Kcopyd } from './kcopyd.ts';
import type { Leg } from './leg.ts';
import type { MirrorSet } from './mirror-set.ts';
import type { MirrorWrite } from './mirror-write.ts';
import type { RegionEntry } from './region-hash.ts';

/** The turn's share: claims work, starts copies, notices that the mirror is in sync. */
export function recover(set: MirrorSet, kcopyd: Kcopyd): Awaitable<void> {
  return andThen(set.hash.prepareRecovery(), () => {
    for (let entry = set.hash.nextQuiesced(); entry !== null; entry = set.hash.nextQuiesced()) {
      copyRegion(set, kcopyd, entry);
    }
    return updateInSync(set);
  });
}

/** Raises the event and forgives the legs when the last region came into sync (5.5). */
export function updateInSync(set: MirrorSet): Awaitable<void> {
  if (set.inSync) return;
  return andThen(set.log.getSyncCount(), (syncCount) => compare(set, syncCount));
}

function compare(set: MirrorSet, syncCount: number): void {
  if (syncCount === set.geometry.regionCount) set.becomeInSync();
}

function copyRegion(set: MirrorSet, kcopyd: Kcopyd, entry: RegionEntry<MirrorWrite>): void {
  // Captured now: with keep_log a read error may move the default leg before the result is judged.
  const source = set.defaultLeg;
  const { region } = entry;
  kcopyd.copy(
    {
      region,
      source,
      destinations: set.legs.filter((leg) => leg !== source),
      sector: set.geometry.startOf(region),
      count: set.geometry.lengthOf(region),
      ignoreErrors: !set.features.handleErrors,
      untilWritable: set.log.untilWritable?.bind(set.log),
    },
    (result) => copyEnded(set, entry, source, result),
  );
}

function copyEnded(
  set: MirrorSet,
  entry: RegionEntry<MirrorWrite>,
  source: Leg,
  { readError, failedDestinations, reasons }: CopyResult,
): void {
  const why = (leg: Leg): string =>
    `copying region ${entry.region}: ${reasons?.get(leg) ?? 'no reason known'}`;
  if (readError) set.failLeg(source, 'sync', why(source));
  for (const leg of failedDestinations) set.failLeg(leg, 'sync', why(leg));
  const success = !readError && failedDestinations.length === 0;
  if (!success && !set.features.handleErrors) set.counters.blindRecoveries += 1;
  set.hash.recoveryEnded(entry, success);
}
