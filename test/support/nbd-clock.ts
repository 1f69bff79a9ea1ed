/**
 * Clocks for servers under test: real time for sockets, time in the test's hands for everything
 * else.
 */

import type { Clock, Timer } from '../../src/base/clock.ts';

/** Deferred tasks run together, once per turn of the event loop. */
export class RealClock implements Clock {
  #tasks: (() => void)[] = [];
  #scheduled = false;

  now(): number {
    return performance.now();
  }

  defer(task: () => void): void {
    this.#tasks.push(task);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#run());
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = setTimeout(task, delayMs);
    return { cancel: () => clearTimeout(timer) };
  }

  #run(): void {
    // What tasks defer runs in the same turn: a batch goes all the way before the next is looked
    // at.
    for (let i = 0; i < this.#tasks.length; i++) this.#tasks[i]!();
    this.#tasks = [];
    this.#scheduled = false;
  }
}

export class HandClock implements Clock {
  #nowMs = 0;
  readonly #tasks: (() => void)[] = [];
  #timers: { readonly at: number; readonly task: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  defer(task: () => void): void {
    this.#tasks.push(task);
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = { at: this.#nowMs + delayMs, task };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((candidate) => candidate !== timer);
      },
    };
  }

  /** Runs what is deferred, also what that defers. */
  run(): void {
    for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) task();
  }

  /** Moves time, then runs the timers that are due, and what is deferred. */
  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter((timer) => timer.at <= this.#nowMs);
    this.#timers = this.#timers.filter((timer) => timer.at > this.#nowMs);
    for (const timer of due) timer.task();
    this.run();
  }

  /** Timers that are armed. */
  get pending(): number {
    return this.#timers.length;
  }
}
