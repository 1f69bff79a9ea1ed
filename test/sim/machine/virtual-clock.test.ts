import t from 'tap';
import { VirtualClock } from '../../../src/sim/machine/virtual-clock.ts';

const FOREVER = Number.POSITIVE_INFINITY;

t.test('VirtualClock.run() runs promises, then deferred tasks, then timers', async (t) => {
  const clock = new VirtualClock();
  const done: string[] = [];
  clock.after(5, () => done.push('timer at 5'));
  clock.after(1, () => {
    done.push('timer at 1');
    clock.defer(() => done.push('deferred by a timer'));
    void Promise.resolve()
      .then(() => undefined)
      .then(() => done.push('promise of a timer'));
  });
  clock.defer(() => {
    done.push('first deferred');
    void Promise.resolve().then(() => done.push('promise of the first deferred'));
  });
  clock.defer(() => done.push('second deferred'));
  clock.after(1, () => done.push('second timer at 1'));
  const end = await clock.run({ ended: () => false, untilMs: FOREVER });
  t.equal(end, 'idle');
  t.same(done, [
    'first deferred',
    'promise of the first deferred',
    'second deferred',
    'timer at 1',
    'promise of a timer',
    'deferred by a timer',
    'second timer at 1',
    'timer at 5',
  ]);
});

t.test('VirtualClock.now() moves to the time of a timer, and only then', async (t) => {
  const clock = new VirtualClock();
  const times: number[] = [];
  clock.after(2.5, () => {
    times.push(clock.now());
    clock.after(1, () => times.push(clock.now()));
  });
  clock.after(3, () => times.push(clock.now()));
  clock.defer(() => times.push(clock.now()));
  await clock.run({ ended: () => false, untilMs: FOREVER });
  t.same(times, [0, 2.5, 3, 3.5]);
});

t.test('VirtualClock.after() returns a timer that can be cancelled', async (t) => {
  const clock = new VirtualClock();
  const timer = clock.after(1, () => t.fail('cancelled'));
  timer.cancel();
  t.equal(await clock.run({ ended: () => false, untilMs: FOREVER }), 'idle');
  t.equal(clock.now(), 0, 'a cancelled timer does not move time');
});

t.test(
  'VirtualClock.run() ends when asked, when out of time, and with what a task throws',
  async (t) => {
    const clock = new VirtualClock();
    let steps = 0;
    const again = (): void => {
      steps += 1;
      clock.after(1, again);
    };
    again();
    t.equal(await clock.run({ ended: () => steps >= 10, untilMs: FOREVER }), 'ended');
    t.equal(steps, 10);
    t.equal(await clock.run({ ended: () => false, untilMs: 20 }), 'out-of-time');
    clock.defer(() => {
      throw new Error('broken');
    });
    await t.rejects(clock.run({ ended: () => false, untilMs: 100 }), /broken/);
  },
);

t.test('VirtualClock.advance() runs what is due and moves time no further', async (t) => {
  const clock = new VirtualClock();
  const ran: string[] = [];
  clock.after(10, () => ran.push('at 10'));
  clock.after(10_000, () => ran.push('at 10000'));
  clock.after(5, () => ran.push('cancelled')).cancel();
  const ended = (): boolean => false;
  t.equal(await clock.advance({ ended, untilMs: 100 }), 'advanced');
  t.same([ran, clock.now()], [['at 10'], 100]);
  t.equal(await clock.advance({ ended: () => ran.length === 2, untilMs: 20_000 }), 'ended');
  t.equal(clock.now(), 10_000, 'time stands where it ended');
});
