/**
 * What all lives of a sweep so far went through, as the judges of expected losses want to know it.
 */

import type { BioOp } from '../block/bio.ts';
import type { LossSituation } from './findings.ts';
import type { Life } from './lives.ts';

export class Situation implements LossSituation {
  readonly #regionSizeSectors: number;
  readonly #strikes = new Set<string>();
  readonly #raced = new Set<number>();
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
    for (const sector of life.client.raced) this.#raced.add(sector);
    if (life.machine.log.errors.rules.some((rule) => rule.fired > 0)) this.#logFailed = true;
  }

  struck(leg: number, op: BioOp, sector: number | undefined): boolean {
    if (op === 'flush') return this.#strikes.has(`${leg}/flush/-1`);
    if (sector === undefined) return false;
    const region = Math.floor(sector / this.#regionSizeSectors);
    return this.#strikes.has(`${leg}/${op}/${region}`);
  }

  raced(sector: number | undefined): boolean {
    return sector !== undefined && this.#raced.has(sector);
  }
}
