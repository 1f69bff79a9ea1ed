/**
 * Replies on their way out: collected while a turn runs, sent together when it ends.
 *
 * Room for a reply is reserved in a shared buffer, for a READ before its data exist, so that the
 * device reads into the place from which it is sent. Replies that became ready next to each other
 * in one buffer leave as one piece.
 */

import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import type { BufferPool, PooledBuffer } from '../buffer-pool.ts';
import type { Transport } from '../transport.ts';

const BUFFER_BYTES = 2 ** 18;
/** A reply from this size on gets a buffer of its own. */
const LARGE_REPLY_BYTES = 2 ** 16;
/**
 * So many replies leave without waiting for the end of the turn: the client takes them, and sends
 * more, on another core meanwhile.
 */
const REPLIES_AT_ONCE = 8;

/** A run of ready bytes; holds its buffer once. */
interface Segment {
  buffer: PooledBuffer;
  start: number;
  end: number;
}

export class ReplyQueue {
  readonly #pool: BufferPool;
  readonly #transport: Transport;
  readonly #clock: Clock;
  /** Called after every flush, and when bytes have left. */
  readonly #onProgress: () => void;
  #shared: PooledBuffer;
  #sharedEnd = 0;
  #ready: Segment[] = [];
  #readyBytes = 0;
  #readyReplies = 0;
  /** Given to the transport and not sent yet, in order. */
  readonly #leaving: PooledBuffer[] = [];
  #leavingFirst = 0;
  #scheduled = false;
  #closed = false;
  /** The buffer of the last `reserve`, held once for the caller. */
  reserved: PooledBuffer;

  readonly #flushDeferred = (): void => {
    this.#scheduled = false;
    this.flush();
  };
  readonly #sent = (): void => this.#pieceSent();

  constructor(options: {
    readonly pool: BufferPool;
    readonly transport: Transport;
    readonly clock: Clock;
    readonly onProgress: () => void;
  }) {
    this.#pool = options.pool;
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#onProgress = options.onProgress;
    this.#shared = this.#pool.take(BUFFER_BYTES);
    this.reserved = this.#shared;
  }

  /** Bytes of replies that have not left. */
  get queuedBytes(): number {
    return this.#readyBytes + this.#transport.queuedBytes;
  }

  /** Makes room for a reply in `reserved`, and says where in it the reply begins. */
  reserve(size: number): number {
    if (size >= LARGE_REPLY_BYTES) {
      this.reserved = this.#pool.take(size);
      return 0;
    }
    if (this.#shared.exclusive) this.#sharedEnd = 0;
    if (this.#sharedEnd + size > this.#shared.bytes.length) {
      this.#shared.release();
      this.#shared = this.#pool.take(BUFFER_BYTES);
      this.#sharedEnd = 0;
    }
    const start = this.#sharedEnd;
    this.#sharedEnd += size;
    this.#shared.retain();
    this.reserved = this.#shared;
    return start;
  }

  /** A reply is ready. Takes over the caller's hold of the buffer. */
  push(buffer: PooledBuffer, start: number, size: number): void {
    if (this.#closed) {
      buffer.release();
      return;
    }
    this.#readyBytes += size;
    this.#readyReplies += 1;
    const last = this.#ready.at(-1);
    if (last !== undefined && last.buffer === buffer && last.end === start) {
      last.end += size;
      buffer.release();
    } else {
      this.#ready.push({ buffer, start, end: start + size });
    }
    if (this.#readyReplies >= REPLIES_AT_ONCE) this.#sendNow();
  }

  /** Flushes once the present turn has ended; many calls make one flush. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.defer(this.#flushDeferred);
  }

  /** Gives everything that is ready to the transport, as one write. */
  flush(): void {
    if (this.#ready.length > 0 && !this.#closed) this.#send();
    this.#onProgress();
  }

  /** Nothing leaves any more. What the transport still has is left to the garbage collector. */
  close(): void {
    assert(!this.#closed, 'A reply queue was closed twice');
    this.#closed = true;
    for (const buffer of this.#leaving.slice(this.#leavingFirst)) {
      buffer.spoil();
      buffer.release();
    }
    this.#leaving.length = 0;
    for (const { buffer } of this.#ready) buffer.release();
    this.#ready = [];
    this.#readyBytes = 0;
    this.#shared.release();
  }

  /** Sends what leaves without waiting; the rest stays ready. */
  #sendNow(): void {
    const ready = this.#ready;
    this.#readyReplies = 0;
    let whole = 0;
    for (const segment of ready) {
      const { buffer, start, end } = segment;
      const sent = this.#transport.sendNow(buffer.bytes.subarray(start, end));
      this.#readyBytes -= sent;
      segment.start += sent;
      if (segment.start < end) break;
      buffer.release();
      whole += 1;
    }
    if (whole === ready.length) ready.length = 0;
    else ready.splice(0, whole);
  }

  #send(): void {
    this.#sendNow();
    const ready = this.#ready;
    if (ready.length === 0) return;
    this.#ready = [];
    this.#readyBytes = 0;
    if (ready.length > 1) this.#transport.cork();
    for (const { buffer, start, end } of ready) {
      this.#leaving.push(buffer);
      this.#transport.send(buffer.bytes.subarray(start, end), this.#sent);
    }
    if (ready.length > 1) this.#transport.uncork();
  }

  #pieceSent(): void {
    if (this.#closed) return;
    const buffer = this.#leaving[this.#leavingFirst]!;
    this.#leavingFirst += 1;
    if (this.#leavingFirst === this.#leaving.length) {
      this.#leaving.length = 0;
      this.#leavingFirst = 0;
    }
    buffer.release();
    this.#onProgress();
  }
}
