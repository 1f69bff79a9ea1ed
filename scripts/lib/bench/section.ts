/**
 * What the benchmark is made of. A new kind of figure is a file with a Section, and a line in the
 * list of scripts/bench.ts.
 */

import type { Table } from './table.ts';
import type { Workbench } from './workbench.ts';

export interface Section {
  /** For --only. */
  readonly name: string;
  /** What it measures, in a few words, for --help. */
  readonly summary: string;
  /** Names of parts of it that --only takes too. */
  readonly parts?: readonly string[];
  /** Runs only when it is named. */
  readonly onDemand?: boolean;
  /** Measures. `parts` are those that were chosen: all, when the section itself was named. */
  run(bench: Workbench, parts: readonly string[]): Promise<SectionResult>;
}

export interface SectionResult {
  readonly tables: readonly Table[];
  /** Every single measurement, for --json. */
  readonly figures: unknown;
}
