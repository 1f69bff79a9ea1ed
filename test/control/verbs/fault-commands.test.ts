/** Faults on devices under clients: armed, listed, removed, by command line and over HTTP. */

import t, { type Test } from 'tap';
import { ControlRig } from '../../support/control-rig.ts';
import { waitUntil } from '../../support/wait-until.ts';

const BLOCK = 4096;
const A = 'memory:a,size=1M';
const B = 'memory:b,size=1M';
const LOG = 'memory:log,size=64K';
const DISK = `0 1024 mirror disk 3 ${LOG} 128 nosync 2 ${A} 0 ${B} 512 1 handle_errors`;
const CORE = `0 1024 mirror core 2 128 nosync 2 ${A} 0 ${B} 0`;

async function rigWith(t: Test, table: string): Promise<ControlRig> {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table });
  return rig;
}

type FaultRow = Record<string, unknown>;

async function list(rig: ControlRig, input: object = {}): Promise<FaultRow[]> {
  return (await rig.json('fault-list', input)).faults as FaultRow[];
}

t.test('an error strikes a leg as often as it was told, where the leg lies', async (t) => {
  const rig = await rigWith(t, DISK);
  const client = await rig.attach('data');
  const armed = await rig.run(
    'fault',
    'data',
    'leg1',
    'error',
    '--op',
    'write',
    '--sectors',
    '0-7',
  );
  t.same(armed, { status: 0, out: '1\n', err: '' });
  await client.write(8 * 512, Buffer.alloc(BLOCK, 1));
  t.match(await list(rig), [{ id: 1, target: 'leg1', underlying: B, fired: 0, armed: true }]);
  let ended = false;
  const held = client.write(0, Buffer.alloc(BLOCK, 2)).then(() => {
    ended = true;
  });
  const wait = await rig.json('wait', { device: 'data', eventNumber: 0 });
  t.match(wait, { eventNumber: 1 });
  t.match((await rig.run('status', 'data')).out, / 1 AD /);
  t.notOk(ended);
  t.match(await list(rig), [{ fault: 'error --op write --sectors 0-7', fired: 1 }]);

  t.same(await rig.run('fault', 'remove', '1'), { status: 0, out: '', err: '' });
  t.same((await rig.run('fault', 'list')).out, 'No faults\n');
  const again = DISK.replace(' nosync', '').replace('disk 3', 'disk 2');
  await rig.json('load', { device: 'data', table: again });
  await rig.json('suspend', { device: 'data', noflush: true });
  await rig.json('resume', { device: 'data' });
  await held;
  await client.disconnect();
});

t.test('a log that is offline is seen as failed', async (t) => {
  const rig = await rigWith(t, DISK);
  const client = await rig.attach('data');
  await rig.json('fault', { device: 'data', target: 'log', fault: 'offline' });
  const held = client.write(0, Buffer.alloc(BLOCK, 2)).catch((error: Error) => error.message);
  await rig.json('wait', { device: 'data', eventNumber: 0 });
  t.match((await rig.run('status', 'data')).out, / 3 disk memory:log,size=64K D\n$/);
  await rig.json('fault-remove', { all: true });
  await rig.json('suspend', { device: 'data' });
  t.match(await held, /EIO|error/i, 'a suspend with a flush fails what is held');
  await rig.json('resume', { device: 'data' });
  await client.disconnect();
});

t.test('a suspend waits for a leg that hangs, and ends when the fault is removed', async (t) => {
  for (const [flag, expected] of [
    [[], 'AA'],
    [['--fail'], 'AD'],
  ] as const) {
    const rig = await rigWith(t, CORE);
    const client = await rig.attach('data');
    await rig.run('fault', 'data', 'leg1', 'hang', '--op', 'write');
    const write = client.write(0, Buffer.alloc(BLOCK, 2));
    const suspend = rig.json('suspend', { device: 'data', noflush: true });
    await waitUntil('the hang', async () => (await list(rig))[0]!.held !== 0);
    t.match((await rig.run('fault', 'list', 'data')).out, / 1 hanging *\n$/);
    t.equal((await rig.run('fault', 'remove', '--all', ...flag)).status, 0);
    await suspend;
    await write;
    t.match((await rig.run('status', 'data')).out, new RegExp(` 1 ${expected} `));
    await rig.json('resume', { device: 'data' });
    await client.disconnect();
  }
});

t.test('a suspend that waits is not in the way of load, clear and rename', async (t) => {
  const rig = await rigWith(t, CORE);
  const client = await rig.attach('data');
  await rig.run('fault', 'data', 'leg1', 'hang', '--op', 'write');
  const write = client.write(0, Buffer.alloc(BLOCK, 2));
  await waitUntil('the hang', async () => (await list(rig))[0]!.held !== 0);
  let isSuspended = false;
  const suspend = rig.json('suspend', { device: 'data' }).then(() => {
    isSuspended = true;
  });
  for (const table of ['0 8 zero', '0 1024 zero']) {
    t.equal((await rig.run('load', 'data', '--table', table)).status, 0);
    if (table === '0 8 zero') t.equal((await rig.run('clear', 'data')).status, 0);
  }
  t.equal((await rig.run('rename', 'data', 'other')).status, 0);
  t.notOk(isSuspended, 'nor is it ended by them');
  await rig.run('fault', 'remove', '--all');
  await suspend;
  await write;
  await rig.json('resume', { device: 'other' });
  t.equal((await rig.run('table', 'other')).out, '0 1024 zero \n');
  await client.disconnect();
});

t.test('the daemon stops although a leg hangs', async (t) => {
  const rig = await rigWith(t, CORE);
  const client = await rig.attach('data');
  await rig.json('fault', { device: 'data', target: 'leg0', fault: 'hang --op write' });
  const write = client.write(0, Buffer.alloc(BLOCK, 2)).catch(() => {});
  await waitUntil('the hang', async () => (await list(rig))[0]!.held !== 0);
  await rig.stop();
  await write;
});

t.test('a delay by the device’s own name, or number', async (t) => {
  const rig = await rigWith(t, CORE);
  const { devices } = await rig.json('deps', { device: 'data' });
  const below = (devices as { devices: { name: string; number: string }[] }[])[0]!.devices;
  const { number } = below.find(({ name }) => name === B)!;
  t.equal((await rig.run('fault', 'data', number, 'delay', '--ms', '1')).out, '1\n');
  t.equal((await rig.run('fault', 'data', B, 'error', '--probability', '50%', '--json')).status, 0);
  t.match(await list(rig, { device: 'data' }), [
    { target: number, underlying: B, kind: 'delay', delayMs: 1, errno: null },
    { target: B, underlying: B, probability: 0.5, seed: 1, errno: 'EIO' },
  ]);
  const { out } = await rig.run('fault', 'list');
  t.match(
    out,
    /^Id Device Target +On +Fault +Fired State *\n 1 data +\S+ +memory:b,size=1M delay --ms 1 /,
  );
  await rig.json('create', { device: 'other', table: `0 8 linear ${A} 0` });
  t.same(await list(rig, { device: 'other' }), []);
});

t.test('what is refused changes nothing', async (t) => {
  const rig = await rigWith(t, CORE);
  await rig.json('create', { device: 'empty' });
  await rig.json('create', { device: 'top', table: '0 8 linear /dev/mapper/data 0' });
  const refused: [words: string[], message: RegExp][] = [
    [[], /a device, a target and a fault must be given/],
    [['data'], /a device, a target and a fault must be given/],
    [['data', 'leg0'], /kind is missing/],
    [['data', 'leg0', 'explode'], /kind is "explode", must be one of error, delay, hang, offline/],
    [['data', 'leg0', 'error', '--ops', 'write'], /"--ops" is no option of "error"/],
    [['data', 'leg0', 'error', '--count', '-1'], /--count is "-1"/],
    [['data', 'leg0', 'error', '--sectors', '0-1024'], /must be inside its 1024 sectors/],
    [['data', 'leg2', 'hang'], /its mirror has the legs leg0 to leg1/],
    [['data', 'log', 'hang'], /its mirror has no log on a device/],
    [['data', '/no/such', 'hang'], /must be a leg \("leg0"\), "log" or a device: it stands on/],
    [['data', `x${'y'.repeat(4096)}`, 'hang'], /it stands on/],
    [['top', 'leg0', 'hang'], /its table has no mirror/],
    [['top', '/dev/mapper/data', 'hang'], /is a mapped device itself/],
    [['empty', 'leg0', 'hang'], /the device has no table/],
    [['nobody', 'leg0', 'hang'], /Cannot find device "nobody"/],
    [['list', 'nobody'], /Cannot find device "nobody"/],
    [['remove'], /either ids or --all must be given/],
    [['remove', '--all', '1'], /either ids or --all must be given/],
    [['remove', '7'], /Cannot remove fault 7: there is none/],
    [['remove', 'one'], /Cannot remove fault "one": must be the number of a fault/],
    [['remove', '99999999999999999999'], /must be the number of a fault/],
  ];
  for (const [words, message] of refused) {
    const { status, out, err } = await rig.run('fault', ...words);
    t.equal(status, 1, words.join(' ').slice(0, 60));
    t.equal(out, '');
    t.match(err, message);
  }
  for (const input of [
    { device: 'data', target: 'leg0', fault: 'error', more: 1 },
    { device: 'data', target: 'leg0', fault: 7 },
    { device: 'data', target: 'leg0', fault: 'error '.repeat(1000) },
    { device: 'data', target: '', fault: 'error' },
    { target: 'leg0', fault: 'error' },
  ]) {
    t.equal((await rig.refusal('fault', input)).status, 400);
  }
  t.equal((await rig.refusal('fault-remove', { ids: ['1'] })).status, 400);
  t.same(await list(rig), []);
  await rig.json('fault', { device: 'data', target: 'leg0', fault: 'error' });
  t.equal((await rig.refusal('fault-remove', { ids: [1, 2] })).status, 404, 'all or none');
  t.equal((await list(rig)).length, 1);
});

t.test('a fault is in the stream of events when it is armed and removed', async (t) => {
  const rig = await rigWith(t, CORE);
  await rig.json('fault', { device: 'data', target: 'leg0', fault: 'error --count 2' });
  await rig.json('fault-remove', { ids: [1] });
  const { events } = rig.daemon.control.events.after(0);
  t.match(
    events.filter(({ type }) => type.startsWith('fault')),
    [
      { type: 'fault-armed', device: 'data', fields: { id: 1, fault: 'error --count 2' } },
      { type: 'fault-removed', device: 'data', fields: { id: 1, fired: 0 } },
    ],
  );
});

t.test('faults follow their device to its new name', async (t) => {
  const rig = await rigWith(t, CORE);
  await rig.json('fault', { device: 'data', target: 'leg0', fault: 'error --count 2' });
  await rig.json('rename', { device: 'data', newName: 'other' });
  t.match(await list(rig, { device: 'other' }), [{ id: 1, device: 'other' }]);
  await rig.json('fault-remove', { device: 'other', all: true });
  t.same(await list(rig), []);
});
