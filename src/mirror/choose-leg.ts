/** Which leg serves a read (specification 4.1). */

import type { Leg } from './leg.ts';

/**
 * The default leg if it has no error; else the next lower one without, wrapping around from the
 * first to the last; null when every leg has failed. Legs take no turns: a healthy default leg
 * serves all.
 */
export function chooseLeg(legs: readonly Leg[], defaultLeg: Leg): Leg | null {
  for (let step = 0; step < legs.length; step++) {
    const leg = legs[(defaultLeg.index - step + legs.length) % legs.length]!;
    if (!leg.failed) return leg;
  }
  return null;
}

/** The lowest-numbered leg without an error, which takes over from a failed default leg (3.1). */
export function firstHealthyLeg(legs: readonly Leg[]): Leg | null {
  return legs.find((leg) => !leg.failed) ?? null;
}
