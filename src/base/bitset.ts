/**
 * A bitset of fixed size, stored as the disk log stores it: bit i is bit (i mod 8) of byte i div 8,
 * least significant first; the storage is padded to whole 64-bit words (specification 8.1, 8.2).
 *
 * Searches and counts go by 32-bit words where they can, and never look at the padding. Positions
 * may exceed 2^31, so bytes are found by division and not by shifting.
 */

import { assert, unreachable } from './assert.ts';

const WORD_BITS = 64;

export class Bitset {
  /** Number of meaningful bits. */
  readonly size: number;
  /** The storage itself: roundup(size, 64) / 8 bytes, padding included. */
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;

  /** `storage`, where given, is used as it is, with the bits it has; it must be 32-bit aligned. */
  constructor(size: number, storage?: Uint8Array) {
    assert(Number.isSafeInteger(size) && size >= 0, `Bitset size is ${size}, must be 0 to 2^53-1`);
    this.size = size;
    this.bytes = storage ?? new Uint8Array(Bitset.byteLengthFor(size));
    assert(
      this.bytes.length === Bitset.byteLengthFor(size),
      `Bitset of ${size} bits over ${this.bytes.length} bytes of storage`,
    );
    const { buffer, byteOffset, length } = this.bytes;
    this.#words = new Uint32Array(buffer, byteOffset, length / 4);
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
    const wholeBytesEnd = Math.floor(this.size / 8);
    if (bit / 8 < wholeBytesEnd) {
      this.bytes.fill(value ? 0xff : 0, bit / 8, wholeBytesEnd);
      bit = wholeBytesEnd * 8;
    }
    for (; bit < this.size; bit++) this.#assign(bit, value);
  }

  /** Clears the padding bits behind the last meaningful one. */
  clearTail(): void {
    const wholeBytes = Math.floor(this.size / 8);
    this.bytes.fill(0, Math.ceil(this.size / 8));
    if ((this.size & 7) !== 0) {
      this.bytes[wholeBytes] = this.bytes[wholeBytes]! & (0xff >> (8 - (this.size & 7)));
    }
  }

  /** The first clear bit at or behind `from`; `size` when every one is set. */
  findNextZero(from: number): number {
    return this.#findNext(from, 0xff, 0xffffffff);
  }

  /** The first set bit at or behind `from`; `size` when none is. */
  findNextOne(from: number): number {
    return this.#findNext(from, 0, 0);
  }

  /** How many of the `size` meaningful bits are set. */
  weight(): number {
    const wholeWords = Math.floor(this.size / 32);
    let count = 0;
    for (let index = 0; index < wholeWords; index++) count += weightOfWord(this.#words[index]!);
    for (let bit = wholeWords * 32; bit < this.size; bit++) if (this.test(bit)) count += 1;
    return count;
  }

  copyFrom(other: Bitset): void {
    assert(other.size === this.size, `Bitset of ${other.size} bits copied to one of ${this.size}`);
    this.bytes.set(other.bytes);
  }

  /** The first bit at or behind `from` that differs from the bits of the two "useless" patterns. */
  #findNext(from: number, uselessByte: number, uselessWord: number): number {
    if (from >= this.size) return this.size;
    const { bytes } = this;
    const words = this.#words;
    let index = Math.floor(from / 8);
    let wanted = (bytes[index]! ^ uselessByte) & (0xff << (from & 7));
    while (wanted === 0) {
      index += 1;
      if ((index & 3) === 0) {
        let word = index / 4;
        while (word < words.length && words[word] === uselessWord) word += 1;
        index = word * 4;
      }
      if (index >= bytes.length) return this.size;
      wanted = bytes[index]! ^ uselessByte;
    }
    const lowest = 31 - Math.clz32(wanted & -wanted);
    return Math.min(index * 8 + lowest, this.size);
  }

  #assign(bit: number, value: boolean): void {
    if (value) this.set(bit);
    else this.clear(bit);
  }

  #byteOf(bit: number): number {
    if (!(bit >= 0 && bit < this.size)) {
      unreachable(`Bit ${bit} is outside a bitset of ${this.size}`);
    }
    return Math.floor(bit / 8);
  }
}

function weightOfWord(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const quads = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((quads + (quads >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
