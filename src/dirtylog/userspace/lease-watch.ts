/**
 * What a mirror has of its node's lease, where nodes share its log: until when it may rely on its
 * marks, by its own clock. The others wait for longer than that before they take the node for dead.
 *
 * The log server is asked again and again how long its lease lasts still; the answer counts from
 * when the question was *sent*, so that neither a slow answer nor a process that was stopped
 * meanwhile makes it last longer. A server that does not answer, or answers 0, stops all writes.
 */

import type { Clock, Timer } from '../../base/clock.ts';
import { ULOG_LEASE_ASK_MS, ULOG_LEASE_RETRY_MS } from '../../base/limits.ts';
import type { UlogLease } from './ulog-payloads.ts';

export interface LeaseWatchOptions {
  readonly clock: Clock;
  /** Null: no answer that can be understood. May take for ever. */
  readonly ask: () => Promise<UlogLease | null>;
  /** There may be new work, or the mirror may be in sync. */
  readonly onNews: () => void;
}

export class LeaseWatch {
  readonly #options: LeaseWatchOptions;
  #goodUntilMs = Number.NEGATIVE_INFINITY;
  #epoch = -1;
  #timer: Timer | null = null;
  /** Rises with start and stop: an answer of before is of no account. */
  #life = 0;
  #isRunning = false;
  #waiters: (() => void)[] = [];

  constructor(options: LeaseWatchOptions) {
    this.#options = options;
  }

  /** From resume to postsuspend. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#life += 1;
    void this.#ask(this.#life);
  }

  /** Nothing is written any more; who waits need not. */
  stop(): void {
    this.#isRunning = false;
    this.#life += 1;
    this.#goodUntilMs = Number.NEGATIVE_INFINITY;
    this.#timer?.cancel();
    this.#timer = null;
    this.#tellWaiters();
  }

  /** Null where it may be relied on now. */
  untilGood(): Promise<void> | null {
    if (!this.#isRunning || this.#isGood) return null;
    const told = new Promise<void>((resolve) => {
      this.#waiters.push(resolve);
    });
    return told.then(() => this.untilGood() ?? undefined);
  }

  get #isGood(): boolean {
    return this.#options.clock.now() < this.#goodUntilMs;
  }

  async #ask(life: number): Promise<void> {
    const { clock, ask, onNews } = this.#options;
    const sentAtMs = clock.now();
    const answer = await ask();
    if (life !== this.#life) return;
    if (answer !== null) {
      const { remainingMs, epoch } = answer;
      this.#goodUntilMs = sentAtMs + (remainingMs ?? Number.POSITIVE_INFINITY);
      const isNews = epoch !== this.#epoch;
      this.#epoch = epoch;
      if (this.#isGood) this.#tellWaiters();
      if (isNews) onNews();
    }
    const delayMs = this.#isGood ? ULOG_LEASE_ASK_MS : ULOG_LEASE_RETRY_MS;
    this.#timer = clock.after(delayMs, () => void this.#ask(life));
  }

  #tellWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}
