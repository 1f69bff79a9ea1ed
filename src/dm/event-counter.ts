/** A device's event number, and those who wait until it is another one. */

interface EventWaiter {
  readonly resolve: (eventNumber: number) => void;
}

export class EventCounter {
  #number = 0;
  #waiters: EventWaiter[] = [];

  get number(): number {
    return this.#number;
  }

  /** For those who look for clients that were not forgotten. */
  get waiterCount(): number {
    return this.#waiters.length;
  }

  /** An event has come. */
  count(): void {
    this.#number += 1;
    this.wake();
  }

  /** Nothing more will come: whoever waits is told the number as it is. */
  wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.resolve(this.#number);
  }

  /**
   * Ends with the number as soon as it is another than `seen`, which the kernel, too, does not
   * compare by size; and with the same one when waiters are woken, or `signal` says to give up.
   */
  waitFor(seen: number, signal?: AbortSignal): Promise<number> {
    if (this.#number !== seen || signal?.aborted === true) return Promise.resolve(this.#number);
    return new Promise((resolve) => {
      const waiter: EventWaiter = {
        resolve: (eventNumber) => {
          signal?.removeEventListener('abort', giveUp);
          resolve(eventNumber);
        },
      };
      const giveUp = (): void => {
        this.#waiters = this.#waiters.filter((one) => one !== waiter);
        waiter.resolve(this.#number);
      };
      signal?.addEventListener('abort', giveUp);
      this.#waiters.push(waiter);
    });
  }
}
