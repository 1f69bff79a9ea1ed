/** Mapped devices: splitting, suspending, replacing tables under load. */

import t from 'tap';
import { EIO } from '../../src/base/errno.ts';
import { UserError } from '../../src/base/failure.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { parseTable } from '../../src/dm/table-line.ts';
import { UnderlyingDevices } from '../../src/dm/underlying-devices.ts';
import { MirrorRig } from '../support/mirror-rig.ts';

t.test('MappedDevice.submit() sends each piece to its target and joins the results', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 16 linear leg0 8\n16 16 zero\n32 16 linear leg1 0');
  t.equal(rig.device.sizeSectors, 48);
  const write = rig.write(12, 24, 5);
  await rig.settle();
  t.equal(write.result, 0);
  t.same(rig.trace, ['leg0 write 20+4', 'leg1 write 0+4']);
  const read = rig.read(12, 24);
  await rig.settle();
  const sectors = [...Array(24).keys()].map((index) => read.data[index * 512]);
  t.same(sectors, [...Array(4).fill(5), ...Array(16).fill(0), ...Array(4).fill(5)]);
  rig.disk('leg1').failing.add('write');
  const failing = rig.write(12, 24, 6);
  await rig.settle();
  t.equal(failing.result, EIO, 'one piece that fails fails the whole');
});

t.test(
  'MappedDevice.submit() sends a flush to every target and refuses what is outside',
  async (t) => {
    const rig = new MirrorRig();
    await rig.start('0 16 linear leg0 0\n16 16 linear leg1 0');
    const flush = rig.send('flush');
    const outside = rig.read(31, 2);
    await rig.settle();
    t.equal(flush.result, 0);
    t.same(rig.trace, ['leg0 flush', 'leg1 flush']);
    t.equal(outside.result, EIO);
  },
);

t.test(
  'MappedDevice.suspend() waits for what is in flight and defers what comes, in order',
  async (t) => {
    const rig = new MirrorRig();
    await rig.start('0 32 linear leg0 0');
    rig.disk('leg0').hold();
    const before = rig.write(0, 1, 1);
    let suspended = false;
    const suspending = rig.device.suspend({ noflush: false }).then(() => {
      suspended = true;
    });
    await rig.settle();
    t.equal(suspended, false);
    const during = rig.write(1, 1, 2);
    rig.disk('leg0').release();
    await rig.perform(suspending);
    t.equal(before.result, 0);
    t.equal(during.result, null);
    const after = rig.write(1, 1, 3);
    await rig.settle();
    t.same(rig.trace, ['leg0 write 0+1'], 'nothing reaches a suspended table');
    await rig.perform(rig.device.load(parseTable('0 32 linear leg1 0')));
    await rig.perform(rig.device.resume());
    t.equal(during.result, 0);
    t.equal(after.result, 0);
    t.equal(rig.disk('leg1').bytes[512], 3, 'in order, on the new table');
    t.ok(rig.disk('leg0').closed, 'the old table is gone');
  },
);

t.test('MappedDevice.resume() with a new table suspends first, by itself', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 64 mirror disk 2 log 8 2 leg0 0 leg1 0');
  await rig.settle();
  rig.disk('leg1').hold();
  const write = rig.write(0, 1, 9);
  await rig.settle();
  await rig.perform(rig.device.load(parseTable('0 64 linear leg0 0')));
  const resumed = rig.device.resume();
  await rig.settle();
  t.match((await rig.device.liveTable!.status('table'))[0], 'mirror', 'still the old table');
  const logWrites = () => rig.disk('log').seen.filter((what) => what.startsWith('write')).length;
  rig.disk('leg1').release();
  await rig.perform(resumed);
  t.equal(write.result, 0);
  const written = logWrites();
  t.equal(rig.disk('log').bytes[1024], 0xff, 'the retiring mirror left its log clean');
  rig.write(8, 1, 1);
  await rig.settle();
  t.equal(logWrites(), written, 'and writes nothing more');
});

t.test('MappedDevice.load() does not wait for a suspend or resume that waits', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 32 linear leg0 0');
  rig.disk('leg0').hold();
  const write = rig.write(0, 1, 1);
  const suspending = rig.device.suspend({ noflush: false });
  await rig.perform(rig.device.load(parseTable('0 32 error')));
  await rig.perform(rig.device.clear());
  t.equal(rig.device.inactiveTable, null);
  await rig.perform(rig.device.load(parseTable('0 32 linear leg1 0')));
  rig.disk('leg0').release();
  await rig.perform(suspending);
  await rig.perform(rig.device.resume());
  t.equal(write.result, 0);
  rig.disk('leg1').hold();
  const next = rig.write(0, 1, 2);
  await rig.perform(rig.device.load(parseTable('0 32 zero')));
  const resuming = rig.device.resume();
  await rig.settle();
  await rig.perform(rig.device.load(parseTable('0 32 linear leg0 0')));
  rig.disk('leg1').release();
  await rig.perform(resuming);
  t.equal(next.result, 0, 'what came before the resume has ended');
  t.match(await rig.device.liveTable!.status('table'), [/zero/], 'what was there at its begin');
  t.match(await rig.device.inactiveTable!.status('table'), [/linear/], 'what came is for the next');
  await rig.perform(rig.device.close());
  t.ok(rig.disk('leg0').closed && rig.disk('leg1').closed);
  await t.rejects(rig.device.load(parseTable('0 32 zero')), UserError, 'no table of a ghost');
});

t.test('MappedDevice.load() of a long table lets others have their turn', async (t) => {
  const rig = new MirrorRig();
  const lines = Array.from({ length: 2000 }, (_, index) => `${index * 8} 8 zero`);
  let turns = 0;
  let loaded = false;
  const tick = (): void => {
    turns += 1;
    if (!loaded) rig.clock.after(0, tick);
  };
  rig.clock.after(0, tick);
  const loading = rig.device.load(parseTable(lines.join('\n'))).then(() => {
    loaded = true;
  });
  await rig.perform(loading);
  t.equal(rig.device.inactiveTable?.targets.length, 2000);
  t.ok(turns > 5, `${turns} turns of somebody else`);
});

t.test('MappedDevice.load() keeps the live table when the new one is refused', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 32 linear leg0 0');
  const error = await rig.refusal('0 16 linear leg1 0\n16 1000 linear spare 0');
  t.equal(error.code, 'device-too-small');
  t.match(error.message, '"spare" has 64 sectors, must have at least 1000');
  t.ok(rig.disk('leg1').closed, 'what the refused table had opened is closed');
  const write = rig.write(0, 1, 1);
  await rig.settle();
  t.equal(write.result, 0);
  t.equal(rig.device.inactiveTable, null);
});

t.test(
  'MappedDevice.clear() drops the inactive table, resume() without any is refused if suspended',
  async (t) => {
    const rig = new MirrorRig();
    await rig.perform(rig.device.load(parseTable('0 32 linear leg0 0')));
    await rig.perform(rig.device.clear());
    t.ok(rig.disk('leg0').closed);
    await rig.perform(rig.device.resume());
    t.notOk(rig.device.suspended, 'as in the kernel, a new device is not suspended');
    await rig.perform(rig.device.suspend({ noflush: false }));
    await t.rejects(rig.perform(rig.device.resume()), UserError);
    t.ok(rig.device.suspended);
  },
);

t.test(
  'UnderlyingDevices opens two names of one thing once, and closes it with its last user',
  async (t) => {
    const rig = new MirrorRig({ aliases: new Map([['/other/name', 'leg0']]) });
    await rig.start('0 16 linear leg0 0\n16 16 linear /other/name 32');
    const [first, second] = rig.device.liveTable!.targets.map(
      ({ target }) => target.devices[0]!.device,
    );
    t.equal(first, second);
    await rig.replace('0 16 linear /other/name 0', { noflush: false });
    t.notOk(rig.disk('leg0').closed);
    await rig.perform(rig.device.close());
    t.ok(rig.disk('leg0').closed);
  },
);

t.test('A device that takes long to open keeps nobody from others', async (t) => {
  const opened: string[] = [];
  let answer = (): void => {};
  const devices = new UnderlyingDevices({
    identify: async (name) => name.replace('./', ''),
    open: async (name) => {
      opened.push(name);
      if (name === 'far') await new Promise<void>((resolve) => (answer = resolve));
      return new MemoryDevice({ name, sizeSectors: 8 });
    },
  });
  const far = [devices.get('far'), devices.get('./far')];
  const near = await devices.get('near');
  await devices.put(near);
  await devices.put(await devices.get('near'));
  t.same(opened, ['far', 'near', 'near'], 'the two users of one thing wait for each other');
  answer();
  const [first, second] = await Promise.all(far);
  t.equal(first, second);
  await Promise.all([devices.put(first!), devices.put(second!)]);
  await t.rejects(devices.put(first!), /given back but is not open/);
});

t.test('targets zero, error and linear refuse what they do not know', async (t) => {
  const rig = new MirrorRig();
  t.equal((await rig.refusal('0 8 zero 1')).kernelMessage, 'No arguments required');
  t.equal((await rig.refusal('0 8 linear leg0')).kernelMessage, 'Invalid argument count');
  t.equal((await rig.refusal('0 8 linear leg0 x')).kernelMessage, 'Invalid device sector');
  await rig.start('0 8 error');
  const read = rig.read(0, 1);
  t.equal(read.result, EIO);
  const { target } = rig.device.liveTable!.targets[0]!;
  const refused: unknown = await target.message(['anything']).catch((error: unknown) => error);
  t.equal((refused as UserError).kernelMessage, 'Target type does not support messages');
});
