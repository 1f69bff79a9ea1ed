/** Writes: their order with the log, and what becomes of them when something fails. */

import t from 'tap';
import { EIO, EOPNOTSUPP } from '../../src/base/errno.ts';
import { MirrorRig } from '../support/mirror-rig.ts';

/** 64 sectors in 8 regions, in sync from the start. */
function table(log: 'core' | 'disk', features: string): string {
  const args = log === 'core' ? 'core 2 8 nosync' : 'disk 3 log 8 nosync';
  return `0 64 mirror ${args} 2 leg0 0 leg1 0${features}`;
}

async function started(log: 'core' | 'disk', features = ''): Promise<MirrorRig> {
  const rig = new MirrorRig();
  await rig.start(table(log, features));
  await rig.settle();
  rig.trace.length = 0;
  return rig;
}

const MODES = {
  none: '',
  handle_errors: ' 1 handle_errors',
  keep_log: ' 2 handle_errors keep_log',
} as const;

t.test('mirror: write: mark, log flush, legs, then leg flush and clear (disk log)', async (t) => {
  const rig = await started('disk');
  const write = rig.write(8, 2, 0x11);
  await rig.settle();
  t.equal(write.result, 0);
  t.same(rig.trace, [
    'log write 0+3',
    'log flush',
    'leg0 write 8+2',
    'leg1 write 8+2',
    'leg0 flush',
    'leg1 flush',
    'log write 0+3',
  ]);
  t.equal(rig.disk('log').bytes[1024], 0xff, 'all clean again');
});

t.test('mirror: write: no leg sees a byte before the log flush has ended (disk log)', async (t) => {
  const rig = await started('disk');
  rig.disk('log').hold();
  const write = rig.write(0, 1, 1);
  await rig.settle();
  t.same(rig.trace, ['log write 0+3'], 'the log write has not ended');
  t.equal(rig.disk('log').bytes[1024], 0xff);
  rig.disk('log').release();
  rig.disk('leg1').hold();
  await rig.settle();
  t.equal(rig.disk('log').bytes[1024], 0xfe, 'region 0 is dirty while the leg writes');
  t.equal(write.result, null);
  rig.disk('leg1').release();
  await rig.settle();
  t.equal(write.result, 0);
});

t.test('mirror: write: one log write serves all that came together', async (t) => {
  const rig = await started('disk');
  const writes = [0, 8, 16, 17, 40].map((sector) => rig.write(sector, 1, sector + 1));
  await rig.settle();
  t.same(
    writes.map(({ result }) => result),
    [0, 0, 0, 0, 0],
  );
  t.equal(
    rig.trace.filter((what) => what === 'log write 0+3').length,
    2,
    'one to mark, one to clear',
  );
});

t.test('mirror: write: across regions, each piece of its own', async (t) => {
  const rig = await started('core');
  const write = rig.write(6, 12, 5, { fua: true });
  await rig.settle();
  t.equal(write.result, 0);
  const pieces = ['6+2', '8+8', '16+2'];
  t.same(
    rig.trace,
    pieces.flatMap((piece) => [`leg0 write ${piece} fua`, `leg1 write ${piece} fua`]),
    'FUA is carried to every leg',
  );
});

t.test('mirror: write: two in one region are marked once and cleared after both', async (t) => {
  const rig = await started('disk');
  rig.disk('leg1').hold();
  const first = rig.write(0, 1, 1);
  await rig.settle();
  rig.disk('leg1').release();
  rig.disk('leg0').hold();
  const second = rig.write(1, 1, 2);
  await rig.settle();
  t.equal(first.result, 0);
  t.equal(second.result, null);
  t.equal(rig.disk('log').bytes[1024], 0xfe, 'still dirty for the second');
  rig.disk('leg0').release();
  await rig.settle();
  t.equal(second.result, 0);
  t.equal(rig.disk('log').bytes[1024], 0xff);
});

/** Specification 3.5: what the first failed write comes to, and the next ones. */
const LEG_FAILS = [
  { mode: 'none', first: 0, sameRegion: 0, otherRegion: 0, events: 0, synced: '6/8' },
  {
    mode: 'handle_errors',
    first: null,
    sameRegion: null,
    otherRegion: null,
    events: 1,
    synced: '6/8',
  },
  { mode: 'keep_log', first: 0, sameRegion: 0, otherRegion: 0, events: 1, synced: '6/8' },
] as const;

for (const expected of LEG_FAILS) {
  t.test(`mirror: write: leg 1 fails (2 legs, core log, ${expected.mode})`, async (t) => {
    const rig = await started('core', MODES[expected.mode]);
    rig.disk('leg1').failing.add('write');
    const first = rig.write(0, 1, 1);
    await rig.settle();
    t.equal(first.result, expected.first);
    t.equal(rig.device.eventNumber, expected.events);
    rig.trace.length = 0;
    const sameRegion = rig.write(1, 1, 2);
    await rig.settle();
    t.equal(sameRegion.result, expected.sameRegion);
    t.same(
      rig.trace,
      expected.sameRegion === null ? [] : ['leg0 write 1+1'],
      'an out-of-sync region is written on the default leg only, or held',
    );
    const otherRegion = rig.write(8, 1, 3);
    await rig.settle();
    t.equal(otherRegion.result, expected.otherRegion);
    t.match(await rig.info(), `leg0 leg1 ${expected.synced} 1 AD 1 core`);
    await rig.perform(rig.device.suspend({ noflush: false }));
    const fate = expected.first ?? EIO;
    for (const write of [first, sameRegion, otherRegion]) t.equal(write.result, fate);
  });
}

for (const [mode, features] of Object.entries(MODES)) {
  t.test(`mirror: write: all legs fail: I/O error (${mode})`, async (t) => {
    const rig = await started('core', features);
    rig.disk('leg0').failing.add('write');
    rig.disk('leg1').failing.add('write');
    const write = rig.write(0, 1, 1);
    await rig.settle();
    t.equal(write.result, EIO);
    t.match(await rig.info(), '7/8 1 DD 1 core');
  });
}

t.test('mirror: write: the default leg fails: the lowest healthy one takes over', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 64 mirror core 2 8 nosync 3 leg0 0 leg1 0 leg2 0 1 handle_errors');
  await rig.settle();
  rig.disk('leg2').bytes.fill(9);
  rig.disk('leg1').bytes.fill(8);
  rig.disk('leg0').failing.add('write');
  const write = rig.write(0, 1, 1);
  await rig.settle();
  t.equal(write.result, null, 'held');
  const read = rig.read(32, 1);
  await rig.settle();
  t.equal(read.data[0], 8, 'leg 1 is read now');
  t.match(await rig.info(), '7/8 1 DAA');
});

t.test(
  'mirror: write: held writes reach the next table by a noflush suspend, in order',
  async (t) => {
    const rig = await started('disk', MODES.handle_errors);
    rig.disk('leg1').failing.add('write');
    const first = rig.write(0, 4, 1);
    await rig.settle();
    const second = rig.write(2, 4, 2);
    await rig.settle();
    t.equal(first.result, null);
    t.equal(second.result, null);
    await rig.replace('0 64 mirror disk 2 log 8 2 leg0 0 spare 0 1 handle_errors', {
      noflush: true,
    });
    await rig.settle();
    t.equal(first.result, 0);
    t.equal(second.result, 0);
    t.match(await rig.info(), 'leg0 spare 8/8 1 AA 3 disk log A');
    t.same([...rig.disk('spare').bytes], [...rig.disk('leg0').bytes], 'the spare holds all');
    t.equal(rig.disk('leg0').bytes[2 * 512], 2);
    t.equal(rig.disk('leg0').bytes[0], 1);
  },
);

const LOG_FAILS = [
  { mode: 'none', write: 0, flush: 0 },
  { mode: 'handle_errors', write: null, flush: null },
  { mode: 'keep_log', write: EIO, flush: EIO },
] as const;

for (const expected of LOG_FAILS) {
  t.test(`mirror: write: the log fails (disk log, ${expected.mode})`, async (t) => {
    const rig = await started('disk', MODES[expected.mode]);
    rig.disk('log').failing.add('write');
    const write = rig.write(0, 1, 1);
    await rig.settle();
    t.equal(write.result, expected.write);
    t.equal(rig.mirror.counters.unloggedWrites, expected.mode === 'none' ? 1 : 0);
    const touched = rig.trace.filter((what) => /leg. write/.test(what)).length;
    t.equal(
      touched,
      expected.mode === 'none' ? 2 : 0,
      'legs are written without handle_errors only',
    );
    const flush = rig.send('flush');
    await rig.settle();
    t.equal(flush.result, expected.flush);
    t.match(await rig.info(), '8/8 1 AA 3 disk log D');
    t.equal(rig.device.eventNumber, 1);
  });
}

const FLUSH_FAILS = [
  { mode: 'none', result: 0, degraded: 1 },
  { mode: 'handle_errors', result: null, degraded: 0 },
  { mode: 'keep_log', result: 0, degraded: 1 },
] as const;

for (const expected of FLUSH_FAILS) {
  t.test(`mirror: flush: leg 1 fails it (core log, ${expected.mode})`, async (t) => {
    const rig = await started('core', MODES[expected.mode]);
    rig.disk('leg1').failing.add('flush');
    const flush = rig.send('flush');
    await rig.settle();
    t.equal(flush.result, expected.result);
    t.equal(rig.mirror.counters.degradedFlushes, expected.degraded);
    t.equal(rig.mirror.set.hash.flushFailed, true);
    const write = rig.write(0, 1, 1);
    await rig.settle();
    t.equal(write.result, 0, 'writes still pass');
    const entry = [...rig.mirror.set.hash.entries()].find(({ region }) => region === 0);
    t.equal(entry?.state, 'nosync', 'but what drains does not count as clean any more');
  });
}

t.test(
  'mirror: discard: goes to all legs at once, whatever the regions, and marks none',
  async (t) => {
    const rig = await started('disk');
    rig.disk('leg0').bytes.fill(1);
    rig.disk('leg1').bytes.fill(1);
    const discard = rig.send('discard', 4, 24);
    await rig.settle();
    t.equal(discard.result, 0);
    t.same(rig.trace, ['leg0 discard 4+24', 'leg1 discard 4+24']);
  },
);

t.test('mirror: discard: a leg that fails it degrades nothing (handle_errors)', async (t) => {
  const rig = await started('core', MODES.handle_errors);
  rig.disk('leg1').failing.add('discard');
  const discard = rig.send('discard', 0, 8);
  await rig.settle();
  t.equal(discard.result, EOPNOTSUPP);
  t.match(await rig.info(), '8/8 1 AA 1 core');
});

t.test('mirror: discard: offered only if every leg can', async (t) => {
  const rig = new MirrorRig({ legsWithoutDiscard: ['leg1'] });
  await rig.start(table('core', ''));
  t.equal(rig.device.capabilities.discard, false);
  t.equal((await started('core')).device.capabilities.discard, true);
});

t.test(
  'mirror: write: an error of the default leg alone reaches the issuer of a nosync write',
  async (t) => {
    const rig = await started('core', MODES.keep_log);
    rig.disk('leg1').failing.add('write');
    rig.write(0, 1, 1);
    await rig.settle();
    rig.disk('leg0').failing.add('write');
    const write = rig.write(1, 1, 2);
    await rig.settle();
    t.equal(write.result, EIO);
    t.match(await rig.info(), '7/8 1 AD', 'and is recorded nowhere');
  },
);
