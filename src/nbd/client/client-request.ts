/**
 * One request of a client and what has come of its answer. Made once, then used again and again:
 * a hot path has one such object per request in flight.
 *
 * Ownership: from `submit` until it comes back, request and data are the connection's.
 */

import type { ContextStatus } from '../codec/status-codec.ts';

export class ClientRequest {
  command = 0;
  flags = 0;
  /** Position and length in bytes, both 0 where the command has none. */
  offset = 0;
  length = 0;
  /** Of a READ, to be filled; of a WRITE, to be sent; exactly `length` bytes. Else null. */
  data: Uint8Array | null = null;
  /** The submitter's own. */
  context: unknown;
  /** It was answered; not called when the connection is lost instead. */
  onEnd: (request: ClientRequest) => void;

  /** The first error of the answer: its number in the NBD protocol, 0 for success. */
  error = 0;
  /** What the server said of it. */
  text = '';
  /** Of a BLOCK_STATUS: one for each context. */
  statuses: ContextStatus[] = [];

  /** From here on: the connection's own. */
  slot = 0;
  generation = 0;
  /** How many bytes had been given to the transport when its last one was. */
  sentThrough = 0;
  /** READ: so many bytes from its beginning have come. */
  filled = 0;
  /** READ: ranges that have come behind `filled`, in order; null for none, as nearly always. */
  islands: { readonly start: number; readonly end: number }[] | null = null;
  /** The answer is complete, but the transport still has bytes of the request. */
  isAnswered = false;

  constructor(onEnd: (request: ClientRequest) => void) {
    this.onEnd = onEnd;
  }

  /** Forgets an earlier answer. */
  begin(): void {
    this.error = 0;
    this.text = '';
    if (this.statuses.length > 0) this.statuses = [];
    this.filled = 0;
    this.islands = null;
    this.isAnswered = false;
  }
}
