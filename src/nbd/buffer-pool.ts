/**
 * Receive and reply buffers, counted by reference and used again.
 *
 * A fresh buffer of a mebibyte costs more in page faults than the copy it saves; so buffers come
 * back here when the last who holds one lets go. What a pool keeps is bounded, and what it
 * has handed out is counted. Contents are never cleared: only bytes that were written for a client
 * may be sent to it.
 */

import { assert } from '../base/assert.ts';

/** Room beside a payload of a power of two: for its header, and for the request that follows it. */
const SLACK_BYTES = 4096;
const SIZE_MIN = 2 ** 16;
/** Beyond what 16 requests of 1 MiB in flight use, buffers go back to the system. */
const KEPT_BYTES_MAX = 32 * 2 ** 20;
const ZEROES_BYTES = 2 ** 20;

export class PooledBuffer {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly #pool: BufferPool;
  #holders = 1;
  #reusable = true;

  constructor(pool: BufferPool, size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, size);
    this.#pool = pool;
  }

  /** Nobody but the caller holds it. */
  get exclusive(): boolean {
    return this.#holders === 1;
  }

  retain(): void {
    assert(this.#holders > 0, 'A buffer was retained after its last release');
    this.#holders += 1;
  }

  release(): void {
    assert(this.#holders > 0, 'A buffer was released more often than retained');
    this.#holders -= 1;
    if (this.#holders === 0) this.#pool.giveBack(this);
  }

  /** A system call may still use the bytes: after its last release nobody gets it any more. */
  spoil(): void {
    this.#reusable = false;
  }

  get reusable(): boolean {
    return this.#reusable;
  }

  /** The pool's own: hands it out again. */
  reuse(): void {
    assert(this.#holders === 0, 'A buffer in use was handed out');
    this.#holders = 1;
  }
}

export class BufferPool {
  readonly #kept = new Map<number, PooledBuffer[]>();
  #keptBytes = 0;
  #takenBytes = 0;
  #zeroes: Buffer | null = null;

  /** Bytes of all buffers that somebody holds. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Bytes of all buffers that wait for their next use. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** A buffer of at least `size` bytes, held once, with any contents. */
  take(size: number): PooledBuffer {
    const capacity = capacityFor(size);
    this.#takenBytes += capacity;
    const kept = this.#kept.get(capacity)?.pop();
    if (kept === undefined) return new PooledBuffer(this, capacity);
    this.#keptBytes -= capacity;
    kept.reuse();
    return kept;
  }

  giveBack(buffer: PooledBuffer): void {
    const capacity = buffer.bytes.length;
    this.#takenBytes -= capacity;
    assert(this.#takenBytes >= 0, 'More buffers were given back than taken');
    if (!buffer.reusable || this.#keptBytes + capacity > KEPT_BYTES_MAX) return;
    this.#keptBytes += capacity;
    const list = this.#kept.get(capacity);
    if (list === undefined) this.#kept.set(capacity, [buffer]);
    else list.push(buffer);
  }

  /** Lets go of everything that is not in use: the last client has left. */
  trim(): void {
    this.#kept.clear();
    this.#keptBytes = 0;
  }

  /** `length` zero bytes, shared by all: to be read only. */
  zeroes(length: number): Uint8Array {
    assert(length <= ZEROES_BYTES, `${length} zero bytes were asked for, must be ${ZEROES_BYTES}`);
    this.#zeroes ??= Buffer.alloc(ZEROES_BYTES);
    return this.#zeroes.subarray(0, length);
  }
}

function capacityFor(size: number): number {
  let capacity = SIZE_MIN;
  while (capacity + SLACK_BYTES < size) capacity *= 2;
  return capacity + SLACK_BYTES;
}
