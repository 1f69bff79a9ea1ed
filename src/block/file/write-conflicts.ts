/** Which writes must not overtake each other. */

import type { Bio } from '../bio.ts';

/**
 * One of these writes goes to a place of this one. Clients may not rely on any order of two such,
 * but the legs of a mirror must get them in the same, or they would differ in the end.
 */
export function conflictsWith(bio: Bio, others: readonly Bio[]): boolean {
  if (bio.op !== 'write') return false;
  return others.some((other) => {
    const isApart =
      other.sector + other.count <= bio.sector || bio.sector + bio.count <= other.sector;
    return other.op === 'write' && !isApart;
  });
}
