import t from 'tap';
import { SystemClock } from '../../src/daemon/system-clock.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('SystemClock.defer() runs tasks after the call stack, in order', async (t) => {
  const clock = new SystemClock();
  const ran: string[] = [];
  clock.defer(() => ran.push('first'));
  clock.defer(() => ran.push('second'));
  void Promise.resolve().then(() => ran.push('microtask'));
  t.strictSame(ran, []);
  await nextTurn();
  t.strictSame(ran, ['microtask', 'first', 'second']);
});

t.test(
  'SystemClock.defer() from within a task waits for the next round, sockets between',
  async (t) => {
    const clock = new SystemClock();
    const ran: number[] = [];
    let left = 3;
    const task = (): void => {
      ran.push(left);
      left -= 1;
      if (left > 0) clock.defer(task);
    };
    clock.defer(task);
    await nextTurn();
    t.strictSame(ran, [3, 2], 'what a task defers runs along, once');
    await nextTurn();
    t.strictSame(ran, [3, 2, 1], 'and what that defers waits for the sockets');
  },
);

t.test('SystemClock.after() is not early, and can be cancelled', async (t) => {
  const clock = new SystemClock();
  const startedAt = clock.now();
  const cancelled = clock.after(1, () => t.fail('it was cancelled'));
  cancelled.cancel();
  await new Promise<void>((resolve) => {
    clock.after(20.5, resolve);
  });
  t.ok(clock.now() - startedAt >= 20);
});
