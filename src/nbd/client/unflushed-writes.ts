/**
 * Writes that a server has acknowledged and not yet made durable, kept in memory: what may be lost
 * if it is another life of the server that answers next. They are replayed to it before anything
 * else.
 *
 * Invariant: in the order in which they were acknowledged; of two that overlap, the second was
 * submitted after the first had been acknowledged.
 */

import { assert } from '../../base/assert.ts';

export interface UnflushedWrite {
  readonly op: 'write' | 'discard' | 'write-zeroes';
  /** In bytes. */
  readonly offset: number;
  readonly length: number;
  /** A copy; null for what has no data. */
  readonly data: Uint8Array | null;
}

/** What keeping a write costs beside its data. */
const ENTRY_BYTES = 200;

export class UnflushedWrites {
  #entries: UnflushedWrite[] = [];
  /** The number of the first entry, and so how many have gone. */
  #first = 0;
  #bytes = 0;

  /** Memory that they take. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** What a flush that is sent now will cover, for `flushed`. */
  get end(): number {
    return this.#first + this.#entries.length;
  }

  get entries(): readonly UnflushedWrite[] {
    return this.#entries;
  }

  /** Copies the data. */
  add(write: UnflushedWrite): void {
    const data = write.data === null ? null : Uint8Array.from(write.data);
    this.#entries.push({ ...write, data });
    this.#bytes += costOf(write);
  }

  /** A flush that was sent when `end` was so has succeeded. */
  flushed(end: number): void {
    assert(end <= this.end, 'More writes were flushed than there were');
    const count = Math.max(0, end - this.#first);
    if (count === 0) return;
    for (const entry of this.#entries.splice(0, count)) this.#bytes -= costOf(entry);
    this.#first += count;
  }
}

/** What one more write would take. */
export function costOf({ data }: Pick<UnflushedWrite, 'data'>): number {
  return ENTRY_BYTES + (data?.length ?? 0);
}
