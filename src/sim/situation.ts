/**
 * What all lives of a sweep so far went through, as the judges of expected losses want to know it.
 */

import { LEGS_MAX } from '../base/limits.ts';
import type { BioOp } from '../block/bio.ts';
import type { LossSituation } from './findings.ts';
import type { Life } from './lives.ts';

const LEGS: readonly number[] = Array.from({ length: LEGS_MAX }, (_, leg) => leg);

export class Situation implements LossSituation {
  readonly #regionSizeSectors: number;
  readonly #strikes = new Set<string>();
  readonly #raced = new Set<number>();
  readonly #discarded = new Set<number>();
  readonly #sentAlone = new Set<string>();
  #logFailed = false;

  constructor(regionSizeSectors: number) {
    this.#regionSizeSectors = regionSizeSectors;
  }

  get logFailed(): boolean {
    return this.#logFailed;
  }

  learn(life: Life): void {
    for (const { leg, op, region } of life.machine.strikes) {
      this.#strikes.add(`${leg}/${op}/${region}`);
    }
    for (const { leg, region } of life.machine.sentAlone) this.#sentAlone.add(`${leg}/${region}`);
    for (const sector of life.client.raced) this.#raced.add(sector);
    for (const sector of life.client.discarded) this.#discarded.add(sector);
    if (life.machine.log.errors.rules.some((rule) => rule.fired > 0)) this.#logFailed = true;
  }

  struck(leg: number | 'any', op: BioOp, sector: number | undefined): boolean {
    if (leg === 'any') return LEGS.some((one) => this.struck(one, op, sector));
    if (op === 'flush') return this.#strikes.has(`${leg}/flush/-1`);
    if (sector === undefined) return false;
    return this.#strikes.has(`${leg}/${op}/${this.#regionOf(sector)}`);
  }

  sentAlone(sector: number | undefined, options?: { notTo: number }): boolean {
    if (sector === undefined) return false;
    const region = this.#regionOf(sector);
    return LEGS.some((leg) => leg !== options?.notTo && this.#sentAlone.has(`${leg}/${region}`));
  }

  discarded(sector: number | undefined): boolean {
    return sector !== undefined && this.#discarded.has(sector);
  }

  raced(sector: number | undefined): boolean {
    return sector !== undefined && this.#raced.has(sector);
  }

  #regionOf(sector: number): number {
    return Math.floor(sector / this.#regionSizeSectors);
  }
}
