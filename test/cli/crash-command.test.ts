import t from 'tap';
import { type CrashOptions, runCrash } from '../../src/cli/crash-command.ts';
import { SCENARIOS } from '../../src/sim/scenarios/catalogue.ts';

async function run(options: Partial<CrashOptions>) {
  const lines: string[] = [];
  const status = await runCrash({ seed: '1', ...options }, (line) => lines.push(line));
  return { status, lines };
}

t.test('crash --list names every scenario once, with its story', async (t) => {
  const { status, lines } = await run({ list: true });
  t.equal(status, 0);
  t.same(
    lines.map((line) => line.split(' ')[0]),
    SCENARIOS.map(({ name }) => name),
  );
  t.equal(new Set(SCENARIOS.map(({ name }) => name)).size, SCENARIOS.length);
  t.equal(new Set(SCENARIOS.map(({ title }) => title)).size, SCENARIOS.length);
});

t.test('crash --scenario sweeps it and says what it explored', async (t) => {
  const { status, lines } = await run({ scenario: ['racing-writes'], seed: '5' });
  t.equal(status, 0);
  t.match(lines[0], /^ok racing-writes$/);
  t.match(lines[1], /seed 5; cuts: \d+ in life 0; machines started: \d+/);
  t.match(lines[2], /explored: \d+ of \d+; states: \d+ different of \d+/);
  t.match(lines[3], /expected loss racing-writes: seen \d+ times/);
});

t.test('crash --at repeats one cut, by number or by name, and traces it', async (t) => {
  const named = await run({ scenario: ['single-write'], at: ['W7.1@1:K.L'], trace: true });
  t.equal(named.status, 0, 'nothing is wrong there');
  const cut = named.lines.findIndex((line) => line.endsWith('power cut'));
  t.match(named.lines[cut - 1], /W7\.1@1 write completed by a leg$/);
  const event = named.lines[cut]!.split(' ')[0];
  const counted = await run({ scenario: ['single-write'], at: [`${event}:K.L`], trace: true });
  t.same(counted.lines, named.lines);
});

t.test('crash --random is the same for the same seed', async (t) => {
  const first = await run({ random: '3', trace: true });
  t.equal(first.status, 0);
  t.match(first.lines.at(-1), 'random runs: 3, from seed 1 on; failed: 0');
  t.same(await run({ random: '3', trace: true }), first);
});

t.test('crash refuses what means nothing', async (t) => {
  for (const options of [
    { scenario: ['single-writ'] },
    { scenario: ['single-write'], at: ['12:Q'] },
    { scenario: ['single-write'], at: ['W99'] },
    { at: ['12'] },
    { random: 'many' },
  ]) {
    await t.rejects(run(options), { name: 'UserError' }, JSON.stringify(options));
  }
});

t.test('crash fails when a cut that is asked for never comes', async (t) => {
  const { status, lines } = await run({ scenario: ['single-write'], at: ['9999'] });
  t.equal(status, 1);
  t.match(lines.join('\n'), /ended before it came to the cut/);
});
