/**
 * A thread that writes to files in memory, beside the event loop, one write after the other.
 *
 * Copying a mebibyte to two legs takes longer than receiving it, and a trip through libuv's pool of
 * four threads for each piece wakes them on the processors where the loop and its client are at
 * work. A thread of our own has its queue in shared memory: it goes from one write to the next
 * without asking the loop, and stays on one processor. Figures: docs/decisions/0013.
 *
 * Writes are carried out in the order in which they came. A buffer belongs to the thread until its
 * write has ended.
 */

import { Worker } from 'node:worker_threads';
import type { IoResult } from '../../base/errno.ts';
import { SECTOR_SIZE } from '../../base/units.ts';
import type { Bio } from '../bio.ts';
import { nativeCalls } from './native-calls.ts';
import { makeWriteRing, RING_SLOTS, slotOf, type WriteRing } from './write-ring.ts';

/** Null: the thread has died, and the write was made in part at most. It may be made again. */
export type Written = (bio: Bio, result: IoResult | null) => void;

interface Job {
  readonly fd: number;
  readonly bio: Bio;
  readonly onEnd: Written;
}

export class WriteThread {
  readonly #ring = makeWriteRing();
  /** Null: it could not even begin. */
  readonly #worker: Worker | null;
  /** In the ring, in order; then what has no room there. */
  readonly #jobs: Job[] = [];
  #submitted = 0;
  #completed = 0;
  #isAwaited = false;
  #isBroken = false;
  readonly #look = (): void => {
    this.#isAwaited = false;
    this.#takeResults();
  };

  /** `program`: for tests. */
  constructor(program = new URL('write-thread-loop.mjs', import.meta.url)) {
    this.#worker = startWorker(program, this.#ring);
    this.#isBroken = this.#worker === null;
    this.#worker?.unref();
    // It never ends by itself; but memory may run out while it starts.
    this.#worker?.on('error', () => undefined);
    this.#worker?.on('exit', () => this.#break());
  }

  /** It has died: what it is given is not made. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** `onEnd` is called later, never from within. */
  write(fd: number, bio: Bio, onEnd: Written): void {
    if (this.#jobs.length === 0) this.#worker?.ref();
    this.#jobs.push({ fd, bio, onEnd });
    if (this.#isBroken) void Promise.resolve().then(() => this.#break());
    else this.#submit();
  }

  /** For tests: ends the thread. */
  async stop(): Promise<void> {
    await this.#worker?.terminate();
  }

  #submit(): void {
    const { counters, jobs, layout } = this.#ring;
    const before = this.#submitted;
    for (;;) {
      const inRing = (this.#submitted - this.#completed) | 0;
      const job = this.#jobs[inRing];
      if (job === undefined || inRing === RING_SLOTS) break;
      const { fd, bio } = job;
      const data = bio.data!;
      const numbers = [fd, nativeCalls().addressOf(data), data.length, bio.sector * SECTOR_SIZE];
      jobs.set(numbers, slotOf(this.#submitted) * layout.jobNumbers);
      this.#submitted = (this.#submitted + 1) | 0;
    }
    if (this.#submitted !== before) {
      Atomics.store(counters, layout.submitted, this.#submitted);
      Atomics.notify(counters, layout.submitted);
    }
    this.#awaitResults();
  }

  #awaitResults(): void {
    if (this.#isAwaited || this.#jobs.length === 0) return;
    this.#isAwaited = true;
    const { counters, layout } = this.#ring;
    const { value } = Atomics.waitAsync(counters, layout.completed, this.#completed);
    // No promise where it has gone on already.
    void Promise.resolve(value).then(this.#look);
  }

  #takeResults(): void {
    const { counters, results, layout } = this.#ring;
    const completed = Atomics.load(counters, layout.completed);
    const ended = this.#jobs.splice(0, (completed - this.#completed) | 0);
    const outcomes = ended.map((_job, index) => results[slotOf(this.#completed + index)]!);
    this.#completed = completed;
    // What is in the ring goes on while those that have ended are told.
    this.#submit();
    if (this.#jobs.length === 0) this.#worker?.unref();
    for (const [index, { bio, onEnd }] of ended.entries()) onEnd(bio, outcomes[index]!);
  }

  #break(): void {
    this.#isBroken = true;
    for (const { bio, onEnd } of this.#jobs.splice(0)) onEnd(bio, null);
  }
}

/** Null where the system has no thread left for us. */
function startWorker(program: URL, ring: WriteRing): Worker | null {
  try {
    return new Worker(program, { workerData: ring, execArgv: [] });
  } catch {
    return null;
  }
}
