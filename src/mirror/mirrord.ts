/**
 * The turn of a mirror's worker: everything a mirror decides, in five steps (specification 2.4).
 */

import { type Awaitable, andThen } from '../base/awaitable.ts';
import { serveFailures } from './failures.ts';
import type { Kcopyd } from './kcopyd.ts';
import type { MirrorSet } from './mirror-set.ts';
import { serveReads } from './reads.ts';
import { recover } from './recovery.ts';
import type { Writes } from './writes.ts';

/** The parts that a turn works with, beside the set itself. */
export interface TurnParts {
  readonly writes: Writes;
  readonly kcopyd: Kcopyd;
}

/** Ends before it returns where neither the log nor a leg's flush makes it wait. */
export function takeTurn(set: MirrorSet, { writes, kcopyd }: TurnParts): Awaitable<void> {
  const queued = set.takeQueues();
  const settled = set.hash.updateStates();
  const recovered = andThen(settled, () => recover(set, kcopyd));
  const read = andThen(recovered, () => serveReads(set, queued.reads));
  const written = andThen(read, () => writes.serve(queued.writes));
  return andThen(written, () => serveFailures(set, queued.failures));
}
