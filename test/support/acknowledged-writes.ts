/**
 * A client that keeps writes in flight and remembers what it was promised: each block must read as
 * the last version acknowledged, or, until it was read once after a crash, as the one in flight
 * then.
 */

import type { Awaitable } from '../../src/base/awaitable.ts';
import type { Prng } from '../../src/base/prng.ts';
import { isLost, type PlainNbdClient } from './plain-nbd-client.ts';

/** A page: what the death of a process does not tear. */
const BLOCK_BYTES = 4096;
const WRITE_BLOCKS_MAX = 64;

export class AcknowledgedWrites {
  readonly #blocks: number;
  readonly #prng: Prng;
  readonly #owns: (block: number) => boolean;
  /** The version that each block must have; 0 is never written. */
  readonly #promised: Uint32Array;
  /**
   * The versions that were on their way to a block when a connection was lost, since the block was
   * last acknowledged or read: of two lives that ended one after the other, either may have landed.
   */
  readonly #unknown = new Map<number, number[]>();
  #lastVersion = 0;
  #acknowledged = 0;

  /** `owns`: of several that write to one device, each has blocks of its own. */
  constructor(options: {
    readonly sizeBytes: number;
    readonly prng: Prng;
    readonly owns?: (block: number) => boolean;
  }) {
    this.#blocks = options.sizeBytes / BLOCK_BYTES;
    this.#prng = options.prng;
    this.#owns = options.owns ?? (() => true);
    this.#promised = new Uint32Array(this.#blocks);
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /**
   * Keeps `inFlight` writes on their way until the connection is lost, or until it is over;
   * `onEnd` after each one.
   */
  async writeUntilLost(
    client: PlainNbdClient,
    options: {
      readonly inFlight: number;
      readonly onEnd: () => Awaitable<void>;
      readonly isOver?: () => boolean;
    },
  ): Promise<void> {
    const { isOver = () => false } = options;
    const busy = new Set<number>();
    const writer = async (): Promise<void> => {
      while (!isOver() && (await this.#writeOne(client, busy))) await options.onEnd();
    };
    await Promise.all(Array.from({ length: options.inFlight }, writer));
  }

  /**
   * Reads every block of its own, and gives those that are not as promised. What is read of a block
   * whose write was in flight is the promise from now on: it may not change again.
   */
  async broken(client: PlainNbdClient): Promise<string[]> {
    const broken: string[] = [];
    const chunk = 256;
    for (let first = 0; first < this.#blocks; first += chunk) {
      const count = Math.min(chunk, this.#blocks - first);
      const data = await client.read(first * BLOCK_BYTES, count * BLOCK_BYTES);
      for (let index = 0; index < count; index++) {
        const block = first + index;
        if (!this.#owns(block)) continue;
        const part = data.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
        const complaint = this.#judge(block, part);
        if (complaint !== null) broken.push(`block ${block} ${complaint}`);
      }
    }
    return broken;
  }

  #judge(block: number, data: Buffer): string | null {
    const promised = this.#promised[block]!;
    const allowed = [promised, ...(this.#unknown.get(block) ?? [])];
    const found = allowed.find((version) => data.equals(contentOf(block, version)));
    if (found === undefined) {
      const read = `block ${data.readUInt32LE(0)} version ${data.readUInt32LE(4)}`;
      return `reads as ${read}, must be version ${allowed.join(' or ')}`;
    }
    this.#promised[block] = found;
    this.#unknown.delete(block);
    return null;
  }

  /** False when the connection is lost. */
  async #writeOne(client: PlainNbdClient, busy: Set<number>): Promise<boolean> {
    const blocks = this.#pickIdle(busy);
    this.#lastVersion += 1;
    const version = this.#lastVersion;
    for (const block of blocks) busy.add(block);
    try {
      const data = Buffer.concat(blocks.map((block) => contentOf(block, version)));
      await client.write(blocks[0]! * BLOCK_BYTES, data);
    } catch (error) {
      if (!isLost(error)) throw error;
      for (const block of blocks) {
        this.#unknown.set(block, [...(this.#unknown.get(block) ?? []), version]);
      }
      return false;
    }
    for (const block of blocks) {
      busy.delete(block);
      this.#promised[block] = version;
      this.#unknown.delete(block);
    }
    this.#acknowledged += 1;
    return true;
  }

  /** Blocks in a row that no other write is on its way to: one, or up to `WRITE_BLOCKS_MAX`. */
  #pickIdle(busy: ReadonlySet<number>): number[] {
    for (;;) {
      const count = this.#prng.chance(1, 2) ? 1 : this.#prng.between(2, WRITE_BLOCKS_MAX);
      const first = this.#prng.between(0, this.#blocks - count);
      const blocks = Array.from({ length: count }, (_, index) => first + index);
      if (blocks.every((block) => this.#owns(block) && !busy.has(block))) return blocks;
    }
  }
}

function contentOf(block: number, version: number): Buffer {
  if (version === 0) return Buffer.alloc(BLOCK_BYTES);
  const words = new Uint32Array(BLOCK_BYTES / 4);
  for (let index = 0; index < words.length; index += 2) {
    words[index] = block;
    words[index + 1] = version;
  }
  return Buffer.from(words.buffer);
}
