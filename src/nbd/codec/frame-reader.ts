/**
 * Bytes in, frames out: where received bytes are placed, and which of them were not consumed yet.
 *
 * A frame is always contiguous. Frames taken out of it are slices of the receive buffer, which is
 * held until the last of them is let go. A large frame gets a buffer of its own, with room for one
 * more request header behind it: so in a stream of large writes every payload is received into the
 * place from which it is written, and nothing is copied.
 *
 * Invariant: start <= end <= capacity, and bytes outside [start, end) are nobody's but those of
 * frames taken out before.
 */

import { assert } from '../../base/assert.ts';
import type { BufferPool, PooledBuffer } from '../buffer-pool.ts';
import { REQUEST_SIZE } from '../constants.ts';

const BUFFER_BYTES = 2 ** 18;
/** With less room than this behind the last byte a new buffer is worth more than a small read. */
const WINDOW_BYTES_MIN = 2 ** 13;
/** From this size on, a frame is received by itself. */
const LARGE_FRAME_BYTES = 2 ** 17;
/**
 * Behind a large frame another is likely: no more than this of it is received in the wrong place.
 */
const TAIL_BYTES = 2 ** 12;
/** A larger buffer is given back behind its frame, or an idle connection would hold it for ever. */
const STREAMING_BYTES_MAX = 2 ** 22;

export class FrameReader {
  /** The size of a request's header: large frames come between such. */
  headerSize = REQUEST_SIZE;
  readonly #pool: BufferPool;
  #buffer: PooledBuffer;
  #start = 0;
  #end = 0;
  /** The size of the frame that is awaited. */
  #needed = 0;
  /** The last frame was a large one. */
  #afterLarge = false;

  constructor(pool: BufferPool) {
    this.#pool = pool;
    this.#buffer = pool.take(BUFFER_BYTES);
  }

  /** Bytes received and not consumed. */
  get available(): number {
    return this.#end - this.#start;
  }

  /** The buffer of the next frame, and where in it the frame begins. */
  get buffer(): PooledBuffer {
    return this.#buffer;
  }

  get start(): number {
    return this.#start;
  }

  /** True when a frame of `size` bytes is there; otherwise makes room for it. */
  need(size: number): boolean {
    if (this.#end - this.#start >= size) {
      this.#needed = 0;
      this.#afterLarge ||= size >= LARGE_FRAME_BYTES;
      return true;
    }
    this.#needed = size;
    return false;
  }

  /** The next `size` bytes. Valid until `consume`, or as long as the caller retains the buffer. */
  peek(size: number): Buffer {
    assert(this.available >= size, 'A frame was taken that is not all there');
    return this.#buffer.bytes.subarray(this.#start, this.#start + size);
  }

  consume(size: number): void {
    assert(this.available >= size, 'More bytes were consumed than are there');
    this.#start += size;
  }

  /** Where the next received bytes are to be placed; valid until the next call of any method. */
  window(): Buffer {
    const needed = Math.max(this.#needed, this.headerSize);
    const isLarge = needed >= LARGE_FRAME_BYTES;
    const afterLarge = this.#afterLarge;
    this.#afterLarge = false;
    const { bytes } = this.#buffer;
    const isOrdinary = bytes.length < 2 * BUFFER_BYTES;
    const mayStay = isOrdinary || isLarge || (afterLarge && bytes.length <= STREAMING_BYTES_MAX);
    const room = bytes.length - this.#end;
    if (this.#start === this.#end && this.#buffer.exclusive && mayStay) {
      this.#start = 0;
      this.#end = 0;
    } else if (needed === this.headerSize && room < WINDOW_BYTES_MIN && !afterLarge) {
      this.#move(needed);
    }
    if (this.#start + needed > this.#buffer.bytes.length) this.#move(needed);
    let limit = this.#buffer.bytes.length;
    if (isLarge) limit = Math.min(limit, this.#start + needed + this.headerSize);
    else if (afterLarge && needed === this.headerSize && this.#start > 0)
      limit = Math.min(limit, this.#start + TAIL_BYTES);
    assert(limit > this.#end, 'There is no room to receive anything');
    return this.#buffer.bytes.subarray(this.#end, limit);
  }

  /** `size` bytes were placed at the beginning of the last window. */
  received(size: number): void {
    this.#end += size;
    assert(this.#end <= this.#buffer.bytes.length, 'More bytes were received than had room');
  }

  /** Takes bytes that were received elsewhere. */
  append(bytes: Uint8Array): void {
    const size = Math.max(this.#needed, this.available + bytes.length);
    if (this.#start + size > this.#buffer.bytes.length) this.#move(size);
    this.#buffer.bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** Forgets what is left; nothing may be asked afterwards. */
  close(): void {
    this.#buffer.release();
    this.#start = 0;
    this.#end = 0;
  }

  /** Goes on in a new buffer, with room for a frame of `size` bytes. */
  #move(size: number): void {
    const old = this.#buffer;
    this.#buffer = this.#pool.take(Math.max(BUFFER_BYTES, size + this.headerSize));
    old.bytes.copy(this.#buffer.bytes, 0, this.#start, this.#end);
    old.release();
    this.#end -= this.#start;
    this.#start = 0;
  }
}
