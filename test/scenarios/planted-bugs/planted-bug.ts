/** What a planted bug is: a mirror with one mistake, and where the sweep must notice it. */

import type { CheckerName } from '../../../src/sim/findings.ts';
import type { StackFactory } from '../../../src/sim/machine/sim-stack.ts';

export interface PlantedBug {
  readonly name: string;
  /** The mistake, as it might be made. */
  readonly mistake: string;
  /** A scenario that meets it. */
  readonly scenario: string;
  /** The property that it breaks. */
  readonly caughtBy: CheckerName;
  readonly stackFactory: StackFactory;
}
