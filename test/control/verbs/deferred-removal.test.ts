/** Devices that go when their last user does, be it a client or a device above. */

import t from 'tap';
import { ControlRig } from '../../support/control-rig.ts';

const DISK = 'memory:disk,size=8M';
const LOG = 'memory:log,size=8M';

async function namesOf(rig: ControlRig): Promise<string[]> {
  const { devices } = await rig.json('ls');
  return (devices as { name: string }[]).map(({ name }) => name);
}

/** The next event of that kind; those that were before do not count. */
async function eventOf(rig: ControlRig, type: string, device: string): Promise<void> {
  for await (const event of rig.client.events({ after: 'start', follow: true })) {
    if (event.type === type && JSON.parse(event.data).device === device) return;
  }
}

t.test('A device with clients goes when the last has gone, its log clean', async (t) => {
  const rig = await ControlRig.start(t);
  const legs = `2 ${DISK} 0 memory:other,size=8M 0`;
  await rig.json('create', { device: 'data', table: `0 8192 mirror disk 2 ${LOG} 1024 ${legs}` });
  const first = await rig.attach('data');
  t.equal((await rig.run('remove', '--deferred', 'data')).status, 0);
  t.match((await rig.run('info', 'data')).out, /State: +ACTIVE \(DEFERRED REMOVE\)\n/);
  t.match(await rig.json('info', { device: 'data' }), { devices: [{ deferredRemove: true }] });

  const second = await rig.attach('data');
  await first.disconnect();
  await second.write(0, Buffer.alloc(4096, 7));
  t.same(await second.read(0, 4096), Buffer.alloc(4096, 7), 'it works for who comes meanwhile');
  t.equal((await rig.run('remove', 'data')).status, 1, 'and is busy');

  const gone = eventOf(rig, 'removed', 'data');
  await second.disconnect();
  await gone;
  t.same(await namesOf(rig), []);
  await t.rejects(rig.attach('data'), 'its export has gone, too');
});

t.test('A removal that was put off is called off by a message', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: `0 8192 linear ${DISK} 0` });
  const client = await rig.attach('data');
  await rig.json('remove', { device: 'data', deferred: true });
  t.equal((await rig.run('message', 'data', '0', '@cancel_deferred_remove')).status, 0);
  await client.disconnect();
  t.same(await namesOf(rig), ['data']);
  t.match((await rig.run('info', 'data')).out, /State: +ACTIVE\n/);
});

t.test('A stack goes from the top down, before the answer comes', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'a', table: `0 4096 linear ${DISK} 0` });
  await rig.json('create', { device: 'b', table: '0 4096 linear /dev/mapper/a 0' });
  await rig.json('create', { device: 'c', table: '0 4096 linear /dev/mapper/b 0' });
  t.equal((await rig.run('remove', '--deferred', 'a', 'b')).status, 0);
  t.same(await namesOf(rig), ['a', 'b', 'c']);
  await rig.json('remove', { device: 'c' });
  t.same(await namesOf(rig), []);
});

t.test('A device that lost its last user while it is being changed goes afterwards', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'a', table: `0 4096 linear ${DISK} 0` });
  await rig.json('create', { device: 'b', table: '0 4096 linear /dev/mapper/a 0' });
  await rig.json('remove', { device: 'a', deferred: true });
  const outcomes = await Promise.all([
    rig.run('suspend', 'a'),
    rig.run('remove', 'b'),
    rig.run('resume', 'a'),
  ]);
  t.equal(outcomes[1]!.status, 0);
  t.same(await namesOf(rig), []);
});

t.test('With force, clients are cut off and nothing is put off', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: `0 8192 linear ${DISK} 0` });
  const client = await rig.attach('data');
  t.equal((await rig.run('remove', '--force', '--deferred', 'data')).status, 0);
  t.same(await namesOf(rig), []);
  await t.rejects(client.read(0, 4096));
});

t.test('The last client may leave while the device is resumed', async (t) => {
  const rig = await ControlRig.start(t, { table: '0 64 zero', name: 'data' });
  const client = await rig.attach('data');
  await rig.json('remove', { device: 'data', deferred: true });
  const device = rig.daemon.devices.get('data');
  const resume = device.resume.bind(device);
  device.resume = async () => {
    await client.disconnect();
    while (device.openCount > 0) await rig.json('version');
    return resume();
  };
  t.match(await rig.json('resume', { device: 'data' }), { name: 'data' });
  t.same(await rig.json('ls'), { devices: [] }, 'and then it is gone');
});
