/**
 * Tells when requests wait for too long, and when they go on: once each time, however many wait.
 * For logs that make their mirror wait for somebody else, without an error that would tell.
 */

import type { Clock, Timer } from '../../base/clock.ts';
import { ULOG_STALL_MS } from '../../base/limits.ts';
import type { TargetContext } from '../../dm/target-context.ts';

export interface StallAlarmOptions {
  readonly clock: Clock;
  readonly afterMs: number;
  readonly onStall: () => void;
  readonly onGoOn: () => void;
}

export class StallAlarm {
  readonly #options: StallAlarmOptions;
  #waiting = 0;
  #timer: Timer | null = null;
  #isRaised = false;

  constructor(options: StallAlarmOptions) {
    this.#options = options;
  }

  /** Ends as the work does. */
  async watch<T>(work: Promise<T>): Promise<T> {
    this.#waiting += 1;
    if (this.#waiting === 1) this.#start();
    try {
      return await work;
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#goOn();
    }
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#isRaised = false;
  }

  #start(): void {
    const { clock, afterMs, onStall } = this.#options;
    this.#timer = clock.after(afterMs, () => {
      this.#isRaised = true;
      onStall();
    });
  }

  #goOn(): void {
    const wasRaised = this.#isRaised;
    this.stop();
    if (wasRaised) this.#options.onGoOn();
  }
}

/** No error tells of a log that nodes share and that cannot be had: its mirror waits. */
export function sharedLogAlarm(target: TargetContext, uuid: string): StallAlarm {
  const tell = (text: string): void => {
    target.log.error(text, { uuid });
    target.event();
  };
  return new StallAlarm({
    clock: target.clock,
    afterMs: ULOG_STALL_MS,
    onStall: () => tell('The mirror waits for its shared log: see nbd-mirror logd status'),
    onGoOn: () => tell('The mirror goes on: its shared log answers again'),
  });
}
