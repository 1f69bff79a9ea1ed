/**
 * Reads: served from the default leg, or from another when it has failed (specification 4).
 *
 * A read of a region in sync goes to a leg at once; all others wait for the worker, who may ask a
 * log that blocks. A failed read is tried again as long as a leg may have the data.
 */

import { type Awaitable, andThen, forEachAtOnce } from '../base/awaitable.ts';
import { EIO, EOPNOTSUPP, errnoName, type IoResult, OK } from '../base/errno.ts';
import { sectorAfter } from '../base/units.ts';
import { Bio } from '../block/bio.ts';
import { chooseLeg } from './choose-leg.ts';
import type { Leg } from './leg.ts';
import type { MirrorSet } from './mirror-set.ts';
import type { RegionState } from './region-state.ts';

/** What a read of a leg needs to know when it ends. */
interface LegRead {
  readonly set: MirrorSet;
  readonly leg: Leg;
  readonly parent: Bio;
}

/** A read arrives. */
export function mapRead(set: MirrorSet, bio: Bio): void {
  const inSync = set.log.inSyncNow(set.geometry.regionOf(bio.sector));
  if (inSync === 'would-block' || inSync === 0) {
    set.queueRead(bio);
    return;
  }
  const leg = chooseLeg(set.legs, set.defaultLeg);
  if (leg === null) failRead(bio);
  else readFrom(set, leg, bio);
}

/** The worker's share: a region out of sync is read from the default leg only. */
export function serveReads(set: MirrorSet, reads: readonly Bio[]): Awaitable<void> {
  return forEachAtOnce(reads, (bio) => {
    const answer = set.hash.stateOf(set.geometry.regionOf(bio.sector));
    return andThen(answer, (state) => serveRead(set, bio, state));
  });
}

function serveRead(set: MirrorSet, bio: Bio, state: RegionState): void {
  const { defaultLeg } = set;
  let leg: Leg | null;
  if (state === 'clean' || state === 'dirty') leg = chooseLeg(set.legs, defaultLeg);
  else leg = defaultLeg.failed ? null : defaultLeg;
  if (leg === null) failRead(bio);
  else readFrom(set, leg, bio);
}

function readFrom(set: MirrorSet, leg: Leg, parent: Bio): void {
  const context: LegRead = { set, leg, parent };
  leg.device.submit(
    new Bio({
      op: 'read',
      sector: sectorAfter(leg.offset, parent.sector),
      count: parent.count,
      data: parent.data,
      fua: parent.fua,
      onEnd: legReadEnded,
      context,
    }),
  );
}

function legReadEnded(bio: Bio, result: IoResult): void {
  const { set, leg, parent } = bio.context as LegRead;
  if (result === OK || result === EOPNOTSUPP) {
    parent.detail = bio.detail;
    parent.end(result);
    return;
  }
  set.failLeg(leg, 'read', bio.detail ?? `read failed with ${errnoName(result)}`);
  if (mayServe(set, parent)) {
    set.queueRead(parent);
    return;
  }
  parent.fail(result, bio.detail ?? 'No leg could be read');
}

/**
 * Whether some leg may still have the data: the default leg, or any where the region is in sync. A
 * log that cannot tell at once counts as a yes; the worker then asks properly (4.3).
 */
function mayServe(set: MirrorSet, bio: Bio): boolean {
  if (!set.defaultLeg.failed) return true;
  if (set.log.inSyncNow(set.geometry.regionOf(bio.sector)) === 0) return false;
  return chooseLeg(set.legs, set.defaultLeg) !== null;
}

function failRead(bio: Bio): void {
  bio.fail(EIO, 'No leg is left that has the data');
}
