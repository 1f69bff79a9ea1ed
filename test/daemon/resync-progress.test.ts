import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { countSync, formatSeconds, ResyncProgress } from '../../src/daemon/resync-progress.ts';
import { StatusLine } from '../../src/daemon/status-line.ts';

/** A clock that the test turns by hand. */
class HandClock implements Clock {
  #nowMs = 0;
  #task: (() => void) | null = null;

  now(): number {
    return this.#nowMs;
  }

  defer(): void {
    throw new Error('not used');
  }

  after(_delayMs: number, task: () => void) {
    this.#task = task;
    return { cancel: () => (this.#task = null) };
  }

  /** Goes on, and lets what was waiting happen. */
  async advance(ms: number): Promise<void> {
    this.#nowMs += ms;
    const task = this.#task;
    this.#task = null;
    task?.();
    await new Promise((resolve) => setImmediate(resolve));
  }

  get isWaiting(): boolean {
    return this.#task !== null;
  }
}

function makeProgress(options: { bar: boolean }) {
  const clock = new HandClock();
  const said: string[] = [];
  let inSync = 0;
  const progress = new ResyncProgress({
    clock,
    log: { ...silentLogger, info: (message) => said.push(message) },
    statusLine: options.bar ? new StatusLine((text) => said.push(text)) : null,
    status: async () => [`0 2097152 mirror 2 a b ${inSync}/1024 1 AA 1 core`],
  });
  return { clock, said, progress, setInSync: (count: number) => (inSync = count) };
}

t.test('countSync() adds up mirrors, and passes over other targets', async (t) => {
  const lines = [
    '0 2048 mirror 2 a b 3/4 1 AA 1 core',
    '2048 8 linear',
    '2056 2048 mirror 3 a\\ b c d 1/4 1 AAA 3 disk l A',
  ];
  t.strictSame(countSync(lines), { inSync: 4, total: 8, bytes: 2 * 2048 * 512 });
  t.strictSame(countSync(['0 8 zero']), { inSync: 0, total: 0, bytes: 0 });
});

t.test('ResyncProgress says plain lines every few seconds, with rate and time left', async (t) => {
  const { clock, said, progress, setInSync } = makeProgress({ bar: false });
  await clock.advance(10_000);
  await progress.start();
  for (let round = 1; round <= 12; round++) {
    setInSync(round * 51.2);
    await clock.advance(500);
  }
  setInSync(1024);
  await clock.advance(500);
  t.strictSame(said, [
    'resynchronising: 0.0% (0 of 1024 regions)',
    'resynchronising: 50.0% (512 of 1024 regions), 102.4 MiB/s, 0:05 left',
    'in sync: all 1024 regions, after 6.5 s',
  ]);
  progress.stop();
});

t.test('ResyncProgress says once that nothing is copied any more', async (t) => {
  const { clock, said, progress, setInSync } = makeProgress({ bar: false });
  await clock.advance(10_000);
  await progress.start();
  setInSync(1000);
  for (let round = 0; round < 120; round++) await clock.advance(500);
  t.equal(said.at(-1), 'resynchronising: 97.7% (1000 of 1024 regions), no progress');
  const lines = said.length;
  for (let round = 0; round < 120; round++) await clock.advance(500);
  t.equal(said.length, lines, 'nothing is news');
  setInSync(1001);
  await clock.advance(500);
  t.match(said.at(-1), /97.8% \(1001 of 1024 regions\), .* left$/);
  progress.stop();
});

t.test('ResyncProgress draws a bar on a terminal, and takes it away in the end', async (t) => {
  const { clock, said, progress, setInSync } = makeProgress({ bar: true });
  await progress.start();
  setInSync(512);
  await clock.advance(1000);
  t.match(said.at(-1), 'resync [############............] 50.0% (512 of 1024 regions), 512 MiB/s');
  setInSync(1024);
  await clock.advance(1000);
  t.strictSame(said.slice(-2), ['\r\x1b[K', 'in sync: all 1024 regions, after 2.0 s']);
  progress.stop();
  t.notOk(clock.isWaiting, 'nothing goes on after stop()');
});

t.test('formatSeconds() rounds up and shows hours only when there are some', async (t) => {
  t.strictSame([0, 0.2, 59.5, 61, 3600, 3661].map(formatSeconds), [
    '0:00',
    '0:01',
    '1:00',
    '1:01',
    '1:00:00',
    '1:01:01',
  ]);
});
