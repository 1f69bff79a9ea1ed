/**
 * Makes durable, on every healthy leg, all that it was given. The mirror is suspended, and its
 * table is to be replaced.
 *
 * What was copied to a leg may be in its cache only. That is good enough while the leg that it was
 * copied from stays first in the table: a restart copies again. It is not when that leg goes.
 */

import { errnoName, OK } from '../base/errno.ts';
import { runBio } from '../block/run-bio.ts';
import type { MirrorSet } from './mirror-set.ts';

/** A leg that cannot has failed, and shows it. */
export async function flushHealthyLegs(set: MirrorSet): Promise<void> {
  const flushes = set.legs.map(async (leg) => {
    if (leg.failed) return;
    const result = await runBio(leg.device, { op: 'flush' });
    if (result !== OK) set.failLeg(leg, 'flush', `flush failed with ${errnoName(result)}`);
  });
  await Promise.all(flushes);
}
