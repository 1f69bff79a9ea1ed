/**
 * Stops a device and lets it go on: what arrives meanwhile waits, in order, and is not lost.
 *
 * `pause` resolves when nothing that passed before is in flight below. The queue is bounded by what
 * the submitters have in flight. Counterpart: nbdkit's pause filter.
 */

import type { Bio } from '../block/bio.ts';
import { DeviceFilter } from './filter.ts';

export class PauseFilter extends DeviceFilter {
  #paused = false;
  #inFlight = 0;
  #held: Bio[] = [];
  #heldTotal = 0;
  #drainWaiters: (() => void)[] = [];

  /** How many requests had to wait so far. */
  get fired(): number {
    return this.#heldTotal;
  }

  /** How many wait now. */
  get held(): number {
    return this.#held.length;
  }

  pause(): Promise<void> {
    this.#paused = true;
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  /** Lets what waited go, oldest first. */
  continue(): void {
    this.#paused = false;
    while (!this.#paused && this.#held.length > 0) this.#pass(this.#held.shift()!);
  }

  override submit(bio: Bio): void {
    // While older requests leave the queue, newer ones line up behind them.
    if (this.#paused || this.#held.length > 0) {
      this.#held.push(bio);
      this.#heldTotal += 1;
    } else {
      this.#pass(bio);
    }
  }

  #pass(bio: Bio): void {
    this.#inFlight += 1;
    this.forward(bio, (result) => {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#drained();
      bio.end(result);
    });
  }

  #drained(): void {
    if (!this.#paused) return;
    const waiters = this.#drainWaiters;
    this.#drainWaiters = [];
    for (const waiter of waiters) waiter();
  }
}
