/**
 * A worker that takes one turn at a time, however often it is woken.
 *
 * Invariants: turns never overlap; a wake during a turn causes exactly one more turn; a wake is
 * never lost. Counterpart: the mirror's single work item on its own workqueue.
 */

import { assert } from './assert.ts';
import { type Awaitable, isPromise } from './awaitable.ts';
import type { Clock, Timer } from './clock.ts';

export class Worker {
  readonly #clock: Clock;
  readonly #turn: () => Awaitable<void>;
  readonly #run = (): void => this.#takeTurn();
  readonly #ended = (): void => this.#turnEnded();
  #state: 'idle' | 'scheduled' | 'running' = 'idle';
  #again = false;
  #timer: Timer | null = null;
  #idleWaiters: (() => void)[] = [];

  constructor(clock: Clock, turn: () => Awaitable<void>) {
    this.#clock = clock;
    this.#turn = turn;
  }

  /** Asks for a turn. Many calls before the turn begins make one turn. */
  wake(): void {
    if (this.#state === 'running') {
      this.#again = true;
    } else if (this.#state === 'idle') {
      this.#state = 'scheduled';
      this.#clock.defer(this.#run);
    }
  }

  /** Wakes once after `delayMs`; not armed again while an earlier delayed wake is pending. */
  wakeAfter(delayMs: number): void {
    if (this.#timer !== null) return;
    this.#timer = this.#clock.after(delayMs, () => {
      this.#timer = null;
      this.wake();
    });
  }

  /** Forgets a pending delayed wake. */
  cancelDelayedWake(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Ends when no turn is running or asked for. A pending delayed wake does not count. */
  drained(): Promise<void> {
    if (this.#state === 'idle') return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  #takeTurn(): void {
    assert(this.#state === 'scheduled', `Worker turn in state ${this.#state}`);
    this.#state = 'running';
    this.#again = false;
    const outcome = this.#turn();
    // A rejected turn is a broken invariant: it stays unhandled and ends the process.
    if (isPromise(outcome)) void outcome.then(this.#ended);
    else this.#turnEnded();
  }

  #turnEnded(): void {
    this.#state = 'idle';
    if (this.#again) {
      this.wake();
      return;
    }
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const waiter of waiters) waiter();
  }
}
