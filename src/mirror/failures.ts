/**
 * What becomes of failed writes: fail, hold, or complete as if nothing had happened (specification
 * 3.3).
 */

import { type Awaitable, andThen, forEachInTurn } from '../base/awaitable.ts';
import { EIO, OK } from '../base/errno.ts';
import type { MirrorSet } from './mirror-set.ts';
import type { MirrorWrite } from './mirror-write.ts';

export function serveFailures(set: MirrorSet, failures: readonly MirrorWrite[]): Awaitable<void> {
  return forEachInTurn(failures, (write) => serveFailure(set, write));
}

function serveFailure(set: MirrorSet, write: MirrorWrite): Awaitable<void> {
  if (set.logFailure) return decide(set, write);
  set.inSync = false;
  return andThen(noteDivergence(set, write), () => decide(set, write));
}

/** The legs differ where the write went. */
function noteDivergence(set: MirrorSet, write: MirrorWrite): Awaitable<void> {
  const { op } = write.bio;
  if (op === 'flush') set.hash.noteFlushFailure();
  if (op === 'flush' || op === 'discard') return;
  return set.hash.markNosync(write);
}

function decide(set: MirrorSet, write: MirrorWrite): void {
  const { handleErrors, keepLog } = set.features;
  // Any error counts here: a leg that once failed a read is as dead as one that failed a write.
  if (set.legs.every((leg) => leg.failed)) {
    write.bio.detail ??= 'All legs have failed';
    set.endWrite(write, EIO);
  } else if (keepLog && set.logFailure) {
    write.bio.detail ??= 'The dirty log has failed';
    set.endWrite(write, EIO);
  } else if (handleErrors && !keepLog) {
    set.hold(write);
  } else {
    complete(set, write);
  }
}

function complete(set: MirrorSet, write: MirrorWrite): void {
  write.bio.detail = null;
  if (write.bio.op === 'flush') set.counters.degradedFlushes += 1;
  else set.counters.degradedWrites += 1;
  set.endWrite(write, OK);
}
