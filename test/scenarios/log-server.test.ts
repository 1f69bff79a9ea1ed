/**
 * The same stories with the log at a log server: on a good day, on a bad wire, and with a server
 * that is killed again and again. The power is cut at every event of each.
 */

import t, { type Test } from 'tap';
import { sweep } from '../../src/sim/crash-sweep.ts';
import type { ExpectedLoss } from '../../src/sim/findings.ts';
import { type LogServerMishaps, logServerStack } from '../../src/sim/log-server-stack.ts';
import { GOOD_DAY } from '../../src/sim/log-wire.ts';
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
 * The copy goes on while a status is on its way; and a server that starts anew has regions copied
 * that were only being written.
 */
const SERVER_TAKES_TIME: ExpectedLoss = {
  name: 'server-takes-time',
  because: 'what is asked of a log server is answered later',
  covers: ({ checker }) => checker === 'status-agrees' || checker === 'resync-exact',
};

async function sweepAll(t: Test, mishaps: LogServerMishaps, scenarios: readonly Scenario[]) {
  for (const scenario of scenarios) {
    if (scenario.setup.table.log !== 'disk') continue;
    const expectedLosses = [...(scenario.expectedLosses ?? []), SERVER_TAKES_TIME];
    const report = await sweep(
      { ...scenario, expectedLosses },
      {
        seed: mishaps.seed,
        stackFactory: logServerStack(mishaps),
        nestedMax: byEffort({ quick: 0, standard: 0, full: 1 }),
        fates: byEffort({
          quick: { whole: 2, torn: 0 },
          standard: { whole: 4, torn: 1 },
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

t.test('crash sweep: a log server on a good day', async (t) => {
  await sweepAll(t, QUIET, SCENARIOS);
});
