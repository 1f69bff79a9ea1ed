/**
 * Fails chosen requests: by operation, extent, count and share, while armed.
 *
 * An error states its effect, because a write that fails may still have changed the medium:
 * nothing, all of it, or its first sectors. Counterpart: nbdkit's error filter, dm-flakey's
 * `error_writes`.
 */

import { assert } from '../base/assert.ts';
import type { IoResult } from '../base/errno.ts';
import { SECTOR_SIZE, toSectorCount } from '../base/units.ts';
import { Bio, isWriteOp } from '../block/bio.ts';
import { type FaultMatch, FaultRule } from './fault-rule.ts';
import { DeviceFilter } from './filter.ts';

/** What a failed request did to the medium; a number is a count of leading sectors. */
export type ErrorEffect = 'none' | 'all' | number;

export interface ErrorAction {
  readonly result: IoResult;
  readonly effect?: ErrorEffect;
}

export class ErrorRule extends FaultRule {
  readonly result: IoResult;
  readonly effect: ErrorEffect;

  constructor(match: FaultMatch, action: ErrorAction) {
    super(match);
    assert(action.result > 0, `Injected error is ${action.result}, must be a positive errno`);
    this.result = action.result;
    this.effect = action.effect ?? 'none';
  }
}

export class ErrorFilter extends DeviceFilter {
  #rules: ErrorRule[] = [];

  /** Every rule ever armed, for a report of those that fired and those that did not. */
  get rules(): readonly ErrorRule[] {
    return this.#rules;
  }

  arm(match: FaultMatch, action: ErrorAction): ErrorRule {
    const rule = new ErrorRule(match, action);
    this.#rules.push(rule);
    return rule;
  }

  override submit(bio: Bio): void {
    for (const rule of this.#rules) {
      if (rule.strikes(bio)) {
        this.#strike(bio, rule);
        return;
      }
    }
    this.next.submit(bio);
  }

  #strike(bio: Bio, rule: ErrorRule): void {
    const detail = `injected error on ${bio.op}`;
    const ended = (): void => bio.fail(rule.result, detail);
    if (rule.effect === 'none') ended();
    else if (rule.effect === 'all' || !isWriteOp(bio.op)) this.forward(bio, ended);
    else this.#writeFirstSectors(bio, rule.effect, ended);
  }

  #writeFirstSectors(bio: Bio, sectors: number, ended: () => void): void {
    const count = toSectorCount(Math.min(sectors, bio.count));
    if (count === 0) {
      ended();
      return;
    }
    this.next.submit(
      new Bio({
        op: bio.op,
        sector: bio.sector,
        count,
        data: bio.data === null ? null : bio.data.subarray(0, count * SECTOR_SIZE),
        fua: bio.fua,
        onEnd: ended,
      }),
    );
  }
}
