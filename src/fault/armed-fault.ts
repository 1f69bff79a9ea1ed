/**
 * A fault that was armed at run time: what it is, where, how often it fired, and the requests that
 * hang in it.
 */

import type { Clock } from '../base/clock.ts';
import { errnoName, type IoResult } from '../base/errno.ts';
import type { Bio } from '../block/bio.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { DelayRule } from './delay-filter.ts';
import { ErrorRule } from './error-filter.ts';
import { FaultRule } from './fault-rule.ts';
import { type FaultArea, type FaultSpec, faultMatch } from './fault-spec.ts';

interface Held {
  readonly bio: Bio;
  /** Where the request had been sent. */
  readonly device: BlockDevice;
}

export interface ArmedFaultOptions {
  readonly id: number;
  /** The mapped device for which it was armed, and the word for what of it. */
  readonly device: string;
  readonly target: string;
  /** The underlying device that misbehaves. */
  readonly underlying: string;
  readonly spec: FaultSpec;
  readonly area: FaultArea;
  readonly clock: Clock;
}

export class ArmedFault {
  readonly id: number;
  readonly device: string;
  readonly target: string;
  readonly underlying: string;
  readonly spec: FaultSpec;
  readonly #rule: FaultRule;
  readonly #clock: Clock;
  #held: Held[] = [];

  /** @throws UserError for sectors outside of the area. */
  constructor(options: ArmedFaultOptions) {
    this.id = options.id;
    this.device = options.device;
    this.target = options.target;
    this.underlying = options.underlying;
    this.spec = options.spec;
    this.#clock = options.clock;
    this.#rule = ruleOf(options.spec, options.area);
  }

  get fired(): number {
    return this.#rule.fired;
  }

  get matched(): number {
    return this.#rule.matched;
  }

  /** False once it has fired as often as it was to. */
  get armed(): boolean {
    return this.#rule.armed;
  }

  /** Requests that hang in it now. */
  get held(): number {
    return this.#held.length;
  }

  /** True when the fault has struck the request, which is then its own. */
  strike(bio: Bio, device: BlockDevice, next: BlockDevice): boolean {
    const rule = this.#rule;
    if (!rule.strikes(bio)) return false;
    if (rule instanceof ErrorRule) {
      bio.fail(rule.result, `injected ${this.spec.kind} on ${bio.op}`);
    } else if (rule instanceof DelayRule) {
      this.#clock.after(rule.drawDelayMs(), () => next.submit(bio));
    } else {
      this.#held.push({ bio, device });
    }
    return true;
  }

  /** Nothing more is struck. What hangs goes on, oldest first, or fails. */
  disarm(hanging: 'proceed' | IoResult): void {
    this.#rule.disarm();
    const held = this.#held;
    this.#held = [];
    for (const { bio, device } of held) {
      if (hanging === 'proceed') device.submit(bio);
      else bio.fail(hanging, `hung until it was given up: ${errnoName(hanging)}`);
    }
  }
}

function ruleOf(spec: FaultSpec, area: FaultArea): FaultRule {
  const match = faultMatch(spec, area);
  switch (spec.kind) {
    case 'error':
    case 'offline':
      return new ErrorRule(match, { result: spec.errno });
    case 'delay':
      return new DelayRule(match, { delayMs: spec.delayMs });
    case 'hang':
      return new FaultRule(match);
  }
}
