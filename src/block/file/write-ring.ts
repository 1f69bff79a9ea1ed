/**
 * The memory that the event loop shares with a write thread: a ring of jobs, and two numbers that
 * only rise, and go on at -2^31 behind 2^31 - 1. The loop fills the slot of `submitted` and then
 * counts it up; the thread carries out what is before it, leaves a result in each slot, and counts
 * `completed` up.
 */

export const RING_SLOTS = 256;

/** A job is its file, address, length and position; slots are a power of two. */
const LAYOUT = { slots: RING_SLOTS, jobNumbers: 4, submitted: 0, completed: 1 } as const;

export interface WriteRing {
  readonly layout: typeof LAYOUT;
  readonly counters: Int32Array<SharedArrayBuffer>;
  /** Addresses have 47 bits: they are exact. */
  readonly jobs: Float64Array<SharedArrayBuffer>;
  /** 0, or an errno. */
  readonly results: Int32Array<SharedArrayBuffer>;
}

export function makeWriteRing(): WriteRing {
  const { slots, jobNumbers } = LAYOUT;
  return {
    layout: LAYOUT,
    counters: new Int32Array(new SharedArrayBuffer(8)),
    jobs: new Float64Array(new SharedArrayBuffer(slots * jobNumbers * 8)),
    results: new Int32Array(new SharedArrayBuffer(slots * 4)),
  };
}

export function slotOf(count: number): number {
  return count & (RING_SLOTS - 1);
}
