/** Recovery, reads, and the life cycle of a mirror. */

import t from 'tap';
import { EIO } from '../../src/base/errno.ts';
import { MirrorRig } from '../support/mirror-rig.ts';

t.test(
  'mirror: recovery: regions are copied in order from the default leg, the last one short',
  async (t) => {
    const rig = new MirrorRig();
    rig.disk('leg0').bytes.fill(7);
    await rig.start('0 60 mirror core 1 16 3 leg0 0 leg1 0 leg2 4');
    await rig.settle();
    t.same(
      rig.trace,
      ['0+16', '16+16', '32+16', '48+12'].flatMap((extent) => [
        `leg0 read ${extent}`,
        `leg1 write ${extent}`,
        `leg2 write ${extent.replace(/^\d+/, (sector) => String(Number(sector) + 4))}`,
      ]),
    );
    t.match(await rig.info(), '0 60 mirror 3 leg0 leg1 leg2 4/4 1 AAA 1 core');
    t.equal(rig.device.eventNumber, 1, 'one event for coming into sync');
  },
);

t.test(
  'mirror: recovery: nothing recovers before the first resume or while suspended',
  async (t) => {
    const rig = new MirrorRig();
    const { parseTable } = await import('../../src/dm/table-line.ts');
    await rig.perform(rig.device.load(parseTable('0 64 mirror core 1 8 2 leg0 0 leg1 0')));
    await rig.settle();
    t.same(rig.trace, []);
    rig.disk('leg1').hold();
    await rig.perform(rig.device.resume());
    await rig.settle();
    t.match(await rig.info(), '0/8');
    const suspended = rig.device.suspend({ noflush: false });
    await rig.settle();
    rig.disk('leg1').release();
    await rig.perform(suspended);
    await rig.settle();
    t.match(await rig.info(), '1/8', 'the copy under way was finished, no other begun');
    await rig.perform(rig.device.resume());
    await rig.settle();
    t.match(await rig.info(), '8/8', 'a core log keeps its bits');
  },
);

t.test(
  'mirror: recovery: a write to the region waits for the copy, and is marked anew',
  async (t) => {
    const rig = new MirrorRig();
    rig.disk('leg0').bytes.fill(7);
    rig.disk('leg1').hold();
    await rig.start('0 64 mirror disk 2 log 8 2 leg0 0 leg1 0');
    await rig.settle();
    const write = rig.write(2, 1, 9);
    await rig.settle();
    t.notOk(rig.trace.includes('leg0 write 2+1'), 'no leg is written during the copy');
    rig.disk('leg1').release();
    await rig.settle();
    t.equal(write.result, 0);
    t.same([...rig.disk('leg1').bytes], [...rig.disk('leg0').bytes]);
    t.equal(rig.disk('leg1').bytes[2 * 512], 9);
    t.match(await rig.info(), '8/8');
    t.equal(rig.disk('log').bytes[1024], 0xff);
  },
);

t.test(
  'mirror: recovery: a write accepted before goes on, and the copy waits for it',
  async (t) => {
    const rig = new MirrorRig();
    rig.disk('leg1').badSectors.add(0);
    await rig.start('0 16 mirror core 1 8 2 leg0 0 leg1 0 2 handle_errors keep_log');
    await rig.settle();
    t.match(await rig.info(), '1/2 1 AS', 'region 0 could not be copied');
    rig.disk('leg1').badSectors.clear();
    rig.disk('leg0').hold();
    const write = rig.write(0, 1, 5);
    await rig.settle();
    const suspended = rig.device.suspend({ noflush: false });
    await rig.settle();
    rig.disk('leg0').release();
    await rig.perform(suspended);
    t.equal(write.result, 0);
    await rig.perform(rig.device.resume());
    await rig.settle();
    t.match(await rig.info(), '2/2 1 AA', 'resume starts the scan anew, and sync forgives the leg');
    t.equal(rig.disk('leg1').bytes[0], 5);
  },
);

t.test(
  'mirror: recovery: an unreadable source leaves the region out of sync (handle_errors)',
  async (t) => {
    const rig = new MirrorRig();
    rig.disk('leg0').badSectors.add(20);
    await rig.start('0 64 mirror core 1 16 2 leg0 0 leg1 0 1 handle_errors');
    await rig.settle();
    t.match(await rig.info(), '3/4 1 SA');
    t.equal(rig.device.eventNumber, 1);
  },
);

t.test(
  'mirror: recovery: without handle_errors zeros are copied and count as in sync',
  async (t) => {
    const rig = new MirrorRig();
    rig.disk('leg0').bytes.fill(7);
    rig.disk('leg1').bytes.fill(3);
    rig.disk('leg0').badSectors.add(20);
    await rig.start('0 64 mirror disk 2 log 16 2 leg0 0 leg1 0');
    await rig.settle();
    t.match(await rig.info(), '4/4 1 AA', 'reaching sync even forgives the leg');
    t.equal(rig.mirror.counters.blindRecoveries, 1);
    t.equal(rig.disk('leg1').bytes[16 * 512], 0, 'zeros in place of what could not be read');
    t.equal(rig.disk('log').bytes[1024], 0b1101, 'but region 1 stays dirty on disk');
  },
);

t.test(
  'mirror: recovery: without handle_errors what was read before an error is copied',
  async (t) => {
    const rig = new MirrorRig();
    rig.disk('leg0').bytes.fill(7);
    rig.disk('leg1').bytes.fill(3);
    rig.disk('leg0').badSectors.add(20);
    rig.disk('leg0').readsUpToBad = true;
    await rig.start('0 64 mirror core 1 16 2 leg0 0 leg1 0');
    await rig.settle();
    const copied = [...Array(64).keys()].map((sector) => rig.disk('leg1').bytes[sector * 512]);
    t.same(copied, [...Array(20).fill(7), ...Array(12).fill(0), ...Array(32).fill(7)]);
  },
);

t.test('mirror: recovery: 2048 sectors of one region are copied in pieces of 1024', async (t) => {
  const rig = new MirrorRig({ sectors: 4096 });
  await rig.start('0 4096 mirror core 1 4096 2 leg0 0 leg1 0');
  await rig.settle();
  t.same(
    rig.disk('leg1').seen,
    [0, 1024, 2048, 3072].map((sector) => `write ${sector}+1024`),
  );
});

t.test('mirror: read: a failed default leg is read past, downwards and around', async (t) => {
  const rig = new MirrorRig();
  for (const leg of [0, 1, 2]) rig.disk(`leg${leg}`).bytes.fill(leg + 1);
  await rig.start('0 64 mirror core 2 8 nosync 3 leg0 0 leg1 0 leg2 0');
  await rig.settle();
  rig.disk('leg0').failing.add('read');
  const read = rig.read(0, 1);
  await rig.settle();
  t.equal(read.result, 0);
  t.equal(read.data[0], 3, 'below leg 0 comes leg 2');
  t.match(await rig.info(), '8/8 1 RAA');
  t.equal(rig.device.eventNumber, 0, 'no event without handle_errors');
  rig.disk('leg2').failing.add('read');
  rig.disk('leg1').failing.add('read');
  const last = rig.read(0, 1);
  await rig.settle();
  t.equal(last.result, EIO);
  t.match(await rig.info(), '8/8 1 RRR');
});

t.test('mirror: read: a region out of sync is read from the default leg only', async (t) => {
  const rig = new MirrorRig();
  rig.disk('leg0').bytes.fill(7);
  rig.disk('leg1').hold();
  await rig.start('0 64 mirror core 1 8 2 leg0 0 leg1 0 1 handle_errors');
  await rig.settle();
  const good = rig.read(40, 1);
  await rig.settle();
  t.equal(good.data[0], 7);
  rig.disk('leg0').badSectors.add(41);
  const bad = rig.read(41, 1);
  await rig.settle();
  t.equal(bad.result, EIO, 'never from a leg that may be stale');
  t.notOk(rig.disk('leg1').seen.some((what) => what.startsWith('read')));
});

t.test('mirror: suspend: a region quiesces although a flush failed before (no hang)', async (t) => {
  const rig = new MirrorRig();
  rig.disk('leg1').badSectors.add(0);
  await rig.start('0 16 mirror core 1 8 2 leg0 0 leg1 0 2 handle_errors keep_log');
  await rig.settle();
  rig.disk('leg1').badSectors.clear();
  rig.disk('leg1').failing.add('flush');
  rig.send('flush');
  await rig.settle();
  await rig.perform(rig.device.suspend({ noflush: false }));
  rig.disk('leg0').hold();
  await rig.perform(rig.device.resume());
  rig.disk('leg1').failing.clear();
  const write = rig.write(0, 1, 5);
  await rig.settle();
  rig.disk('leg0').release();
  await rig.settle();
  await rig.perform(rig.device.suspend({ noflush: false }));
  t.equal(write.result, 0);
});

t.test('mirror: close: gives every device back and leaves nothing behind', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 64 mirror disk 2 log 8 2 leg0 0 leg1 0');
  await rig.settle();
  rig.write(0, 8, 1);
  await rig.perform(rig.device.close());
  for (const disk of ['leg0', 'leg1', 'log']) t.ok(rig.disk(disk).closed, `${disk} is closed`);
  t.equal(rig.disk('log').bytes[1024], 0xff, 'an orderly stop leaves every region clean');
  const late = rig.write(0, 1, 2);
  t.equal(late.result, EIO);
});

t.test(
  'mirror: grow: new regions are out of sync, old ones keep their state (disk log)',
  async (t) => {
    const rig = new MirrorRig();
    await rig.start('0 32 mirror disk 2 log 8 2 leg0 0 leg1 0');
    await rig.settle();
    rig.trace.length = 0;
    await rig.replace('0 64 mirror disk 2 log 8 2 leg0 0 leg1 0', { noflush: true });
    await rig.settle();
    t.same(
      rig
        .disk('leg0')
        .seen.filter((what) => what.startsWith('read'))
        .slice(-4),
      ['read 32+8', 'read 40+8', 'read 48+8', 'read 56+8'],
    );
    t.equal(rig.device.sizeSectors, 64);
    t.match(await rig.info(), '8/8');
  },
);
