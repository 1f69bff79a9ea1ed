/** The only randomness: a seeded generator (xoshiro128**), equal on every machine. */

import { assert } from './assert.ts';

export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** Any number or string is a seed; equal seeds give equal sequences. */
  constructor(seed: number | string) {
    // A small mixer spreads close seeds (1, 2, 3) over the whole state.
    let state = 0x9e3779b9;
    for (const character of String(seed)) {
      state = Math.imul(state ^ character.codePointAt(0)!, 0x85ebca6b);
      state ^= state >>> 13;
    }
    const next = (): number => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return (mixed ^ (mixed >>> 14)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  /** 32 random bits, as a number from 0 to 2^32-1. */
  uint32(): number {
    const scrambled = Math.imul(this.#b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** An integer from `min` to `max`, both included. */
  between(min: number, max: number): number {
    assert(max >= min, `Range ${min} to ${max} is empty`);
    return min + Math.floor((this.uint32() / 2 ** 32) * (max - min + 1));
  }

  /** True with the probability `numerator` / `denominator`. */
  chance(numerator: number, denominator: number): boolean {
    return this.between(1, denominator) <= numerator;
  }

  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, 'Nothing to pick from');
    return items[this.between(0, items.length - 1)]!;
  }

  /** Shuffles in place. */
  shuffle<T>(items: T[]): T[] {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.between(0, last);
      [items[last], items[other]] = [items[other]!, items[last]!];
    }
    return items;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.uint32() & 0xff;
  }

  /** A generator of its own, so that a new draw in one part does not shift all others. */
  fork(name: string): Prng {
    return new Prng(`${this.uint32()}/${name}`);
  }
}
