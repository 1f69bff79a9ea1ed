/** Sweeps crash stories: the power goes at every event, and everything that must survive does. */

import type { Test } from 'tap';
import { sweep } from '../../src/sim/crash-sweep.ts';
import { mirrorStack } from '../../src/sim/machine/mirror-stack.ts';
import type { Scenario } from '../../src/sim/scenario.ts';
import { describeSweep } from '../../src/sim/sweep-report.ts';
import { byEffort } from '../support/effort.ts';

const SEEDS = byEffort({ quick: 1, standard: 2, full: 20 });

export function sweepScenarios(t: Test, scenarios: readonly Scenario[]): void {
  t.setTimeout(byEffort({ quick: 10, standard: 10, full: 120 }) * 60_000);
  for (const scenario of scenarios) {
    t.test(scenario.title, async (t) => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const report = await sweep(scenario, { seed: `${seed}`, stackFactory: mirrorStack });
        const lines = describeSweep(report);
        for (const line of lines) t.comment(line);
        t.same(report.failures, [], lines.join('\n'));
        t.ok(report.cuts[0]! > 10, 'there was something to cut');
      }
    });
  }
}
