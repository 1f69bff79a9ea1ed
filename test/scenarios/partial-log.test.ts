/** The same stories with a disk log that writes only what changed, as it does when it is large. */

import t from 'tap';
import { coreLogType } from '../../src/dirtylog/core-log.ts';
import { createDiskLogType } from '../../src/dirtylog/disk-log.ts';
import { createMirrorTargetType } from '../../src/mirror/mirror-target.ts';
import { sweep } from '../../src/sim/crash-sweep.ts';
import { mirrorStackWith } from '../../src/sim/machine/mirror-stack.ts';
import { SCENARIOS } from '../../src/sim/scenarios/catalogue.ts';
import { describeSweep } from '../../src/sim/sweep-report.ts';

const logTypes = [coreLogType, createDiskLogType({ wholeWriteBytesMax: 0 })];
const stackFactory = mirrorStackWith(createMirrorTargetType({ logTypes }));

t.setTimeout(600_000);

t.test('crash sweep: a disk log that is written in part', async (t) => {
  let partial = 0;
  for (const scenario of SCENARIOS.filter(({ setup }) => setup.table.log === 'disk')) {
    const trace = (line: string): void => {
      if (/log write \d+\+1 submitted/.test(line)) partial += 1;
    };
    const fates = { whole: 4, torn: 1 };
    const report = await sweep(scenario, { seed: '1', stackFactory, nestedMax: 0, fates, trace });
    t.same(report.failures, [], describeSweep(report).join('\n'));
  }
  t.ok(partial > 1000, `${partial} log writes were partial`);
});
