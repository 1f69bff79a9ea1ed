/**
 * Every crash story, swept: the power goes at every event, and everything that must survive does.
 */

import t from 'tap';
import { sweep } from '../../src/sim/crash-sweep.ts';
import { mirrorStack } from '../../src/sim/mirror-stack.ts';
import { SCENARIOS } from '../../src/sim/scenarios/catalogue.ts';
import { describeSweep } from '../../src/sim/sweep-report.ts';
import { byEffort } from '../support/effort.ts';

t.setTimeout(600_000);

const SEEDS = byEffort({ quick: 1, standard: 2, full: 20 });

for (const scenario of SCENARIOS) {
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
