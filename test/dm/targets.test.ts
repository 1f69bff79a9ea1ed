/**
 * The targets that testers put under a mirror: delay, flakey, striped. Table lines as a kernel
 * prints them.
 */

import t from 'tap';
import { EIO } from '../../src/base/errno.ts';
import { MirrorRig } from '../support/mirror-rig.ts';

/**
 * Table and status lines behind start and length, recorded from a 6.1 kernel; `?` is the refusal.
 */
const RECORDED = [
  {
    table: 'flakey leg0 0 0 3600 1 error_writes',
    prints: 'flakey leg0 0 0 3600 1 error_writes ',
    info: 'flakey ',
  },
  { table: 'flakey leg0 0 1 2', prints: 'flakey leg0 0 1 2 0 ', info: 'flakey ' },
  {
    table: 'flakey leg0 0 1 2 5 corrupt_bio_byte 32 r 1 0',
    prints: 'flakey leg0 0 1 2 5 corrupt_bio_byte 32 r 1 0 ',
    info: 'flakey ',
  },
  { table: 'delay leg0 0 100', prints: 'delay leg0 0 100', info: 'delay 0 0 0' },
  {
    table: 'delay leg0 0 100 leg1 8 200 leg0 0 0',
    prints: 'delay leg0 0 100 leg1 8 200 leg0 0 0',
    info: 'delay 0 0 0',
  },
  {
    table: 'striped 2 8 leg0 0 leg1 0',
    prints: 'striped 2 8 leg0 0 leg1 0',
    info: 'striped 2 leg0 leg1 1 AA',
  },
  { table: 'error', prints: 'error ', info: 'error ' },
  { table: 'zero', prints: 'zero ', info: 'zero ' },
];

const REFUSED = [
  [
    'flakey leg0 0 1 2 6 drop_writes corrupt_bio_byte 32 w 1 0',
    'drop_writes is incompatible with corrupt_bio_byte with the WRITE flag set',
  ],
  [
    'flakey leg0 0 1 2 2 drop_writes error_writes',
    'Feature error_writes conflicts with feature drop_writes',
  ],
  ['flakey leg0 0 0 0', 'Total (up + down) interval is zero'],
  ['flakey leg0 0 1', 'Invalid argument count'],
  ['flakey leg0 0 x 1', 'Invalid up interval'],
  ['flakey leg0 x 1 1', 'Invalid device sector'],
  ['flakey leg0 0 1 1 1 nonsense', 'Unrecognised flakey feature requested'],
  ['flakey leg0 0 1 1 5 corrupt_bio_byte 0 r 1 0', 'Invalid corrupt bio byte'],
  ['flakey leg0 0 1 1 5 corrupt_bio_byte 1 x 1 0', 'Invalid corrupt bio direction (r or w)'],
  [
    'flakey leg0 0 1 1 5 corrupt_bio_byte 1 r 256 0',
    'Invalid corrupt value to write into bio byte (0-255)',
  ],
  ['delay leg0 0 x', 'Invalid delay'],
  ['delay leg0 x 1', 'Invalid device sector'],
  ['delay leg0 0', 'Requires exactly 3, 6 or 9 arguments'],
  ['striped 2 3 leg0 0 leg1 0', 'Target length not divisible by chunk size'],
  ['striped 0 8', 'Invalid stripe count'],
  ['striped 2 8 leg0 0', 'Not enough destinations specified'],
] as const;

t.test('targets: tables print as a kernel prints them', async (t) => {
  for (const { table, prints, info } of RECORDED) {
    const rig = new MirrorRig();
    await rig.start(`0 32 ${table}`);
    t.equal(await rig.table(), `0 32 ${prints}`);
    t.equal(await rig.info(), `0 32 ${info}`);
  }
});

t.test('targets: tables are refused with the words of a kernel', async (t) => {
  for (const [table, kernelMessage] of REFUSED) {
    const rig = new MirrorRig();
    t.equal((await rig.refusal(`0 32 ${table}`)).kernelMessage, kernelMessage, table);
    for (const leg of ['leg0', 'leg1']) t.ok(!rig.wasOpened(leg) || rig.disk(leg).closed);
  }
});

t.test('flakey: error_writes fails writes and flushes alone, drop_writes loses them', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 32 flakey leg0 0 0 10 1 error_writes');
  t.equal(rig.write(0, 1, 1).result, EIO);
  t.equal(rig.send('flush').result, EIO);
  t.equal(rig.read(0, 1).result, 0);
  await rig.replace('0 32 flakey leg0 0 0 10 1 drop_writes', { noflush: false });
  t.equal(rig.write(0, 1, 1).result, 0);
  t.equal(rig.read(0, 1).data[0], 0, 'the write never arrived');
});

t.test('flakey: up and down follow the clock from the load of the table', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 32 flakey leg0 0 2 3');
  const results: (number | null)[] = [];
  for (let second = 0; second < 7; second++) {
    results.push(rig.read(0, 1).result);
    rig.clock.after(1000, () => undefined);
    await rig.settle();
  }
  t.same(results, [0, 0, EIO, EIO, EIO, 0, 0]);
});

t.test('flakey: corrupt_bio_byte changes the copy that is written, not the buffer', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 32 flakey leg0 0 0 10 5 corrupt_bio_byte 3 w 9 0');
  const write = rig.write(4, 1, 1);
  t.equal(write.result, 0);
  t.equal(write.data[2], 1);
  t.equal(rig.disk('leg0').bytes[4 * 512 + 2], 9);
});

t.test('delay: requests wait their time, a suspend lets them go', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 32 delay leg0 0 0 leg0 0 600000');
  const write = rig.write(0, 1, 1);
  t.equal(write.result, null);
  t.equal(rig.read(0, 1).result, 0, 'reads pass');
  t.equal(await rig.info(), '0 32 delay 0 1 0');
  await rig.perform(rig.device.suspend({ noflush: false }));
  t.equal(write.result, 0);
  t.equal(rig.clock.now(), 0, 'at once');
});

t.test('striped: chunks go round, a flush goes to all', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 32 striped 2 4 leg0 8 leg1 0');
  rig.write(2, 12, 1);
  rig.send('flush');
  t.same(rig.trace, [
    'leg0 write 10+2',
    'leg1 write 0+4',
    'leg0 write 12+4',
    'leg1 write 4+2',
    'leg0 flush',
    'leg1 flush',
  ]);
});
