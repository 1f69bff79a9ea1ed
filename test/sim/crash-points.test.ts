/** The named points: all of them are passed by some scenario, and all are explained. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { POINTS } from '../../src/base/probe.ts';
import { IDLE } from '../../src/sim/crash-path.ts';
import { sweep } from '../../src/sim/crash-sweep.ts';
import { CHECKERS } from '../../src/sim/findings.ts';
import { mirrorStack } from '../../src/sim/machine/mirror-stack.ts';
import { SCENARIOS } from '../../src/sim/scenarios/catalogue.ts';

const MANUAL = join(import.meta.dirname, '../../docs/internals');

t.test('every crash point is passed by some scenario', async (t) => {
  const passed = new Set<string>();
  for (const scenario of SCENARIOS) {
    await sweep(scenario, {
      seed: '1',
      stackFactory: mirrorStack,
      path: [{ cut: IDLE, fates: null }],
      trace: (line) => passed.add(line.split(' ')[2]?.split(/[.@]/)[0] ?? ''),
    });
  }
  t.same(
    Object.keys(POINTS).filter((point) => !passed.has(point)),
    [],
  );
});

t.test('every crash point is in the manual, in the words that traces use', async (t) => {
  const manual = readFileSync(join(MANUAL, 'crash-points.md'), 'utf8');
  for (const [point, words] of Object.entries(POINTS)) {
    t.match(manual, new RegExp(`^\\| ${point} \\| ${words}\\b`, 'm'), point);
  }
});

t.test('every checker and every expected loss is in the manual', async (t) => {
  const manual = readFileSync(join(MANUAL, 'simulator.md'), 'utf8');
  const losses = SCENARIOS.flatMap(({ expectedLosses }) => expectedLosses ?? []);
  for (const name of [...CHECKERS, ...losses.map((loss) => loss.name)]) {
    t.ok(manual.includes(`| \`${name}\` |`), name);
  }
});
