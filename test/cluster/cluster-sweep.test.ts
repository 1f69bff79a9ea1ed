/**
 * One node of two meets with a mishap at every event of a story (or every so many): nobody ever
 * reads or copies over what another writes, and in the end all legs are equal.
 */

import t from 'tap';
import { MISHAPS, playStory } from '../support/cluster/cluster-sweep.ts';
import { byEffort } from '../support/effort.ts';

const STEP = byEffort({ quick: 41, standard: 13, full: 1 });

for (const implementation of ['clustered-core', 'clustered-disk'] as const) {
  for (const lostPercent of [0, 4]) {
    for (const mishap of MISHAPS) {
      t.test(`${implementation}: ${mishap.name}, ${lostPercent} % lost`, async (t) => {
        for (let at = 1; ; at += STEP) {
          const seed = `${implementation}/${at}`;
          const mayAsk = lostPercent > 0 && mishap.needsOurSide !== true;
          const side = mayAsk && at % 4 > 1 ? 'asking' : 'ours';
          const options = {
            seed,
            implementation,
            nosync: at % 2 === 0,
            lostPercent,
            side,
          } as const;
          const run = await playStory(options, mishap, at);
          if (run.violations.length > 0) t.same(run.violations, [], `event ${at}`);
          if (run.isOver) break;
        }
        t.pass('to the end of the story');
      });
    }
  }
}
