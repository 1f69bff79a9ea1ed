/** The large writes of one file in memory, made by a thread (`write-thread.ts`). */

import { availableParallelism } from 'node:os';
import type { IoResult } from '../../base/errno.ts';
import { SECTOR_SIZE } from '../../base/units.ts';
import type { Bio } from '../bio.ts';
import { conflictsWith } from './write-conflicts.ts';
import { WriteThread, type Written } from './write-thread.ts';

/**
 * From here on the copy outweighs the two messages between the threads, so that it pays to make it
 * beside the loop. Measured on two cores; at 64 KiB nothing is gained.
 */
const THREADED_BYTES_MIN = 2 ** 17;
/** One processor is the loop's. Files take the threads in turns, so that legs get several. */
const THREADS_MAX = 3;

const threads: (WriteThread | undefined)[] = [];
let files = 0;

export interface ThreadedWritesOptions {
  readonly onEnd: (bio: Bio, result: IoResult) => void;
  /** Makes a write at once that the thread did not live to make. */
  readonly instead: (bio: Bio) => void;
  /** For tests. */
  readonly thread?: WriteThread;
}

export class ThreadedWrites {
  readonly #fd: number;
  readonly #options: ThreadedWritesOptions;
  readonly #index: number;
  readonly #pending: Bio[] = [];
  readonly #written: Written = (bio, result) => {
    this.#pending.splice(this.#pending.indexOf(bio), 1);
    if (result === null) this.#options.instead(bio);
    else this.#options.onEnd(bio, result);
  };

  constructor(fd: number, options: ThreadedWritesOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#index = files % Math.max(1, Math.min(THREADS_MAX, availableParallelism() - 1));
    files += 1;
  }

  /** It is large, and not hot; or it must follow one that is, be it that the thread has died. */
  takes(bio: Bio): boolean {
    const isLarge = bio.count * SECTOR_SIZE >= THREADED_BYTES_MIN;
    if (isLarge && !bio.isHot && !this.#thread.isBroken) return true;
    return this.#pending.length > 0 && conflictsWith(bio, this.#pending);
  }

  start(bio: Bio): void {
    this.#pending.push(bio);
    this.#thread.write(this.#fd, bio, this.#written);
  }

  /** Started by the first write that needs it. */
  get #thread(): WriteThread {
    if (this.#options.thread !== undefined) return this.#options.thread;
    threads[this.#index] ??= new WriteThread();
    return threads[this.#index]!;
  }
}
