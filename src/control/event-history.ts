/**
 * What happened to devices, numbered, the last of it kept, so that a listener which was away can go
 * on where it stopped, or learns how much it has missed.
 *
 * Listeners hold a position and no queue: a slow one costs nothing.
 */

import { CONTROL_EVENTS_KEPT } from '../base/limits.ts';

export type EventFields = Readonly<Record<string, string | number | boolean>>;

export interface ControlEvent {
  readonly sequence: number;
  readonly type: string;
  readonly device: string;
  readonly fields: EventFields;
}

export interface EventBatch {
  readonly events: readonly ControlEvent[];
  /** Events behind the position that are not kept any more. */
  readonly lost: number;
}

export class EventHistory {
  readonly #kept: ControlEvent[] = [];
  readonly #keptMax: number;
  #last = 0;
  #waiters: (() => void)[] = [];

  constructor(keptMax = CONTROL_EVENTS_KEPT) {
    this.#keptMax = keptMax;
  }

  /** The number of the newest event; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  publish(type: string, device: string, fields: EventFields = {}): void {
    this.#last += 1;
    this.#kept.push({ sequence: this.#last, type, device, fields });
    if (this.#kept.length > this.#keptMax) this.#kept.shift();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** All that is known behind a position. */
  after(position: number): EventBatch {
    const first = this.#kept[0]?.sequence ?? this.#last + 1;
    const lost = Math.max(0, first - 1 - position);
    const events = this.#kept.slice(Math.max(0, position + 1 - first));
    return { events, lost };
  }

  /** Ends once there is an event behind the position, or `signal` says to give up. */
  changed(position: number, signal: AbortSignal): Promise<void> {
    if (this.#last > position || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#waiters = this.#waiters.filter((one) => one !== wake);
        resolve();
      };
      signal.addEventListener('abort', wake);
      this.#waiters.push(wake);
    });
  }
}
