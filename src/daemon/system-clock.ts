/**
 * The `Clock` of real runs, over Node's timers: the one user of real time.
 *
 * `defer` collects tasks and runs them together, after the sockets that are readable now have been
 * read: requests that came together, even on several connections, thereby share one turn and one
 * log flush. Microtasks would run sooner, but work that defers itself again and again, such as a
 * recovery in the page cache, would then keep every socket waiting until it is done.
 */

import type { Clock, Timer } from '../base/clock.ts';
import type { EventLoop } from './idle-poll.ts';

/** Node runs longer timers at once. */
const DELAY_MS_MAX = 2 ** 31 - 1;

export class SystemClock implements Clock, EventLoop {
  #tasks: (() => void)[] = [];
  #running: (() => void)[] = [];
  #isScheduled = false;
  readonly #run = (): void => this.#runTasks();

  now(): number {
    return performance.now();
  }

  defer(task: () => void): void {
    this.#tasks.push(task);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#run);
  }

  afterSockets(task: () => void): void {
    setImmediate(task);
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = setTimeout(task, Math.min(Math.ceil(delayMs), DELAY_MS_MAX));
    return { cancel: () => clearTimeout(timer) };
  }

  /**
   * What the tasks defer themselves is run along, once: a turn of the mirror defers the writing of
   * its replies, which need not wait for another look at all sockets. What that defers waits.
   */
  #runTasks(): void {
    this.#runRound();
    if (this.#tasks.length > 0) this.#runRound();
    if (this.#tasks.length > 0) setImmediate(this.#run);
    else this.#isScheduled = false;
  }

  #runRound(): void {
    const tasks = this.#tasks;
    this.#tasks = this.#running;
    this.#running = tasks;
    for (const task of tasks) task();
    tasks.length = 0;
  }
}
