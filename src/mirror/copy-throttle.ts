/**
 * Limits resynchronisation to a share of the time (specification 5.4). One throttle is shared by
 * all mirrors of a host. Counterpart: the parameter `raid1_resync_throttle`.
 */

import type { Clock } from '../base/clock.ts';
import { THROTTLE_SLEEP_MS, THROTTLE_WINDOW_MS } from '../base/limits.ts';

export class CopyThrottle {
  readonly #clock: Clock;
  /**
   * Percent of the time in which pieces may be under way; 100 is no limit. May change at any time.
   */
  percent: number;
  #pieces = 0;
  #ioMs = 0;
  #totalMs = 0;
  #lastMs: number;

  constructor(clock: Clock, percent = 100) {
    this.#clock = clock;
    this.percent = percent;
    this.#lastMs = clock.now();
  }

  /** How long to wait before asking again; 0: go ahead. */
  delayMs(): number {
    if (this.percent >= 100) return 0;
    this.#account();
    return this.#ioMs > (this.percent / 100) * this.#totalMs ? THROTTLE_SLEEP_MS : 0;
  }

  /** Not sooner: a copy that sleeps takes no time from anybody. */
  pieceStarted(): void {
    this.#account();
    this.#pieces += 1;
  }

  pieceEnded(): void {
    this.#account();
    this.#pieces -= 1;
  }

  #account(): void {
    const now = this.#clock.now();
    const elapsed = now - this.#lastMs;
    this.#lastMs = now;
    this.#totalMs += elapsed;
    if (this.#pieces > 0) this.#ioMs += elapsed;
    while (this.#totalMs >= THROTTLE_WINDOW_MS) {
      this.#totalMs /= 2;
      this.#ioMs /= 2;
    }
  }
}
