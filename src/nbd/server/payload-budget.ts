/**
 * Payload that requests in progress may hold on all connections of a server together. What each
 * connection is guaranteed comes on top of it, or a few could keep all others from anything.
 */

import { assert } from '../../base/assert.ts';
import { NBD_CONNECTION_BYTES_GUARANTEED } from '../../base/limits.ts';

export class PayloadBudget {
  readonly #bytesMax: number;
  /** Called when a connection begins to wait. */
  readonly #onWait: () => void;
  #bytes = 0;
  readonly #waiters = new Set<() => void>();

  constructor(bytesMax: number, onWait: () => void) {
    this.#bytesMax = bytesMax;
    this.#onWait = onWait;
  }

  /** What is taken at this moment. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A connection waits. */
  get contended(): boolean {
    return this.#waiters.size > 0;
  }

  /**
   * Takes `bytes` for a connection that has `own` of them already, or says no; a single request of
   * any size is admitted to an empty server.
   */
  tryTake(bytes: number, own: number): boolean {
    const isGuaranteed = own + bytes <= NBD_CONNECTION_BYTES_GUARANTEED;
    if (!isGuaranteed && this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) return false;
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
    this.#onWait();
  }

  forget(waiter: () => void): void {
    this.#waiters.delete(waiter);
  }
}
