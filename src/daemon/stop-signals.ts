/** Signals that ask the server to stop: in good order at the first, at once at the second. */

import { constants } from 'node:os';
import type { Clock, Timer } from '../base/clock.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** What is not ready by then may wait for something that never comes, and serves nobody yet. */
const START_GRACE_MS = 2000;

export class StopSignals {
  /** Ends with the first signal. */
  readonly first: Promise<NodeJS.Signals>;
  readonly #clock: Clock;
  #resolve: (signal: NodeJS.Signals) => void = () => {};
  #seen: NodeJS.Signals | null = null;
  #isStarting = false;
  #startLimit: Timer | null = null;
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    // Disks and logs can bear it: it is what they are made for.
    if (this.#seen !== null) exitBy(signal);
    this.#seen = signal;
    this.#limitStart();
    this.#resolve(signal);
  };

  constructor(clock: Clock) {
    this.#clock = clock;
    this.first = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  /**
   * Waits for a step of the start. After a signal it may still end, so that what is begun is
   * stopped in good order; but it is not waited for long.
   */
  async whileStarting<T>(step: Promise<T>): Promise<T> {
    this.#isStarting = true;
    this.#limitStart();
    try {
      return await step;
    } finally {
      this.#isStarting = false;
      this.#startLimit?.cancel();
    }
  }

  /** From now on signals do what they do to any process. */
  release(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }

  #limitStart(): void {
    const signal = this.#seen;
    if (signal === null || !this.#isStarting) return;
    this.#startLimit = this.#clock.after(START_GRACE_MS, () => exitBy(signal));
  }
}

function exitBy(signal: NodeJS.Signals): never {
  process.exit(128 + (constants.signals[signal] ?? 0));
}
