/** Payload that requests in progress may hold on all connections of a server together. */

import { assert } from '../base/assert.ts';

export class PayloadBudget {
  readonly #bytesMax: number;
  #bytes = 0;
  readonly #waiters = new Set<() => void>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** What is taken at this moment. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes `bytes`, or says no; a single request of any size is admitted to an empty server. */
  tryTake(bytes: number): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    if (bytes === 0) return;
    this.#bytes -= bytes;
    assert(this.#bytes >= 0, 'More payload was given back than taken');
    if (this.#waiters.size === 0) return;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter();
  }

  /** Calls `waiter` once when something was given back. */
  wait(waiter: () => void): void {
    this.#waiters.add(waiter);
  }

  forget(waiter: () => void): void {
    this.#waiters.delete(waiter);
  }
}
