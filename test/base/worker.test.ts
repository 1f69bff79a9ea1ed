import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { Worker } from '../../src/base/worker.ts';

/**
 * Time in the hands of the test: deferred work runs in order, timers when their instant is reached.
 */
class HandClock implements Clock {
  #now = 0;
  readonly #tasks: (() => void)[] = [];
  #timers: { readonly at: number; readonly task: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  defer(task: () => void): void {
    this.#tasks.push(task);
  }

  after(delayMs: number, task: () => void): { cancel(): void } {
    const timer = { at: this.#now + delayMs, task };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((candidate) => candidate !== timer);
      },
    };
  }

  /** Runs what is deferred, also what that defers; tells how many tasks ran. */
  run(): number {
    let count = 0;
    for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) {
      task();
      count += 1;
    }
    return count;
  }

  advance(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter((timer) => timer.at <= this.#now);
    this.#timers = this.#timers.filter((timer) => timer.at > this.#now);
    for (const timer of due) timer.task();
  }
}

/** A turn that lasts until the test ends it. */
class LongTurn {
  started = 0;
  running = 0;
  #end: (() => void) | null = null;

  readonly run = (): Promise<void> => {
    this.started += 1;
    this.running += 1;
    return new Promise((resolve) => {
      this.#end = () => {
        this.running -= 1;
        resolve();
      };
    });
  };

  async end(): Promise<void> {
    this.#end?.();
    await Promise.resolve();
    await Promise.resolve();
  }
}

t.test('Worker: many wakes before a turn make one turn, later and not at once', async (t) => {
  const clock = new HandClock();
  let turns = 0;
  const worker = new Worker(clock, () => {
    turns += 1;
  });
  for (let wake = 0; wake < 5; wake++) worker.wake();
  t.equal(turns, 0);
  clock.run();
  t.equal(turns, 1);
  t.equal(clock.run(), 0, 'nothing is left');
});

t.test('Worker: a wake during a turn makes exactly one more', async (t) => {
  const clock = new HandClock();
  let turns = 0;
  const worker = new Worker(clock, () => {
    turns += 1;
    if (turns > 3) return;
    worker.wake();
    worker.wake();
  });
  worker.wake();
  clock.run();
  t.equal(turns, 4);
});

t.test('Worker: turns never overlap, and no wake is lost while one lasts', async (t) => {
  const clock = new HandClock();
  const turn = new LongTurn();
  const worker = new Worker(clock, turn.run);
  worker.wake();
  clock.run();
  for (let round = 1; round < 5; round++) {
    worker.wake();
    clock.run();
    t.equal(turn.running, 1);
    t.equal(turn.started, round);
    await turn.end();
    clock.run();
    t.equal(turn.started, round + 1);
  }
});

t.test('Worker.wakeAfter() is not armed twice, and can be forgotten', async (t) => {
  const clock = new HandClock();
  let turns = 0;
  const worker = new Worker(clock, () => {
    turns += 1;
  });
  worker.wakeAfter(200);
  clock.advance(150);
  worker.wakeAfter(200);
  clock.advance(50);
  clock.run();
  t.equal(turns, 1, 'the first one counts');
  clock.advance(1000);
  t.equal(clock.run(), 0);
  worker.wakeAfter(10);
  worker.cancelDelayedWake();
  clock.advance(10);
  t.equal(clock.run(), 0);
  worker.wakeAfter(10);
  clock.advance(10);
  clock.run();
  t.equal(turns, 2, 'and it can be armed again');
});

t.test('Worker.drained() ends when no turn runs or is asked for', async (t) => {
  const clock = new HandClock();
  const turn = new LongTurn();
  const worker = new Worker(clock, turn.run);
  await worker.drained();
  worker.wakeAfter(5);
  await worker.drained();
  worker.cancelDelayedWake();

  let drained = false;
  worker.wake();
  const waiting = worker.drained().then(() => {
    drained = true;
  });
  clock.run();
  worker.wake();
  await turn.end();
  t.equal(drained, false, 'another turn was asked for');
  clock.run();
  await turn.end();
  await waiting;
  t.equal(drained, true);
  t.equal(turn.started, 2);
});
