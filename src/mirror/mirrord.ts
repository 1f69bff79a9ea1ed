/**
 * The turn of a mirror's worker: everything a mirror decides, in five steps (specification 2.4).
 */

import { isPromise } from '../base/awaitable.ts';
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

export async function takeTurn(set: MirrorSet, { writes, kcopyd }: TurnParts): Promise<void> {
  const queued = set.takeQueues();
  const settled = set.hash.updateStates();
  if (isPromise(settled)) await settled;
  await recover(set, kcopyd);
  await serveReads(set, queued.reads);
  await writes.serve(queued.writes);
  await serveFailures(set, queued.failures);
}
