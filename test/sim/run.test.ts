import t from 'tap';
import { mirrorStack } from '../../src/sim/machine/mirror-stack.ts';
import { runSeed } from '../../src/sim/run.ts';
import { describeVerdict } from '../../src/sim/sweep-report.ts';
import { byEffort } from '../support/effort.ts';

async function traceOf(seed: string): Promise<string> {
  const lines: string[] = [];
  await runSeed(seed, { stackFactory: mirrorStack, trace: (line) => lines.push(line) });
  return lines.join('\n');
}

t.test('runSeed() gives the same run for the same seed, byte for byte', async (t) => {
  for (const seed of ['1', '7', 'a word']) {
    const first = await traceOf(seed);
    // Other runs in between must leave nothing behind.
    await traceOf(`${seed}/other`);
    t.equal(await traceOf(seed), first);
    t.ok(first.split('\n').length > 20, 'there is something to compare');
  }
});

t.test('runSeed() gives different runs for different seeds', async (t) => {
  const traces: string[] = [];
  for (let seed = 1; seed <= 5; seed++) traces.push(await traceOf(`${seed}`));
  t.equal(new Set(traces).size, 5);
});

t.test('runSeed() prints what it drew before anything happens', async (t) => {
  const [first] = (await traceOf('3')).split('\n');
  t.match(first, /^seed 3 \{"setup":\{"table":\{"sectors":\d+/);
});

t.test(
  'runSeed() tells what the kernel loses from what we do, where sectors were discarded',
  async (t) => {
    // A leg's error forgiven, a write to the other leg alone, over a discard that left zeros.
    const verdict = await runSeed('2689', { stackFactory: mirrorStack });
    t.same(
      describeVerdict(verdict).filter((line) => line.includes('FAILED')),
      [],
    );
  },
);

t.test('random runs: nothing is lost that must survive', async (t) => {
  const count = byEffort({ quick: 200, standard: 1000, full: 50_000 });
  const first = 1000;
  t.comment(`seeds ${first} to ${first + count - 1}`);
  for (let seed = first; seed < first + count; seed++) {
    const verdict = await runSeed(`${seed}`, { stackFactory: mirrorStack });
    if (verdict.findings.length > 0) t.fail(describeVerdict(verdict).join('\n'));
  }
});
