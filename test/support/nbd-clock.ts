/** Real time for servers under test: deferred tasks run together, once per turn of the event loop. */

import type { Clock, Timer } from '../../src/base/clock.ts';

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
    // What tasks defer runs in the same turn: a batch goes all the way before the next is looked at.
    for (let i = 0; i < this.#tasks.length; i++) this.#tasks[i]!();
    this.#tasks = [];
    this.#scheduled = false;
  }
}
