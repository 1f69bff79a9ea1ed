/**
 * When idle regions are cleared in the log: by the next turn, as in the kernel, or, with a delay,
 * all together so long after the first of them became idle.
 *
 * A departure where it is asked for. It is always safe, since a region only stays dirty for longer,
 * and it saves log writes: a region that is written to again meanwhile is marked already.
 */

import type { Timer } from '../base/clock.ts';

export interface ClearDelayOptions {
  /** 0: none. */
  readonly delayMs: number;
  readonly after: (delayMs: number, task: () => void) => Timer;
  readonly wake: () => void;
}

export class ClearDelay {
  readonly #options: ClearDelayOptions;
  #timer: Timer | null = null;
  #isDue = false;
  #isSuspended = false;

  constructor(options: ClearDelayOptions) {
    this.#options = options;
  }

  get isOff(): boolean {
    return this.#options.delayMs === 0;
  }

  /** A region has become idle. True: it waits, for a turn that comes by itself. */
  putsOff(): boolean {
    if (this.#clearsNow()) return false;
    if (this.#timer === null) {
      const { delayMs, after } = this.#options;
      this.#timer = after(delayMs, () => this.#passed());
    }
    return true;
  }

  /** Whether the present turn clears what is idle; asked once a turn. */
  isTime(): boolean {
    const isTime = this.#clearsNow();
    this.#isDue = false;
    return isTime;
  }

  /** The mirror is to be suspended: nothing is put off until `resumed`. */
  suspending(): void {
    this.#isSuspended = true;
    if (this.#timer === null) return;
    this.#timer.cancel();
    this.#timer = null;
    this.#options.wake();
  }

  resumed(): void {
    this.#isSuspended = false;
  }

  #clearsNow(): boolean {
    return this.isOff || this.#isSuspended || this.#isDue;
  }

  #passed(): void {
    this.#timer = null;
    this.#isDue = true;
    this.#options.wake();
  }
}
