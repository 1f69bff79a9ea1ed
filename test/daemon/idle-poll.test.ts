import t from 'tap';
import { IdlePoll } from '../../src/daemon/idle-poll.ts';

/** An event loop whose time moves only while it goes round. */
class Loop {
  nowMs = 0;
  rounds = 0;
  #task: (() => void) | null = null;

  now(): number {
    return this.nowMs;
  }

  afterSockets(task: () => void): void {
    this.#task = task;
  }

  /** Goes round, 10 microseconds each, until it may sleep or `ms` are over; then sleeps. */
  pass(ms: number): void {
    const until = this.nowMs + ms;
    while (this.#task !== null && this.nowMs < until) {
      const task = this.#task;
      this.#task = null;
      task();
      this.nowMs += 0.01;
      this.rounds += 1;
    }
    this.nowMs = Math.max(this.nowMs, until);
  }

  get sleeps(): boolean {
    return this.#task === null;
  }
}

t.test('IdlePoll stays awake for a client that answers at once', async (t) => {
  const loop = new Loop();
  const poll = new IdlePoll(loop, 64);
  for (let request = 0; request < 1000; request++) {
    poll.noteRequests();
    loop.pass(0.03);
    t.notOk(loop.sleeps, `awake before request ${request + 2}`) || t.bailout();
  }
  loop.pass(1);
  t.ok(loop.sleeps, 'and sleeps when the client has gone');
});

t.test('IdlePoll leaves a client alone that takes its time', async (t) => {
  const loop = new Loop();
  const poll = new IdlePoll(loop, 64);
  for (let request = 0; request < 10_000; request++) {
    poll.noteRequests();
    loop.pass(1);
  }
  // Two rounds of looking a try, each of at most 8 turns, at ever longer intervals.
  t.ok(loop.rounds < 400, `${loop.rounds} rounds for 10000 requests`);
});

t.test('IdlePoll finds out when a slow client becomes a quick one', async (t) => {
  const loop = new Loop();
  const poll = new IdlePoll(loop, 64);
  for (let request = 0; request < 10_000; request++) {
    poll.noteRequests();
    loop.pass(1);
  }
  let awake = 0;
  for (let request = 0; request < 10_000; request++) {
    poll.noteRequests();
    loop.pass(0.03);
    if (!loop.sleeps) awake += 1;
  }
  t.ok(awake > 5000, `awake for ${awake} of 10000`);
});

t.test('IdlePoll of 0 microseconds never looks', async (t) => {
  const loop = new Loop();
  const poll = new IdlePoll(loop, 0);
  poll.noteRequests();
  t.ok(loop.sleeps);
});
