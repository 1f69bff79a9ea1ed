import t from 'tap';
import type { Clock, Timer } from '../../../src/base/clock.ts';
import { formatLoopDelays, measureLoopDelays } from '../../../src/control/verbs/loop-delays.ts';
import { ControlRig } from '../../support/control-rig.ts';

/** A loop that comes to its timers later than they are due, by as much as each entry says. */
class LateClock implements Clock {
  readonly #lateMs: number[];
  #nowMs = 1000;

  constructor(lateMs: readonly number[]) {
    this.#lateMs = [...lateMs];
  }

  now(): number {
    return this.#nowMs;
  }

  defer(task: () => void): void {
    task();
  }

  after(delayMs: number, task: () => void): Timer {
    this.#nowMs += delayMs + (this.#lateMs.shift() ?? 0);
    task();
    return { cancel: () => {} };
  }
}

t.test('measureLoopDelays() counts what each look came too late', async (t) => {
  const clock = new LateClock([0, 0.5, 1.5, 25, 0, 1200]);
  const delays = await measureLoopDelays(clock, 1200, new AbortController().signal);
  t.equal(delays.looks, 6);
  t.equal(delays.maxMs, 1200);
  t.equal(
    delays.histogram.reduce((sum, entry) => sum + entry.count, 0),
    6,
  );
  const seen = delays.histogram.filter((entry) => entry.count > 0);
  t.strictSame(seen, [
    { atLeastMs: 0, belowMs: 1, count: 3 },
    { atLeastMs: 1, belowMs: 2, count: 1 },
    { atLeastMs: 20, belowMs: 50, count: 1 },
    { atLeastMs: 1000, belowMs: null, count: 1 },
  ]);
  t.match(formatLoopDelays(delays), /^1000 and more\s+ms\s+1$/m);
  t.match(formatLoopDelays(delays), /^longest 1200\.0 ms; looked 6 times in 1\.2 s$/m);
});

t.test('measureLoopDelays() ends when nobody waits for it any more', async (t) => {
  const gone = AbortSignal.abort();
  const delays = await measureLoopDelays(new LateClock([]), 1e9, gone);
  t.equal(delays.looks, 1);
});

t.test('the command line measures a daemon, and passes its refusals on', async (t) => {
  const rig = await ControlRig.start(t);
  const measured = await rig.run('stalls', '0.02');
  t.match(measured, { status: 0, err: '', out: /longest .* ms; looked \d+ times/ });
  const json = await rig.run('stalls', '0.02', '--json');
  t.match(JSON.parse(json.out), { looks: Number, maxMs: Number, histogram: Array });
  for (const word of ['0', '-1', '3601', 'soon', '1e999']) {
    const refused = await rig.run('stalls', '--', word);
    t.match(refused, { status: 1, out: '', err: /Cannot stalls: "seconds" must be/ }, word);
  }
});
