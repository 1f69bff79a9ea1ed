/** A log that makes its mirror wait says so once, and once when it goes on. */

import t from 'tap';
import { StallAlarm } from '../../../src/dirtylog/userspace/stall-alarm.ts';
import { VirtualClock } from '../../../src/sim/machine/virtual-clock.ts';

t.test('what waits too long is told, and its end', async (t) => {
  const clock = new VirtualClock();
  const told: string[] = [];
  const alarm = new StallAlarm({
    clock,
    afterMs: 100,
    onStall: () => told.push('stall'),
    onGoOn: () => told.push('go on'),
  });
  const after = (ms: number): Promise<void> =>
    new Promise((resolve) => void clock.after(ms, resolve));
  const pass = (ms: number) => clock.advance({ ended: () => false, untilMs: clock.now() + ms });

  void alarm.watch(after(99));
  await pass(1000);
  t.same(told, [], 'it came in time');

  void alarm.watch(after(300));
  void alarm.watch(after(250));
  await pass(200);
  t.same(told, ['stall'], 'once for all that wait');
  await pass(60);
  t.same(told, ['stall'], 'one still waits');
  await pass(60);
  t.same(told, ['stall', 'go on']);

  const failed = alarm.watch(after(200).then(() => Promise.reject(new Error('no'))));
  const rejected = t.rejects(failed, /no/);
  await pass(300);
  await rejected;
  t.same(told.slice(2), ['stall', 'go on'], 'an error is an end, too');

  void alarm.watch(after(300));
  alarm.stop();
  await pass(1000);
  t.same(told.length, 4, 'not after its end');
});
