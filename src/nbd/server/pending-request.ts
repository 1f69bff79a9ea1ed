/**
 * One request of a client in progress: what its reply needs, beside the request to the device.
 * Objects are used again; a connection has at most as many as it may have requests in flight.
 */

import { NBD_DISCARD_SLICE_BYTES } from '../../base/limits.ts';
import { ByteRequest, type ByteRequestEnd } from '../../block/byte-request.ts';
import type { PooledBuffer } from '../buffer-pool.ts';
import type { RequestHeader } from '../codec/request-codec.ts';
import type { SelectedContext } from './meta-context.ts';

const NO_CONTEXTS: readonly SelectedContext[] = [];

export class PendingRequest {
  readonly request: ByteRequest;
  command = 0;
  cookieHigh = 0;
  cookieLow = 0;
  offset = 0;
  offsetHigh = 0;
  offsetLow = 0;
  length = 0;
  /** Bytes that earlier slices have carried out. */
  done = 0;
  /** What `done` becomes when the present slice has ended. */
  sliceEnd = 0;
  /** The longest slice. */
  sliceBytes = 0;
  /** Writes zeroes from memory, for a device that cannot zero, or may not punch a hole. */
  zeroesFromMemory = false;
  /** Counted against the limits of the connection. */
  payloadBytes = 0;
  /** Holds the payload of a WRITE. */
  received: PooledBuffer | null = null;
  /** Holds the reply of a READ. */
  reply: PooledBuffer | null = null;
  replyStart = 0;
  /** Bytes before `offset` that were asked for as well, and are known to be zeroes. */
  holeBytes = 0;
  /** Of BLOCK_STATUS. */
  contexts: readonly SelectedContext[] = NO_CONTEXTS;
  reqOne = false;
  busy = false;
  /** The client has its answer, or will not get one; only the device still works on it. */
  answered = false;

  constructor(onEnd: ByteRequestEnd) {
    this.request = new ByteRequest(onEnd);
    this.request.context = this;
  }

  begin(header: RequestHeader, payloadBytes: number): void {
    this.command = header.command;
    this.cookieHigh = header.cookieHigh;
    this.cookieLow = header.cookieLow;
    this.offset = header.offset;
    this.offsetHigh = header.offsetHigh;
    this.offsetLow = header.offsetLow;
    this.length = header.length;
    this.done = 0;
    this.holeBytes = 0;
    this.sliceBytes = NBD_DISCARD_SLICE_BYTES;
    this.zeroesFromMemory = false;
    this.payloadBytes = payloadBytes;
    this.busy = true;
    this.answered = false;
  }

  /** The length of the next slice, which ends on a whole block wherever that is possible. */
  nextSlice(blockSize: number): number {
    const left = this.length - this.done;
    const slice = Math.min(left, this.sliceBytes);
    const intoBlock = (this.offset + this.done) % blockSize;
    if (intoBlock !== 0) return Math.min(slice, blockSize - intoBlock);
    return slice < blockSize ? slice : slice - (slice % blockSize);
  }
}
