/**
 * The same stories with the log at a log server: on a good day, on a bad wire, and with a server
 * that is killed again and again. The power is cut at every event of each.
 */

import t, { type Test } from 'tap';
import { sweep } from '../../src/sim/crash-sweep.ts';
import type { ExpectedLoss } from '../../src/sim/findings.ts';
import { type LogServerMishaps, logServerStack } from '../../src/sim/machine/log-server-stack.ts';
import { GOOD_DAY } from '../../src/sim/machine/log-wire.ts';
import type { Scenario } from '../../src/sim/scenario.ts';
import { RECOVERY_SCENARIOS } from '../../src/sim/scenarios/recovery.ts';
import { WRITE_SCENARIOS } from '../../src/sim/scenarios/writes.ts';
import { describeSweep } from '../../src/sim/sweep-report.ts';
import { byEffort } from '../support/effort.ts';

const QUIET: LogServerMishaps = {
  seed: 'quiet',
  wire: GOOD_DAY,
  killedWithinMs: 0,
  awayMsMax: 0,
  integratedFlush: false,
};

/**
 * A server that starts anew has regions copied that were only being written. Until then they are
 * written on the first leg alone, and an orderly stop leaves them dirty. That they are dirty in the
 * log wherever legs differ is for the other checkers to see.
 */
const SERVER_DIED: ExpectedLoss = {
  name: 'server-died',
  because: 'what a log server that starts anew cannot know to be in sync is copied',
  covers: ({ checker }) => EXCUSED.includes(checker),
};
const EXCUSED = [
  'status-agrees',
  'resync-exact',
  'acknowledged-durable-everywhere',
  'clean-after-stop',
];

async function sweepAll(t: Test, mishaps: LogServerMishaps, scenarios: readonly Scenario[]) {
  for (const scenario of scenarios) {
    if (scenario.setup.table.log !== 'disk') continue;
    const ofServer = mishaps.killedWithinMs > 0 ? [SERVER_DIED] : [];
    const expectedLosses = [...(scenario.expectedLosses ?? []), ...ofServer];
    const report = await sweep(
      { ...scenario, expectedLosses },
      {
        seed: mishaps.seed,
        stackFactory: logServerStack(mishaps),
        nestedMax: byEffort({ quick: 0, standard: 0, full: 1 }),
        fates: byEffort({
          quick: { whole: 2, torn: 0 },
          standard: { whole: 2, torn: 1 },
          full: { whole: 16, torn: 4 },
        }),
      },
    );
    const failures = report.failures.filter(({ finding }) => !isUnneeded(finding.message));
    t.same(failures, [], `${scenario.name}: ${describeSweep(report).join('\n')}`);
  }
}

/** An expected loss need not show up here. */
function isUnneeded(message: string): boolean {
  return /never showed up/.test(message);
}

t.setTimeout(byEffort({ quick: 10, standard: 20, full: 120 }) * 60_000);

const SCENARIOS = [...WRITE_SCENARIOS, ...RECOVERY_SCENARIOS];

/** Those in which marks, clears, flushes, copies and suspends meet. */
const MEETINGS = SCENARIOS.filter(({ name }) =>
  byEffort({
    quick: ['rewrite-after-clear'],
    standard: ['rewrite-after-clear', 'suspend-resume', 'writes-during-recovery'],
    full: SCENARIOS.map((scenario) => scenario.name),
  }).includes(name),
);

const FEW = SCENARIOS.filter(({ name }) => name === 'rewrite-after-clear');

t.test('crash sweep: a log server on a good day', async (t) => {
  await sweepAll(
    t,
    QUIET,
    byEffort({ quick: MEETINGS, standard: WRITE_SCENARIOS, full: SCENARIOS }),
  );
});

t.test('crash sweep: messages are late, lost and doubled', async (t) => {
  const wire = { lostPerMille: 5, doubledPerMille: 100, delayMsMax: 2 };
  await sweepAll(t, { ...QUIET, seed: 'late', wire }, MEETINGS);
});

t.test('crash sweep: the log server is killed and started again', async (t) => {
  const mishaps = { ...QUIET, seed: 'killed', killedWithinMs: 8, awayMsMax: 3 };
  await sweepAll(t, mishaps, MEETINGS);
});

t.test('crash sweep: the same with integrated_flush, on a bad wire', async (t) => {
  const wire = { lostPerMille: 3, doubledPerMille: 50, delayMsMax: 2 };
  const mishaps = { wire, seed: 'both', killedWithinMs: 20, awayMsMax: 3, integratedFlush: true };
  // Half a minute each: a dead server and a lost message make it wait for resends.
  await sweepAll(t, mishaps, byEffort({ quick: FEW, standard: FEW, full: MEETINGS }));
});
