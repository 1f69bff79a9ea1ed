/**
 * The table line of a mirror without one of its legs, which becomes an image of its own.
 * Counterpart: `lvconvert --splitmirrors` (specification 13.3).
 */

import { EBUSY, EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import type { LegArgs } from './mirror-args.ts';
import { isInSync, type MirrorCondition, type NextLine, nextLine } from './next-table.ts';

export interface SplitPlan {
  readonly next: NextLine;
  /** Where the image is. */
  readonly image: LegArgs;
}

/** @throws UserError unless the leg holds everything that the mirror does. */
export function planSplit(condition: MirrorCondition, leg: number): SplitPlan {
  const { line, health, regionsInSync, regionCount } = condition;
  const image = line.legs[leg];
  const what = `Cannot split leg ${leg} off`;
  if (image === undefined) {
    const last = line.legs.length - 1;
    throw new UserError('no-leg', `${what}: there is none, must be 0 to ${last}`, {
      errno: EINVAL,
    });
  }
  if (!isInSync(condition)) {
    throw new UserError(
      'out-of-sync',
      `${what}: ${regionsInSync} of ${regionCount} regions are in sync, must be all`,
      { errno: EBUSY, hint: 'Wait until the mirror is in sync ("nbd-mirror status --watch").' },
    );
  }
  if (health[leg] !== 'A') {
    throw new UserError('leg-failed', `${what}: it has failed (${health[leg]}), must be healthy`, {
      errno: EBUSY,
    });
  }
  const stay = line.legs.filter((_, index) => index !== leg);
  return { next: nextLine(condition, { stay, join: [], log: 'keep' }), image };
}
