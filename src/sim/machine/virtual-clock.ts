/**
 * Time that moves only when nothing else can, and the loop that drives a simulated machine.
 *
 * Order: promise continuations first (they are drained after every task), then deferred tasks in
 * the order of the calls, then the timer that is due first, timers of one instant in the order of
 * the calls. Nothing here depends on real time, so that a seed determines a run. `setImmediate` is
 * used in this file only, to let the promise continuations of one step end before the next.
 */

import type { Clock, Timer } from '../../base/clock.ts';

interface Task {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #deferred: (() => void)[] = [];
  /** Sorted by time, then order; short, so that insertion by scanning is cheap. */
  #timers: Task[] = [];

  now(): number {
    return this.#nowMs;
  }

  defer(task: () => void): void {
    this.#deferred.push(task);
  }

  after(delayMs: number, task: () => void): Timer {
    const timer: Task = {
      at: this.#nowMs + delayMs,
      order: this.#order++,
      run: task,
      cancelled: false,
    };
    let index = this.#timers.length;
    while (index > 0 && this.#timers[index - 1]!.at > timer.at) index -= 1;
    this.#timers.splice(index, 0, timer);
    return {
      cancel: () => {
        timer.cancelled = true;
      },
    };
  }

  /** Runs one task, and moves time where only a timer is left; false when there is none. */
  step(): boolean {
    const deferred = this.#deferred.shift();
    if (deferred !== undefined) {
      deferred();
      return true;
    }
    for (let timer = this.#timers.shift(); timer !== undefined; timer = this.#timers.shift()) {
      if (timer.cancelled) continue;
      this.#nowMs = timer.at;
      timer.run();
      return true;
    }
    return false;
  }

  /**
   * Runs until `ended` says so, nothing is left to do, or virtual time passes `untilMs`.
   *
   * @throws whatever a task throws: a broken invariant of the machine under test.
   */
  async run(options: { ended: () => boolean; untilMs: number }): Promise<RunEnd> {
    for (;;) {
      await promisesSettled();
      if (options.ended()) return 'ended';
      if (this.#nowMs > options.untilMs) return 'out-of-time';
      if (!this.step()) return 'idle';
    }
  }

  /**
   * Runs what is due up to `untilMs`, and nothing later; then it is that time, unless `ended` said
   * so before.
   */
  async advance(options: { ended: () => boolean; untilMs: number }): Promise<'ended' | 'advanced'> {
    for (;;) {
      await promisesSettled();
      if (options.ended()) return 'ended';
      if (this.#deferred.length === 0 && this.#nextDueMs() > options.untilMs) break;
      this.step();
    }
    this.#nowMs = Math.max(this.#nowMs, options.untilMs);
    return 'advanced';
  }

  #nextDueMs(): number {
    while (this.#timers[0]?.cancelled === true) this.#timers.shift();
    return this.#timers[0]?.at ?? Number.POSITIVE_INFINITY;
  }
}

export type RunEnd = 'ended' | 'idle' | 'out-of-time';

/** Ends when every promise continuation that can run has run. */
function promisesSettled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
