/** The sweep itself, over a toy mirror that is known to be right, and over wrong ones. */

import t from 'tap';
import { parseCrashStep } from '../../src/sim/crash-path.ts';
import { type SweepOptions, sweep } from '../../src/sim/crash-sweep.ts';
import type { CheckerName } from '../../src/sim/findings.ts';
import { mirrorStack } from '../../src/sim/machine/mirror-stack.ts';
import { machineWith, type Scenario } from '../../src/sim/scenario.ts';
import { findScenario } from '../../src/sim/scenarios/catalogue.ts';
import { describeSweep, replayCommand } from '../../src/sim/sweep-report.ts';
import { type ToyMistakes, toyStack } from '../support/toy-mirror.ts';

const STORY: Scenario = {
  name: 'toy-story',
  title: 'toy: writes, a flush and FUA, one region stale',
  setup: machineWith({ sectors: 16 }),
  log: { dirty: [1] },
  endsHealthy: true,
  nested: 2,
  nestedShare: 3,
  play: async (play) => {
    await play.write(2, 3);
    await play.flush();
    await play.write(10, 2, { fua: true });
    await play.write(3, 1);
  },
};

function sweepToy(mistakes: ToyMistakes, options: Partial<SweepOptions> = {}) {
  return sweep(STORY, { seed: '1', stackFactory: toyStack(mistakes), ...options });
}

t.test('sweep() finds nothing wrong with a mirror that is right', async (t) => {
  const report = await sweepToy({});
  t.same(report.failures, []);
  t.equal(report.cuts.length, 3, 'the story, the restart, and the restart after that were cut');
  const { explored, total } = report.outcomes;
  t.ok(explored > 100 && explored <= total, `${explored} of ${total}`);
  t.ok(report.states.distinct < report.states.reached, 'equal states are explored once');
  t.ok(report.nested.explored > 0 && report.nested.explored <= report.nested.total);
});

const WRONG: [keyof ToyMistakes, CheckerName][] = [
  ['marksAfterData', 'log-covers-divergence'],
  ['marksWithoutFlush', 'log-covers-divergence'],
  ['clearsWithoutFlush', 'log-covers-divergence'],
  ['fuaOnFirstLegOnly', 'acknowledged-durable-everywhere'],
  ['flushIgnored', 'flushed-data-survives'],
  ['copiesBackwards', 'flushed-data-survives'],
];

/** The clear behind every write flushes the legs, and would hide a flush that does nothing. */
const ALSO: Partial<Record<keyof ToyMistakes, ToyMistakes>> = {
  flushIgnored: { clearsWithoutFlush: true },
};

for (const [mistake, checker] of WRONG) {
  t.test(`sweep() notices a mirror with the mistake ${mistake}`, async (t) => {
    const report = await sweepToy({ ...ALSO[mistake], [mistake]: true }, { nestedMax: 0 });
    const found = new Set(report.failures.map(({ finding }) => finding.checker));
    t.ok(found.has(checker), [...found].join(', ') || 'nothing was found');
  });
}

t.test('sweep() repeats one failure by its path, and only that', async (t) => {
  const stackFactory = toyStack({ marksWithoutFlush: true });
  const report = await sweep(STORY, { seed: '5', stackFactory, nestedMax: 1 });
  const failures = [0, Math.floor(report.failures.length / 2), report.failures.length - 1];
  for (const failure of failures.map((index) => report.failures[index]!)) {
    const command = replayCommand(report, failure);
    t.match(command, /^nbd-mirror crash --scenario toy-story --seed 5( --at \S+)+ --trace$/);
    const path = [...command.matchAll(/--at (\S+)/g)].map(([, step]) => parseCrashStep(step!));
    const lines: string[] = [];
    const again = await sweep(STORY, {
      seed: '5',
      stackFactory,
      path,
      trace: (line) => lines.push(line),
    });
    const found = again.failures.map(({ finding }) => finding.message);
    t.ok(found.includes(failure.finding.message), command);
    t.ok(again.lives <= path.length + 1, `${again.lives} machines were started`);
    t.ok(lines.length > 5, 'and traced');
  }
});

t.test('sweep() says so when the cut that is asked for never comes', async (t) => {
  const report = await sweepToy({}, { path: [parseCrashStep('9999')] });
  t.match(report.failures, [{ finding: { message: /ended before it came to the cut/ } }]);
});

t.test('sweep() is the same for the same seed, event by event', async (t) => {
  const traceOf = async (seed: string): Promise<string> => {
    const lines: string[] = [];
    const trace = (line: string): void => void lines.push(line);
    const options = { seed, stackFactory: mirrorStack, trace, nestedMax: 0 };
    lines.push(...describeSweep(await sweep(findScenario('single-write'), options)));
    return lines.join('\n');
  };
  const first = await traceOf('1');
  t.equal(await traceOf('1'), first);
  t.not(await traceOf('2'), first);
});

t.test('sweep() fails a scenario whose expected loss never shows up', async (t) => {
  const loss = { name: 'never-seen', because: 'of nothing', covers: () => false };
  const report = await sweep(
    { ...STORY, nested: 0, expectedLosses: [loss] },
    { seed: '1', stackFactory: toyStack() },
  );
  t.match(report.failures, [{ finding: { message: /"never-seen" never showed up/ } }]);
});

t.test('sweep() reports a program that throws, or leaves a rejection behind', async (t) => {
  for (const name of ['in a task', 'in a promise']) {
    const stack = toyStack();
    const report = await sweep(
      { ...STORY, nested: 0 },
      {
        seed: '1',
        stackFactory: async (environment) => {
          const { clock } = environment;
          const throwIt = (): void => {
            throw new Error(`thrown ${name}`);
          };
          if (name === 'in a task') clock.after(1, throwIt);
          else clock.after(1, () => void Promise.resolve().then(throwIt));
          return stack(environment);
        },
        stopAtFirst: 'broken-invariant',
      },
    );
    t.match(report.failures.at(-1), {
      finding: { checker: 'broken-invariant', message: `thrown ${name}` },
    });
  }
});
