/** Time in a fuzzer's hands: quick, and it counts what it runs. */

import type { Clock, Timer } from '../../src/base/clock.ts';

interface ArmedTimer {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
}

export class FuzzClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #tasks: (() => void)[] = [];
  readonly #timers = new Set<ArmedTimer>();
  /** Tasks that have run. */
  ran = 0;

  now(): number {
    return this.#nowMs;
  }

  defer(task: () => void): void {
    this.#tasks.push(task);
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = { at: this.#nowMs + delayMs, order: this.#order++, task };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Timers that are armed. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Runs what is deferred, and not what that defers: one turn. */
  run(): void {
    const tasks = this.#tasks;
    if (tasks.length === 0) return;
    this.#tasks = [];
    for (const task of tasks) task();
    this.ran += tasks.length;
  }

  /** Moves time to the next timer that is due until `atMs`, and runs it; false when none is. */
  step(atMs: number): boolean {
    let next: ArmedTimer | null = null;
    for (const timer of this.#timers) {
      if (timer.at > atMs) continue;
      if (next === null || timer.at < next.at || (timer.at === next.at && timer.order < next.order))
        next = timer;
    }
    if (next === null) {
      this.#nowMs = Math.max(this.#nowMs, atMs);
      return false;
    }
    this.#timers.delete(next);
    this.#nowMs = Math.max(this.#nowMs, next.at);
    next.task();
    this.ran += 1;
    return true;
  }
}
