/** Signals that ask the server to stop: in good order at the first, at once at the second. */

import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export class StopSignals {
  /** Ends with the first signal. */
  readonly first: Promise<NodeJS.Signals>;
  #resolve: (signal: NodeJS.Signals) => void = () => {};
  #seen = false;
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    // Disks and logs can bear it: it is what they are made for.
    if (this.#seen) process.exit(128 + (constants.signals[signal] ?? 0));
    this.#seen = true;
    this.#resolve(signal);
  };

  constructor() {
    this.first = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  /** From now on signals do what they do to any process. */
  release(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }
}
