/**
 * A fault that was armed at run time: what it is, where, how often it fired, and the requests that
 * hang in it or are late by it.
 */

import type { Clock, Timer } from '../base/clock.ts';
import { errnoName, type IoResult } from '../base/errno.ts';
import type { Bio } from '../block/bio.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { DelayRule } from './delay-filter.ts';
import { ErrorRule } from './error-filter.ts';
import { FaultRule } from './fault-rule.ts';
import { type FaultArea, type FaultSpec, faultMatch } from './fault-spec.ts';

interface Held {
  readonly bio: Bio;
  /** Where the request goes on. */
  readonly to: BlockDevice;
  /** Until when; null: until the fault is removed. */
  readonly timer: Timer | null;
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
  readonly target: string;
  readonly underlying: string;
  readonly spec: FaultSpec;
  #device: string;
  readonly #rule: FaultRule;
  readonly #clock: Clock;
  readonly #held = new Set<Held>();

  /** @throws UserError for sectors outside of the area. */
  constructor(options: ArmedFaultOptions) {
    this.id = options.id;
    this.#device = options.device;
    this.target = options.target;
    this.underlying = options.underlying;
    this.spec = options.spec;
    this.#clock = options.clock;
    this.#rule = ruleOf(options.spec, options.area);
  }

  get device(): string {
    return this.#device;
  }

  /** The mapped device has another name now. */
  renameDevice(name: string): void {
    this.#device = name;
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

  /** Requests that hang in it now, or wait for their time. */
  get held(): number {
    return this.#held.size;
  }

  /** True when the fault has struck the request, which is then its own. */
  strike(bio: Bio, device: BlockDevice, next: BlockDevice): boolean {
    const rule = this.#rule;
    if (!rule.strikes(bio)) return false;
    if (rule instanceof ErrorRule) {
      bio.fail(rule.result, `injected ${this.spec.kind} on ${bio.op}`);
    } else if (rule instanceof DelayRule) {
      this.#delay(bio, next, rule.drawDelayMs());
    } else {
      this.#held.add({ bio, to: device, timer: null });
    }
    return true;
  }

  #delay(bio: Bio, to: BlockDevice, delayMs: number): void {
    const timer = this.#clock.after(delayMs, () => {
      this.#held.delete(held);
      to.submit(bio);
    });
    const held: Held = { bio, to, timer };
    this.#held.add(held);
  }

  /** Nothing more is struck. What hangs or waits goes on at once, oldest first, or fails. */
  disarm(hanging: 'proceed' | IoResult): void {
    this.#rule.disarm();
    const held = [...this.#held];
    this.#held.clear();
    for (const { bio, to, timer } of held) {
      timer?.cancel();
      if (hanging === 'proceed') to.submit(bio);
      else bio.fail(hanging, `held until it was given up: ${errnoName(hanging)}`);
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
