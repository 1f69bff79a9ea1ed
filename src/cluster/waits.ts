/** Waits that end when whoever waits is told to give up. */

import type { Clock } from '../base/clock.ts';

export class Waits {
  readonly #clock: Clock;
  readonly #wakes = new Set<() => void>();
  #isOver = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Told to give up: nobody waits any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  begin(): void {
    this.#isOver = false;
  }

  giveUp(): void {
    this.#isOver = true;
    for (const wake of [...this.#wakes]) wake();
  }

  pause(delayMs: number): Promise<void> {
    return this.until(() => ({ close: () => undefined }), delayMs);
  }

  /** Ends when the task that is handed over is run, or after `limitMs`. */
  until(subscribe: (task: () => void) => { close(): void }, limitMs: number): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wakes.delete(wake);
        timer.cancel();
        subscription.close();
        resolve();
      };
      const timer = this.#clock.after(limitMs, wake);
      const subscription = subscribe(wake);
      this.#wakes.add(wake);
    });
  }

  /** As the work answers; false where it is given up before. */
  forTrue(work: Promise<boolean>): Promise<boolean> {
    return new Promise((resolve) => {
      const wake = (): void => resolve(false);
      this.#wakes.add(wake);
      void work.then((answer) => {
        this.#wakes.delete(wake);
        resolve(answer && !this.#isOver);
      });
    });
  }
}
