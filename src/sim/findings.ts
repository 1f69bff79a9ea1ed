/** What a checker found wrong, and the losses which the kernel's own behaviour makes, by name. */

import type { BioOp } from '../block/bio.ts';
import type { SectorContents } from './machine/sector-payload.ts';

export const CHECKERS = [
  'acknowledged-durable-everywhere',
  'broken-invariant',
  'clean-after-stop',
  'flushed-data-survives',
  'held-requests-end',
  'legs-equal',
  'log-covers-divergence',
  'log-valid',
  'reads-current',
  'reads-stable',
  'results-expected',
  'resync-ends',
  'resync-exact',
  'stale-leg-not-read',
  'status-agrees',
] as const;

export type CheckerName = (typeof CHECKERS)[number];

export interface Finding {
  readonly checker: CheckerName;
  /** One sentence for people. */
  readonly message: string;
  readonly sector?: number;
  readonly region?: number;
  readonly leg?: number;
  readonly observed?: SectorContents;
}

/**
 * A loss that the emulated behaviour itself makes (specification 3.5, 5.6, 12). A scenario names
 * the ones it leads to; a finding that one covers is counted under its name instead of failing the
 * run. A named loss that never shows up fails the scenario, as a fault that never fired would.
 */
export interface ExpectedLoss {
  readonly name: string;
  /** Why the kernel loses here, for reports and the manual. */
  readonly because: string;
  covers(finding: Finding, situation: LossSituation): boolean;
}

/** What the machines of the run so far went through. */
export interface LossSituation {
  /**
   * A request of this kind has failed, on this leg or on any, in the region of `sector`; a failed
   * flush counts for every sector.
   */
  struck(leg: number | 'any', op: BioOp, sector: number | undefined): boolean;
  /**
   * A write to the region of `sector` was sent to one leg alone; with `notTo`, to another than
   * that.
   */
  sentAlone(sector: number | undefined, options?: { notTo: number }): boolean;
  /** Requests to the log have failed. */
  readonly logFailed: boolean;
  /** This sector was discarded at some time. */
  discarded(sector: number | undefined): boolean;
  /** Two writes to this sector were in flight together. */
  raced(sector: number | undefined): boolean;
}
