/**
 * Bytes of a server that have been received and not yet looked at, in one buffer of a fixed size.
 *
 * Invariant: start <= end <= size. Whatever a client must see whole is shorter than the buffer, so
 * that no length of a hostile server ever makes it grow.
 */

import { assert } from '../../base/assert.ts';

const INBOX_BYTES = 2 ** 17;
/** With less room than this behind the last byte, what is there moves to the front. */
const WINDOW_BYTES_MIN = 2 ** 15;

export class Inbox {
  readonly bytes: Buffer;
  readonly view: DataView;
  #start = 0;
  #end = 0;

  constructor() {
    this.bytes = Buffer.allocUnsafeSlow(INBOX_BYTES);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, INBOX_BYTES);
  }

  get available(): number {
    return this.#end - this.#start;
  }

  /** Where in the buffer the next byte is. */
  get start(): number {
    return this.#start;
  }

  /** Where the next received bytes are to be placed. */
  window(): Buffer {
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
    } else if (INBOX_BYTES - this.#end < WINDOW_BYTES_MIN) {
      this.bytes.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    assert(this.#end < INBOX_BYTES, 'Inbox is full');
    return this.bytes.subarray(this.#end);
  }

  /** `size` bytes were placed at the beginning of the last window. */
  received(size: number): void {
    this.#end += size;
    assert(this.#end <= INBOX_BYTES, 'More bytes were received than had room');
  }

  /** The next `size` bytes, valid until the next call of `window`. */
  peek(size: number): Buffer {
    assert(size <= this.available, `${size} bytes were looked at, ${this.available} are there`);
    return this.bytes.subarray(this.#start, this.#start + size);
  }

  consume(size: number): void {
    assert(size <= this.available, `${size} bytes were consumed, ${this.available} are there`);
    this.#start += size;
  }
}
