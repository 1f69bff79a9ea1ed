/**
 * Which requests a fault strikes, and how often it has struck: what error and delay rules share.
 *
 * A rule is armed until it is disarmed or has fired `times` times. It counts both the requests that
 * it matched and those that it struck: a rule that never fired tested nothing, and whoever armed it
 * should say so.
 */

import { assert } from '../base/assert.ts';
import type { Prng } from '../base/prng.ts';
import type { Bio, BioOp } from '../block/bio.ts';

export interface FaultMatch {
  /** All operations when absent. */
  readonly ops?: readonly BioOp[];
  /**
   * Strikes only requests that touch these sectors; flushes, which have no place, match any extent.
   */
  readonly extent?: { readonly sector: number; readonly count: number };
  /** Lets this many matching requests pass first. */
  readonly skip?: number;
  /** Strikes at most this many times; without end when absent. */
  readonly times?: number;
  /** Strikes this share of the matching requests, drawn from `prng`; all when absent. */
  readonly chance?: {
    readonly numerator: number;
    readonly denominator: number;
    readonly prng: Prng;
  };
}

export class FaultRule {
  readonly match: FaultMatch;
  #matched = 0;
  #fired = 0;
  #armed = true;

  constructor(match: FaultMatch) {
    assert((match.times ?? 1) > 0, 'A fault rule fires 0 times, must fire at least once');
    this.match = match;
  }

  /** How often the rule struck. */
  get fired(): number {
    return this.#fired;
  }

  /** How many requests matched operation and extent while the rule was armed. */
  get matched(): number {
    return this.#matched;
  }

  get armed(): boolean {
    return this.#armed;
  }

  disarm(): void {
    this.#armed = false;
  }

  /** Decides about one request, once: counts it, and answers whether the fault strikes. */
  strikes(bio: Bio): boolean {
    if (!this.#armed || !matches(this.match, bio)) return false;
    this.#matched += 1;
    if (this.#matched <= (this.match.skip ?? 0)) return false;
    const chance = this.match.chance;
    if (chance !== undefined && !chance.prng.chance(chance.numerator, chance.denominator)) {
      return false;
    }
    this.#fired += 1;
    if (this.match.times !== undefined && this.#fired >= this.match.times) this.#armed = false;
    return true;
  }
}

function matches(match: FaultMatch, bio: Bio): boolean {
  if (match.ops !== undefined && !match.ops.includes(bio.op)) return false;
  if (match.extent === undefined || bio.op === 'flush') return true;
  const { sector, count } = match.extent;
  return bio.sector < sector + count && sector < bio.sector + bio.count;
}
