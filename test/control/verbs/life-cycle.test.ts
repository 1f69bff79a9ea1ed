/** Devices under clients: what comes, changes and goes at run time, and who notices. */

import t from 'tap';
import { STACKED_DEVICES_MAX } from '../../../src/base/limits.ts';
import type { MirrorTarget } from '../../../src/mirror/mirror-target.ts';
import { NbdConnectionError, NbdError } from '../../../src/nbd/client/nbd-error.ts';
import { ControlRig } from '../../support/control-rig.ts';

const DISK = 'memory:disk,size=8M';
const OTHER = 'memory:other,size=8M';
const BLOCK = 4096;

function block(value: number): Buffer {
  return Buffer.alloc(BLOCK, value);
}

function exportsOf(rig: ControlRig): Promise<string[]> {
  return rig.json('info').then(({ devices }) => {
    const described = devices as { name: string; clients: number }[];
    return described.map(({ name }) => name);
  });
}

t.test('A device is an export as soon as it has a live table, and not before', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'late' });
  await t.rejects(rig.attach('late'), 'no table');
  await rig.json('load', { device: 'late', table: `0 8192 linear ${DISK} 0` });
  await t.rejects(rig.attach('late'), 'only an inactive one');
  await rig.json('resume', { device: 'late' });
  const client = await rig.attach('late');
  t.equal(client.size, 8192 * 512);
  await client.write(0, block(7));
  t.same(await client.read(0, BLOCK), block(7));
  await client.disconnect();
});

t.test('Connections count as uses: a device is busy while it has one', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: `0 8192 linear ${DISK} 0` });
  const client = await rig.attach('data');
  const { devices } = await rig.json('info', { device: 'data' });
  t.match(devices, [{ openCount: 1, clients: 1 }]);
  const refusal = await rig.refusal('remove', { device: 'data' });
  t.match(refusal, {
    status: 409,
    code: 'device-busy',
    errno: 'EBUSY',
    message: /in use by 1 client,/,
  });
  await client.write(0, block(1));
  await client.disconnect();
  await t.resolves(rig.json('remove', { device: 'data' }), 'its client has gone');
  t.same(await exportsOf(rig), []);
});

t.test('remove --force answers what is held back with EIO and cuts the clients off', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: `0 8192 linear ${DISK} 0` });
  const client = await rig.attach('data');
  await rig.json('suspend', { device: 'data' });
  const held = client.write(0, block(1)).then(
    () => 'written',
    (error: unknown) => (error instanceof NbdError ? error.name : 'lost'),
  );
  // The write has reached the device: only then is it certain that it is held there.
  while ((await requestsOf(rig, 'data')).deferred === 0);
  await rig.json('remove', { device: 'data', force: true });
  t.equal(await held, 'NbdError', 'an answer, not silence');
  await t.rejects(client.read(0, BLOCK), NbdConnectionError);
  await t.rejects(rig.attach('data'));
  t.same(await rig.json('ls'), { devices: [] });
});

async function requestsOf(rig: ControlRig, device: string): Promise<{ deferred: number }> {
  const { devices } = await rig.json('info', { device });
  return (devices as { requests: { deferred: number } }[])[0]!.requests;
}

t.test('A client under load never notices reloads, and loses and repeats nothing', async (t) => {
  const rig = await ControlRig.start(t);
  const mirror = `0 8192 mirror core 1 64 2 ${DISK} 0 ${OTHER} 0`;
  const linear = `0 8192 linear ${DISK} 0`;
  await rig.json('create', { device: 'data', table: linear });
  const client = await rig.attach('data');
  let going = true;
  const written: number[] = [];
  const load = async (lane: number): Promise<void> => {
    for (let round = 1; going; round++) {
      await client.write(lane * BLOCK, block(round % 256));
      written[lane] = round % 256;
    }
  };
  const lanes = Array.from({ length: 16 }, (_unused, lane) => load(lane));
  for (let reload = 0; reload < 25; reload++) {
    await rig.json('load', { device: 'data', table: reload % 2 === 0 ? mirror : linear });
    if (reload % 3 === 0) await rig.json('suspend', { device: 'data', noflush: reload % 2 === 0 });
    await rig.json('resume', { device: 'data' });
  }
  going = false;
  await Promise.all(lanes);
  for (const [lane, value] of written.entries()) {
    t.same(await client.read(lane * BLOCK, BLOCK), block(value), `lane ${lane}`);
  }
  t.match(await rig.json('info', { device: 'data' }), { devices: [{ clients: 1, openCount: 1 }] });
  await client.disconnect();
});

t.test('New connections see the size of the table that is live then', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: `0 2048 linear ${DISK} 0` });
  const before = await rig.attach('data');
  await rig.json('load', { device: 'data', table: `0 8192 linear ${DISK} 0` });
  await rig.json('resume', { device: 'data' });
  const after = await rig.attach('data');
  t.same([before.size, after.size], [2048 * 512, 8192 * 512]);
  await before.write(0, block(3));
  t.same(await after.read(0, BLOCK), block(3));
  await after.write(4096 * 512, block(4));
  await Promise.all([before.disconnect(), after.disconnect()]);
});

t.test('The description of an export is that of the table that is live', async (t) => {
  const rig = await ControlRig.start(t);
  const describe = async (): Promise<string> => {
    const client = await rig.attach('data');
    await client.disconnect();
    return client.negotiated.description;
  };
  await rig.json('create', { device: 'data', table: '0 64 linear memory:a,size=1M 0' });
  t.equal(await describe(), 'linear of memory:a,size=1M');
  await rig.json('load', { device: 'data', table: '0 64 linear memory:b,size=1M 0' });
  t.equal(await describe(), 'linear of memory:a,size=1M');
  await rig.json('resume', { device: 'data' });
  t.equal(await describe(), 'linear of memory:b,size=1M');
});

t.test('A read-only table refuses writes, and the next one may take them again', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: `0 8192 linear ${DISK} 0`, readOnly: true });
  const reader = await rig.attach('data');
  t.ok(reader.can('READ_ONLY'));
  await t.rejects(reader.write(0, block(1)));
  await reader.disconnect();
  await rig.json('load', { device: 'data', table: `0 8192 linear ${DISK} 0` });
  await rig.json('resume', { device: 'data' });
  const writer = await rig.attach('data');
  await writer.write(0, block(1));
  await writer.disconnect();
});

t.test('A renamed device keeps its clients, and new ones find it by its new name', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'old', table: `0 8192 linear ${DISK} 0` });
  const client = await rig.attach('old');
  await rig.json('rename', { device: 'old', newName: 'new' });
  await client.write(0, block(9));
  await t.rejects(rig.attach('old').then((other) => other.read(0, BLOCK)));
  const other = await rig.attach('new');
  t.same(await other.read(0, BLOCK), block(9));
  t.match(await rig.json('info', { device: 'new' }), { devices: [{ clients: 2, eventNumber: 1 }] });
  await Promise.all([client.disconnect(), other.disconnect()]);
});

t.test('A wiped table fails requests of clients that stay, held ones too', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: `0 2048 linear ${DISK} 0` });
  const client = await rig.attach('data');
  await rig.json('suspend', { device: 'data' });
  const held = client.write(0, block(1));
  await rig.json('wipe_table', { device: 'data' });
  await t.rejects(held, NbdError);
  await t.rejects(client.read(0, BLOCK), NbdError);
  t.equal((await rig.run('table', 'data')).out, '0 2048 error \n');
  await client.disconnect();
});

t.test('remove_all leaves what is in use, or with --force nothing', async (t) => {
  const rig = await ControlRig.start(t);
  for (const name of ['below', 'used', 'free']) {
    await rig.json('create', { device: name, table: '0 2048 zero' });
  }
  await rig.json('create', { device: 'above', table: '0 2048 linear /dev/mapper/below 0' });
  const client = await rig.attach('used');
  t.same(await rig.json('remove_all'), { removed: ['above', 'below', 'free'], left: ['used'] });
  await rig.json('create', { device: 'above', table: '0 2048 linear /dev/mapper/used 0' });
  t.same(await rig.json('remove_all', { force: true }), { removed: ['above', 'used'], left: [] });
  await t.rejects(client.read(0, BLOCK), NbdConnectionError);
});

t.test('A device below another one is busy; its bytes are those above', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'low', table: `0 8192 linear ${DISK} 0` });
  await rig.json('create', { device: 'top', table: '0 4096 linear /dev/mapper/low 4096' });
  t.match(await rig.refusal('remove', { device: 'low' }), {
    status: 409,
    message: /in use by 1 other device,/,
  });
  const client = await rig.attach('top');
  await client.write(0, block(5));
  await client.disconnect();
  const below = await rig.attach('low');
  t.same(await below.read(4096 * 512, BLOCK), block(5));
  await below.disconnect();
  t.equal((await rig.run('deps', 'top')).out, '1 dependencies\t: (253, 0)\n');
  const { devices } = await rig.json('deps', { device: 'top' });
  t.same(devices, [{ name: 'top', devices: [{ name: '/dev/mapper/low', number: '253:0' }] }]);
});

t.test('A device opens once a table was loaded, and has no sector until one is live', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'low' });
  const table = '0 8 linear 253:0 0';
  t.match(await rig.refusal('create', { device: 'top', table }), {
    ...{ errno: 'ENXIO', kernelMessage: 'Device lookup failed' },
    message: /Cannot open "253:0": it has never had a table$/,
  });
  await rig.json('load', { device: 'low', table: `0 64 linear ${DISK} 0` });
  await rig.json('create', { device: 'top', table });
  const client = await rig.attach('top');
  for (const verb of ['clear', 'suspend']) {
    await t.rejects(client.read(0, BLOCK), NbdError);
    await t.rejects(client.write(0, block(1)), NbdError);
    await rig.json(verb, { device: 'low' });
  }
  await rig.json('load', { device: 'low', table: `0 64 linear ${DISK} 0` });
  await rig.json('resume', { device: 'low' });
  await client.write(0, block(7));
  t.same(await client.read(0, BLOCK), block(7));
  await client.disconnect();
});

t.test('A device that would stand on itself is refused, and nothing has changed', async (t) => {
  const rig = await ControlRig.start(t);
  const own = await rig.refusal('create', {
    device: 'me',
    table: '0 8 linear /dev/mapper/me 0',
  });
  t.match(own, { status: 400, code: 'no-table', errno: 'ENXIO' }, 'as nobody may open it yet');
  t.same(await rig.json('ls'), { devices: [] });
  await rig.json('create', { device: 'low', table: `0 8192 linear ${DISK} 0` });
  await rig.json('create', { device: 'top', table: '0 4096 linear /dev/mapper/low 0' });
  const circle = await rig.refusal('load', {
    device: 'low',
    table: '0 8 linear /dev/mapper/top 0',
  });
  t.match(circle, { status: 400, code: 'device-loop' });
  t.match(await rig.json('info', { device: 'low' }), { devices: [{ inactiveTable: false }] });
  t.match(await rig.json('info', { device: 'top' }), { devices: [{ openCount: 0 }] });
});

t.test('A stack that is too high is refused, wherever it grows', async (t) => {
  const rig = await ControlRig.start(t);
  let below = 'memory:low,size=1M';
  for (let number = 0; number < STACKED_DEVICES_MAX; number++) {
    await rig.json('create', { device: `d${number}`, table: `0 8 linear ${below} 0` });
    below = `/dev/mapper/d${number}`;
  }
  const client = await rig.attach(`d${STACKED_DEVICES_MAX - 1}`);
  await client.write(0, block(6));
  t.same(await client.read(0, BLOCK), block(6));
  await client.disconnect();
  const refused = { status: 400, code: 'stack-too-high', message: /of 101 devices, .* most 100$/ };
  const top = { device: 'top', table: `0 8 linear ${below} 0` };
  t.match(await rig.refusal('create', top), refused);
  await rig.json('create', { device: 'other', table: '0 8 linear memory:low,size=1M 0' });
  const under = { device: 'd0', table: '0 8 linear /dev/mapper/other 0' };
  t.match(await rig.refusal('load', under), refused);
  t.match((await rig.run('info', 'd0')).out, /Tables present: +LIVE\n/);
});

t.test('A failed create leaves nothing behind: neither name, nor uuid, nor number', async (t) => {
  const rig = await ControlRig.start(t);
  const table = '0 8 linear memory:small,size=1K 0';
  const refused = await rig.refusal('create', { device: 'data', uuid: 'U1', table });
  t.match(refused, { status: 400, code: 'device-too-small' });
  const created = await rig.json('create', { device: 'data', uuid: 'U1', table: '0 8 zero' });
  t.same(created, { name: 'data', number: '253:0' });
});

t.test(
  'Of clients who want opposite things each gets an answer, and the state is whole',
  async (t) => {
    const rig = await ControlRig.start(t);
    const table = `0 8192 linear ${DISK} 0`;
    for (let round = 0; round < 20; round++) {
      const asked = [
        rig.client.call('create', { device: 'data', table }, 'json'),
        rig.client.call('create', { device: 'data', table }, 'json'),
        rig.client.call('remove', { device: 'data' }, 'json'),
        rig.client.call('suspend', { device: 'data' }, 'json'),
        rig.client.call('resume', { device: 'data' }, 'json'),
        rig.client.call('load', { device: 'data', table: '0 8 zero' }, 'json'),
        rig.client.call('rename', { device: 'data', newName: 'other' }, 'json'),
        rig.client.call('remove', { device: 'data', force: true }, 'json'),
        rig.client.call('status', {}, 'json'),
      ];
      const answers = await Promise.all(asked);
      for (const { status, body } of answers) {
        t.ok([200, 400, 404, 409].includes(status), `${status} ${body}`);
      }
      t.ok(answers.slice(0, 2).filter(({ status }) => status === 200).length >= 1, 'one was made');
      const { devices } = await rig.json('ls');
      for (const { name } of devices as { name: string }[]) {
        await rig.json('resume', { device: name }).catch(() => undefined);
        const { body } = await rig.client.call('info', { device: name }, 'json');
        if (JSON.parse(body).devices[0].liveTable) {
          const client = await rig.attach(name);
          await client.read(0, BLOCK);
          await client.disconnect();
        }
        await rig.json('remove', { device: name });
      }
    }
  },
);

t.test('A verb on a device waits until the one before it is through, whole', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data' });
  const device = rig.daemon.devices.get('data');
  const load = device.load.bind(device);
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => {
    device.load = async (...args) => {
      resolve();
      await new Promise<void>((go) => {
        begin = go;
      });
      return load(...args);
    };
  });
  const loading = rig.json('load', { device: 'data', table: `0 8192 linear ${DISK} 0` });
  await begun;
  const later = [
    rig.refusal('rename', { device: 'data', newName: '' }),
    rig.json('rename', { device: 'data', newName: 'other' }),
    rig.json('remove', { device: 'data' }).catch((error: Error) => error.message),
  ] as const;
  for (let round = 0; round < 5; round++) await rig.json('ls');
  t.equal(rig.daemon.devices.find('data'), device, 'nobody has come between');
  begin();
  await loading;
  t.match(await later[0], { status: 400 });
  await later[1];
  t.match(await later[2], /404 .*no-device/, 'it has another name by then');
  t.match(await rig.json('info', { device: 'other' }), { devices: [{ inactiveTable: true }] });
});

t.test('Stopping takes stacks down from the top, with a client still attached', async (t) => {
  const rig = await ControlRig.start(t, { table: `0 8192 linear ${DISK} 0`, name: 'low' });
  await rig.json('create', { device: 'middle', table: '0 8192 linear /dev/mapper/low 0' });
  await rig.json('create', { device: 'top', table: '0 8192 linear 253:1 0' });
  const client = await rig.attach('top');
  await client.write(0, block(1));
  await rig.stop();
  await t.rejects(client.read(0, BLOCK));
  t.same(rig.daemon.devices.list(), []);
});

t.test('Stopping lets suspended devices go on that others stand on', async (t) => {
  for (const isLate of [false, true]) {
    const rig = await ControlRig.start(t);
    await rig.json('create', { device: 'low', table: `0 64 linear ${DISK} 0` });
    await rig.json('suspend', { device: 'low' });
    await rig.json('load', { device: 'low', table: '0 64 error' });
    const legs = `2 /dev/mapper/low 0 ${OTHER} 0`;
    await rig.json('create', { device: 'top', table: `0 64 mirror core 1 16 ${legs}` });
    const [top] = rig.daemon.devices.list().filter(({ name }) => name === 'top');
    const { counters } = top!.liveTable!.targets[0]!.target as MirrorTarget;
    // Somebody may be at it, and waits for the region that is being copied.
    const removing = isLate ? rig.json('remove', { device: 'top' }).catch(() => {}) : null;
    if (isLate) while (rig.daemon.devices.list().length > 1) await rig.json('version');
    await rig.stop();
    await removing;
    t.same(rig.daemon.devices.list(), []);
    t.match(counters, { blindRecoveries: 0 }, 'nothing was made to fail');
  }
});

t.test(
  'wait ends at the next event, at once for another number, and with the device',
  async (t) => {
    const rig = await ControlRig.start(t);
    const table = `0 64 mirror core 1 16 2 ${DISK} 0 ${OTHER} 0`;
    await rig.json('create', { device: 'data', table });
    t.same(await rig.json('wait', { device: 'data' }), { name: 'data', eventNumber: 1 }, 'in sync');
    t.same(await rig.json('wait', { device: 'data', eventNumber: 9 }), {
      name: 'data',
      eventNumber: 1,
    });
    const renamed = rig.json('wait', { device: 'data', eventNumber: 1 });
    await rig.json('rename', { device: 'data', newName: 'other' });
    t.same(await renamed, { name: 'other', eventNumber: 2 });
    const removed = rig.json('wait', { device: 'other', eventNumber: 2 });
    await rig.json('version');
    await rig.json('remove', { device: 'other' });
    t.same(await removed, { name: 'other', eventNumber: 2 });
  },
);

t.test('status tells more of a mirror to who asks for details', async (t) => {
  const rig = await ControlRig.start(t);
  const table = `0 64 mirror core 1 16 2 ${DISK} 0 ${OTHER} 0`;
  await rig.json('create', { device: 'data', table });
  await rig.json('wait', { device: 'data' });
  t.match(await rig.json('status', { device: 'data', details: true }), {
    devices: [
      {
        name: 'data',
        targets: [
          {
            line: `0 64 mirror 2 ${DISK} ${OTHER} 4/4 1 AA 1 core`,
            details: { regionCount: 4, regions: { clean: 4, nosync: 0 }, heldWrites: 0 },
          },
        ],
      },
    ],
  });
});
