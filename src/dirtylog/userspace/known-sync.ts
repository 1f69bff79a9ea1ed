/**
 * What a mirror knows of its regions without asking its log server again: below which number none
 * needs a question about a copy elsewhere (the hint, specification 10.7), and which are in sync.
 *
 * The kernel asks whether a region is in sync for each write, twice. We need not where it is known
 * how the log comes by its answer: that of one node changes only by what this mirror tells it, and
 * one that nodes share keeps, until a resume, to what it said of all regions below the hint
 * (docs/internals/cluster-log.md). A log of any other kind is asked as the kernel asks it.
 *
 * All knowledge ends with a resume, and with the server that it is from (a departure): one that
 * started anew may have regions to copy, and where nodes share the log it would not protect them.
 */

import { Bitset } from '../../base/bitset.ts';
import type { Region } from '../../base/units.ts';

/**
 * How a log comes by its answers:
 *
 * - `one-node`: from what this mirror tells it, and nothing else;
 * - `shared`: also from what other nodes do;
 * - `unknown`: of an implementation that is not ours.
 */
export type LogKeeping = 'one-node' | 'shared' | 'unknown';

export interface KnownSyncOptions {
  readonly keeping: LogKeeping;
  readonly regionCount: number;
  /** Another number with each server. */
  readonly serverNow: () => number;
}

export class KnownSync {
  readonly #options: KnownSyncOptions;
  #server = 0;
  #hint = 0;
  /** In sync are all regions below, without the exceptions; and those that were asked for. */
  #below = 0;
  readonly #exceptions = new Set<Region>();
  #answered: Bitset;
  /** Rises whenever what was asked before must not be believed any more. */
  #moment = 0;

  constructor(options: KnownSyncOptions) {
    this.#options = options;
    this.#answered = this.#nothingAnswered();
  }

  /** To be taken before a question, and given along with its answer. */
  get moment(): number {
    this.#renew();
    return this.#moment;
  }

  /** Regions below it are not being copied elsewhere. */
  get hint(): number {
    this.#renew();
    return this.#hint;
  }

  /** False: the server has to be asked. */
  isInSync(region: Region): boolean {
    const { keeping } = this.#options;
    if (keeping === 'unknown') return false;
    this.#renew();
    if (region < this.#below && !this.#exceptions.has(region)) return true;
    return keeping === 'one-node' && this.#answered.test(region);
  }

  forget(): void {
    this.#hint = 0;
    this.#below = 0;
    this.#exceptions.clear();
    this.#answered = this.#nothingAnswered();
    this.#moment += 1;
  }

  /** An answer about a copy elsewhere. */
  hinted(hint: number, moment: number): void {
    if (moment !== this.moment) return;
    this.#hint = hint;
    if (this.#options.keeping === 'shared') this.#below = Math.max(this.#below, hint);
  }

  /** An answer about one region: 1 is in sync. */
  answered(region: Region, inSync: number, moment: number): void {
    if (moment !== this.moment) return;
    if (this.#options.keeping === 'one-node' && inSync === 1) this.#answered.set(region);
  }

  counted(inSync: number, moment: number): void {
    const { regionCount } = this.#options;
    if (inSync < regionCount || moment !== this.moment) return;
    this.#hint = regionCount;
    this.#below = regionCount;
    this.#exceptions.clear();
  }

  /** The server is about to be told so, or has told so. */
  outOfSync(region: Region): void {
    const { keeping } = this.#options;
    if (keeping === 'unknown') return;
    if (keeping === 'one-node') this.#answered.clear(region);
    this.#exceptions.add(region);
    this.#moment += 1;
  }

  #renew(): void {
    const server = this.#options.serverNow();
    if (server === this.#server) return;
    this.#server = server;
    this.forget();
  }

  /** Memory is taken only for what is answered. */
  #nothingAnswered(): Bitset {
    const { keeping, regionCount } = this.#options;
    return new Bitset(keeping === 'one-node' ? regionCount : 0);
  }
}
