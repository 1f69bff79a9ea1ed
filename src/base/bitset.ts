/**
 * A bitset of fixed size, stored as the disk log stores it: bit i is bit (i mod 8) of byte i div 8,
 * least significant first; the storage is padded to whole 64-bit words (specification 8.1, 8.2).
 */

import { assert } from './assert.ts';

const WORD_BITS = 64;

export class Bitset {
  /** Number of meaningful bits. */
  readonly size: number;
  /** The storage itself: roundup(size, 64) / 8 bytes, padding included. */
  readonly bytes: Uint8Array;

  constructor(size: number) {
    assert(Number.isSafeInteger(size) && size >= 0, `Bitset size is ${size}, must be 0 to 2^53-1`);
    this.size = size;
    this.bytes = new Uint8Array(Bitset.byteLengthFor(size));
  }

  static byteLengthFor(size: number): number {
    return (Math.ceil(size / WORD_BITS) * WORD_BITS) / 8;
  }

  test(bit: number): boolean {
    return ((this.bytes[this.#byteOf(bit)]! >> (bit & 7)) & 1) === 1;
  }

  set(bit: number): void {
    const index = this.#byteOf(bit);
    this.bytes[index] = this.bytes[index]! | (1 << (bit & 7));
  }

  clear(bit: number): void {
    const index = this.#byteOf(bit);
    this.bytes[index] = this.bytes[index]! & ~(1 << (bit & 7));
  }

  /** Sets every bit to `value`, padding included. */
  fill(value: boolean): void {
    this.bytes.fill(value ? 0xff : 0);
  }

  /** Sets every bit from `from` (included) to the last one to `value`; padding stays. */
  fillFrom(from: number, value: boolean): void {
    let bit = from;
    for (; bit < this.size && (bit & 7) !== 0; bit++) this.#assign(bit, value);
    const wholeBytesEnd = this.size >> 3;
    if (bit < this.size && bit >> 3 < wholeBytesEnd) {
      this.bytes.fill(value ? 0xff : 0, bit >> 3, wholeBytesEnd);
      bit = wholeBytesEnd * 8;
    }
    for (; bit < this.size; bit++) this.#assign(bit, value);
  }

  /** Clears the padding bits behind the last meaningful one. */
  clearTail(): void {
    for (let bit = this.size; bit < this.bytes.length * 8; bit++) {
      this.bytes[bit >> 3] = this.bytes[bit >> 3]! & ~(1 << (bit & 7));
    }
  }

  /** The first clear bit at or behind `from`; `size` when every one is set. */
  findNextZero(from: number): number {
    return this.#findNext(from, 0xff, 0);
  }

  /** The first set bit at or behind `from`; `size` when none is. */
  findNextOne(from: number): number {
    return this.#findNext(from, 0, 1);
  }

  /** How many of the `size` meaningful bits are set. */
  weight(): number {
    let count = 0;
    for (let bit = this.findNextOne(0); bit < this.size; ) {
      const end = this.findNextZero(bit);
      count += end - bit;
      bit = this.findNextOne(end);
    }
    return count;
  }

  copyFrom(other: Bitset): void {
    assert(other.size === this.size, `Bitset of ${other.size} bits copied to one of ${this.size}`);
    this.bytes.set(other.bytes);
  }

  #findNext(from: number, uselessByte: number, wanted: number): number {
    let bit = from;
    while (bit < this.size) {
      const byte = this.bytes[bit >> 3]!;
      if ((bit & 7) === 0 && byte === uselessByte) {
        bit += 8;
        continue;
      }
      if (((byte >> (bit & 7)) & 1) === wanted) return bit;
      bit += 1;
    }
    return this.size;
  }

  #assign(bit: number, value: boolean): void {
    if (value) this.set(bit);
    else this.clear(bit);
  }

  #byteOf(bit: number): number {
    assert(bit >= 0 && bit < this.size, `Bit ${bit} is outside a bitset of ${this.size}`);
    return Math.floor(bit / 8);
  }
}
