/**
 * The time of one node on a clock that all share: it can be stopped (what is due waits, and is done
 * when it goes on), or be over.
 */

import type { Clock, Timer } from '../../../src/base/clock.ts';

export class NodeClock implements Clock {
  readonly #clock: Clock;
  #state: 'running' | 'stopped' | 'dead' = 'running';
  #due: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  now(): number {
    return this.#clock.now();
  }

  defer(task: () => void): void {
    this.#clock.defer(() => this.#run(task));
  }

  after(delayMs: number, task: () => void): Timer {
    let isCancelled = false;
    const timer = this.#clock.after(delayMs, () => {
      this.#run(() => {
        if (!isCancelled) task();
      });
    });
    return {
      cancel: () => {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  /** As SIGSTOP. */
  stop(): void {
    if (this.#state === 'running') this.#state = 'stopped';
  }

  /** As SIGCONT. */
  go(): void {
    if (this.#state !== 'stopped') return;
    this.#state = 'running';
    const due = this.#due;
    this.#due = [];
    for (const task of due) this.#clock.defer(() => this.#run(task));
  }

  kill(): void {
    this.#state = 'dead';
    this.#due = [];
  }

  #run(task: () => void): void {
    if (this.#state === 'running') task();
    else if (this.#state === 'stopped') this.#due.push(task);
  }
}
