/**
 * A client that keeps writes in flight and remembers what it was promised: each block must read as
 * the last version acknowledged, or, until it was read once after a crash, as the one in flight then.
 */

import type { Prng } from '../../src/base/prng.ts';
import { ConnectionLost, type PlainNbdClient } from './plain-nbd-client.ts';

export const BLOCK_BYTES = 4096;

export class AcknowledgedWrites {
  readonly #blocks: number;
  readonly #prng: Prng;
  /** The version that each block must have; 0 is never written. */
  readonly #promised: Uint32Array;
  /** The version on its way to a block when the connection was lost; 0 for none. */
  readonly #unknown: Uint32Array;
  #lastVersion = 0;
  #acknowledged = 0;

  constructor(options: { readonly sizeBytes: number; readonly prng: Prng }) {
    this.#blocks = options.sizeBytes / BLOCK_BYTES;
    this.#prng = options.prng;
    this.#promised = new Uint32Array(this.#blocks);
    this.#unknown = new Uint32Array(this.#blocks);
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Keeps `inFlight` writes on their way until the connection is lost; `onEnd` after each one. */
  async writeUntilLost(
    client: PlainNbdClient,
    options: { readonly inFlight: number; readonly onEnd: () => void },
  ): Promise<void> {
    const busy = new Set<number>();
    const writer = async (): Promise<void> => {
      while (await this.#writeOne(client, busy)) options.onEnd();
    };
    await Promise.all(Array.from({ length: options.inFlight }, writer));
  }

  /**
   * Reads every block, and gives those that are not as promised. What is read of a block whose write
   * was in flight is the promise from now on: it may not change again.
   */
  async broken(client: PlainNbdClient): Promise<string[]> {
    const broken: string[] = [];
    const chunk = 256;
    for (let first = 0; first < this.#blocks; first += chunk) {
      const count = Math.min(chunk, this.#blocks - first);
      const data = await client.read(first * BLOCK_BYTES, count * BLOCK_BYTES);
      for (let index = 0; index < count; index++) {
        const block = first + index;
        const part = data.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
        const complaint = this.#judge(block, part);
        if (complaint !== null) broken.push(`block ${block} ${complaint}`);
      }
    }
    return broken;
  }

  #judge(block: number, data: Buffer): string | null {
    const promised = this.#promised[block]!;
    const unknown = this.#unknown[block]!;
    if (unknown !== 0 && data.equals(contentOf(block, unknown))) {
      this.#promised[block] = unknown;
    } else if (!data.equals(contentOf(block, promised))) {
      const found = `block ${data.readUInt32LE(0)} version ${data.readUInt32LE(4)}`;
      return `reads as ${found}, must be version ${promised} or ${unknown}`;
    }
    this.#unknown[block] = 0;
    return null;
  }

  /** False when the connection is lost. */
  async #writeOne(client: PlainNbdClient, busy: Set<number>): Promise<boolean> {
    let block = this.#prng.between(0, this.#blocks - 1);
    while (busy.has(block)) block = this.#prng.between(0, this.#blocks - 1);
    this.#lastVersion += 1;
    const version = this.#lastVersion;
    busy.add(block);
    try {
      await client.write(block * BLOCK_BYTES, contentOf(block, version));
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      this.#unknown[block] = version;
      return false;
    }
    busy.delete(block);
    this.#promised[block] = version;
    this.#acknowledged += 1;
    return true;
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
