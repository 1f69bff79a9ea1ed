/**
 * The sweep notices mistakes: each planted bug is caught, in its scenario, by the checker of the
 * property that it breaks; and every checker has a bug that it catches, so that none is a dead
 * letter.
 */

import t from 'tap';
import { formatCrashPath } from '../../src/sim/crash-path.ts';
import { sweep } from '../../src/sim/crash-sweep.ts';
import { CHECKERS } from '../../src/sim/findings.ts';
import { findScenario } from '../../src/sim/scenarios/catalogue.ts';
import { LOG_BUGS } from './planted-bugs/log-bugs.ts';
import { PART_BUGS } from './planted-bugs/part-bugs.ts';

const BUGS = [...LOG_BUGS, ...PART_BUGS];

for (const bug of BUGS) {
  t.test(`crash sweep: ${bug.name} (${bug.mistake}) is caught by ${bug.caughtBy}`, async (t) => {
    const report = await sweep(findScenario(bug.scenario), {
      seed: '1',
      stackFactory: bug.stackFactory,
      stopAtFirst: bug.caughtBy,
      nestedMax: 0,
    });
    const caught = report.failures.find(({ finding }) => finding.checker === bug.caughtBy);
    const others = new Set(report.failures.map(({ finding }) => finding.checker));
    t.ok(caught, `caught by ${[...others].join(', ') || 'nobody'}`);
    if (caught === undefined) return;
    t.comment(`${bug.scenario} ${formatCrashPath(caught.path)}: ${caught.finding.message}`);
  });
}

t.test('crash sweep: every checker catches some planted bug', async (t) => {
  const busy = new Set(BUGS.map((bug) => bug.caughtBy));
  t.same(
    CHECKERS.filter((checker) => !busy.has(checker)),
    [],
  );
  t.equal(new Set(BUGS.map((bug) => bug.name)).size, BUGS.length, 'names are different');
});
