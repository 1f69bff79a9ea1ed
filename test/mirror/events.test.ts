/**
 * When a mirror raises device-mapper events (specification 7.4), as the golden cases count them.
 */

import t from 'tap';
import { MirrorRig } from '../support/mirror-rig.ts';

t.test(
  'mirror: event: born in sync raises none, coming into sync one, nothing more one each',
  async (t) => {
    for (const { log, events } of [
      { log: 'core 2 8 nosync', events: 0 },
      { log: 'disk 3 log 8 nosync', events: 0 },
      { log: 'core 1 8', events: 1 },
      { log: 'disk 2 log 8', events: 1 },
    ]) {
      const rig = new MirrorRig();
      await rig.start(`0 64 mirror ${log} 2 leg0 0 leg1 0`);
      await rig.settle();
      t.equal(rig.device.eventNumber, events, log);
      await rig.perform(rig.device.suspend({ noflush: false }));
      await rig.perform(rig.device.resume());
      await rig.settle();
      t.equal(rig.device.eventNumber, events, `${log}, after suspend and resume`);
    }
  },
);

t.test('mirror: event: a disk log found in sync at resume raises one', async (t) => {
  const rig = new MirrorRig();
  const table = '0 64 mirror disk 2 log 8 2 leg0 0 leg1 0';
  await rig.start(table);
  await rig.settle();
  await rig.replace(table, { noflush: false });
  await rig.settle();
  t.equal(rig.device.eventNumber, 2);
});

t.test(
  'mirror: event: two legs that fail one write raise one, each new kind of error another',
  async (t) => {
    const rig = new MirrorRig();
    await rig.start('0 64 mirror core 2 8 nosync 3 leg0 0 leg1 0 leg2 0 1 handle_errors');
    await rig.settle();
    rig.disk('leg1').failing.add('write');
    rig.disk('leg2').failing.add('write');
    rig.write(0, 1, 1);
    await rig.settle();
    t.equal(rig.device.eventNumber, 1);
    rig.write(8, 1, 1);
    await rig.settle();
    t.equal(rig.device.eventNumber, 1, 'the same error again is no news');
    rig.disk('leg0').failing.add('read');
    rig.read(16, 1);
    await rig.settle();
    t.equal(rig.device.eventNumber, 2);
  },
);

t.test(
  'MappedDevice.waitForEvent() ends with the next event, or at once if it is past',
  async (t) => {
    const rig = new MirrorRig();
    rig.disk('leg1').hold();
    await rig.start('0 64 mirror core 1 8 2 leg0 0 leg1 0');
    await rig.settle();
    let woken: number | null = null;
    void rig.device.waitForEvent(0).then((eventNumber) => {
      woken = eventNumber;
    });
    await rig.settle();
    t.equal(woken, null);
    rig.disk('leg1').release();
    await rig.settle();
    t.equal(woken, 1);
    t.equal(await rig.device.waitForEvent(0), 1);
  },
);
