/**
 * One request addressed in bytes, with the bio that carries it out. Made once, then used again and
 * again: the fast path of a server is one such object and its bio per request in flight.
 *
 * Ownership follows `bio.ts`: from `AlignDevice.submit` to `onEnd` request and data are the
 * device's.
 */

import { assert } from '../base/assert.ts';
import type { IoResult } from '../base/errno.ts';
import type { SectorCount } from '../base/units.ts';
import { Bio, type BioOp } from './bio.ts';

export type ByteRequestEnd = (request: ByteRequest, result: IoResult) => void;

/** What `AlignDevice` does with a request at this moment. */
export type ByteRequestState = 'idle' | 'waiting' | 'running';

export class ByteRequest {
  op: BioOp = 'read';
  /** Position and length in bytes, both 0 for a flush. */
  offset = 0;
  length = 0;
  /** Exactly `length` bytes for a read (to be filled) or a write, else null. */
  data: Uint8Array | null = null;
  fua = false;
  onEnd: ByteRequestEnd;
  /** The submitter's own. */
  context: unknown;
  /** Why it failed, for people, where the device said so. */
  detail: string | null = null;

  /** From here on: `AlignDevice`'s own. */
  readonly bio: Bio;
  state: ByteRequestState = 'idle';
  next: ByteRequest | null = null;
  previous: ByteRequest | null = null;
  /** Nothing that overlaps it may change meanwhile. */
  exclusive = false;
  /** The whole blocks that it touches, in bytes. */
  firstByte = 0;
  endByte = 0;
  bounce: Uint8Array | null = null;

  constructor(onEnd: ByteRequestEnd) {
    this.onEnd = onEnd;
    this.bio = new Bio({
      op: 'flush',
      sector: 0 as Bio['sector'],
      count: 0 as SectorCount,
      data: null,
      fua: false,
      onEnd: neverSubmitted,
    });
    this.bio.context = this;
  }
}

function neverSubmitted(): void {
  assert(false, 'A bio ended that was never submitted');
}
