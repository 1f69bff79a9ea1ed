/**
 * How many regions may recover at once, and whether any does. Counterpart: the recovery semaphore
 * and the counter of recoveries in flight of dm-region-hash (specification 2.2, 6.2).
 */

import { assert } from '../base/assert.ts';
import { RECOVERIES_MAX } from '../base/limits.ts';

export class RecoverySlots {
  /** None before the first resume. */
  #free = 0;
  #inFlight = 0;
  #slotWaiter: (() => void) | null = null;
  #idleWaiter: (() => void) | null = null;

  get inFlight(): number {
    return this.#inFlight;
  }

  /** A recovery begins, if one may. */
  tryTake(): boolean {
    if (this.#free === 0) return false;
    this.#free -= 1;
    this.#inFlight += 1;
    return true;
  }

  /** A recovery is over. */
  release(): void {
    this.#inFlight -= 1;
    assert(this.#inFlight >= 0, 'More recoveries ended than began');
    if (this.#inFlight === 0) {
      const waiter = this.#idleWaiter;
      this.#idleWaiter = null;
      waiter?.();
    }
    this.#add(1);
  }

  /** Recoveries may begin (again). */
  open(): void {
    this.#add(RECOVERIES_MAX);
  }

  /** Ends when nothing recovers; nothing begins until `open`. */
  async close(): Promise<void> {
    for (let taken = 0; taken < RECOVERIES_MAX; taken++) {
      if (this.#free > 0) this.#free -= 1;
      else await this.#freed();
    }
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idleWaiter = resolve;
      });
    }
  }

  #add(count: number): void {
    this.#free += count;
    assert(this.#free <= RECOVERIES_MAX, 'More recovery slots than there are');
    const waiter = this.#slotWaiter;
    if (waiter === null) return;
    this.#slotWaiter = null;
    this.#free -= 1;
    waiter();
  }

  #freed(): Promise<void> {
    return new Promise((resolve) => {
      this.#slotWaiter = resolve;
    });
  }
}
