/**
 * Holds chosen requests back before the device below sees them, so that they overtake each other.
 * Counterpart: dm-delay, nbdkit's delay filter.
 */

import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { Prng } from '../base/prng.ts';
import type { Bio } from '../block/bio.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { type FaultMatch, FaultRule } from './fault-rule.ts';
import { DeviceFilter } from './filter.ts';

export interface DelayAction {
  readonly delayMs: number;
  /** Adds 0 to this many milliseconds, drawn for each request. */
  readonly jitter?: { readonly delayMsMax: number; readonly prng: Prng };
}

export class DelayRule extends FaultRule {
  readonly #action: DelayAction;

  constructor(match: FaultMatch, action: DelayAction) {
    super(match);
    assert(action.delayMs >= 0, `Delay is ${action.delayMs} ms, must be 0 or more`);
    this.#action = action;
  }

  drawDelayMs(): number {
    const { delayMs, jitter } = this.#action;
    return delayMs + (jitter === undefined ? 0 : jitter.prng.between(0, jitter.delayMsMax));
  }
}

export class DelayFilter extends DeviceFilter {
  readonly #clock: Clock;
  #rules: DelayRule[] = [];

  constructor(next: BlockDevice, clock: Clock) {
    super(next);
    this.#clock = clock;
  }

  get rules(): readonly DelayRule[] {
    return this.#rules;
  }

  arm(match: FaultMatch, action: DelayAction): DelayRule {
    const rule = new DelayRule(match, action);
    this.#rules.push(rule);
    return rule;
  }

  /** The first rule that strikes decides the delay. */
  override submit(bio: Bio): void {
    for (const rule of this.#rules) {
      if (rule.strikes(bio)) {
        this.#clock.after(rule.drawDelayMs(), () => this.next.submit(bio));
        return;
      }
    }
    this.next.submit(bio);
  }
}
