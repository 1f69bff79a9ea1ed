import t from 'tap';
import { EIO, ENODEV, ENXIO, OK } from '../../src/base/errno.ts';
import { UserError } from '../../src/base/failure.ts';
import { EmulatedMachine, loseUnflushed } from './emulated-machine.ts';

const MIRROR = '0 16384 mirror disk 2 254:64 1024 2 254:0 0 254:16 0 1 handle_errors';

t.test(
  'EmulatedMachine: numbers are as the kernel gives them, again after each boot',
  async (t) => {
    const machine = await EmulatedMachine.create();
    for (const life of ['first', 'second']) {
      await machine.done(machine.createDevice('one', '0 8 linear /dev/vdd 0'));
      await machine.done(machine.createDevice('m', MIRROR));
      t.equal(machine.numberOf('one'), '253:0', life);
      t.same(await machine.done(machine.lines('one', 'table')), ['0 8 linear 254:48 0'], life);
      t.ok(await machine.waitInSync('m'), life);
      const status = '0 16384 mirror 2 254:0 254:16 16/16 1 AA 3 disk 254:64 A';
      t.same(await machine.done(machine.lines('m', 'info')), [status], life);
      await machine.powerCut();
      await machine.boot();
    }
  },
);

t.test('EmulatedMachine: a loop device keeps the number it came with', async (t) => {
  const machine = await EmulatedMachine.create();
  await machine.addDisk({ path: '/dev/loop0', number: '7:0', sizeSectors: 64 });
  await machine.done(machine.createDevice('one', '0 8 linear 7:0 0'));
  t.same(await machine.done(machine.lines('one', 'table')), ['0 8 linear 7:0 0']);
  t.equal(await machine.map.notice('/dev/vde'), '254:64');
});

t.test('EmulatedMachine: a request waits, and ends, as the devices below say', async (t) => {
  const machine = await EmulatedMachine.create();
  await machine.done(machine.createDevice('below', '0 64 linear 254:16 0'));
  await machine.done(machine.suspend('below', { noflush: true }));
  const write = machine.send('below', { op: 'write', sector: 8, count: 8, fill: 65 });
  await machine.advance(60_000);
  t.notOk(write.ended, 'suspended: it waits');
  await machine.done(machine.load('below', '0 64 error'));
  await machine.done(machine.resume('below'));
  t.equal((await machine.done(write)).result, EIO);
});

t.test('EmulatedMachine: what a power cut takes is for the test to say', async (t) => {
  for (const [decide, survivor] of [
    [undefined, 66],
    [loseUnflushed, 65],
  ] as const) {
    const machine = await EmulatedMachine.create();
    const write = (fill: number) =>
      machine.done(machine.send('/dev/vda', { op: 'write', sector: 1, count: 1, fill }));
    await write(65);
    t.equal((await machine.done(machine.send('/dev/vda', { op: 'flush' }))).result, OK);
    await write(66);
    await machine.powerCut(decide);
    await machine.boot();
    t.equal((await machine.bytes('/dev/vda', 1, 1))[0], survivor);
  }
});

t.test('EmulatedMachine: a refused table leaves no device, its error says why', async (t) => {
  const machine = await EmulatedMachine.create();
  for (const [table, errno] of [
    ['0 8 linear /dev/nothing 0', ENODEV],
    ['0 8 linear 9:99 0', ENXIO],
  ] as const) {
    const job = machine.createDevice('m', table);
    await t.rejects(machine.done(job), UserError);
    t.equal((job.error as UserError).errno, errno, table);
    t.same(machine.map.list(), []);
  }
});
