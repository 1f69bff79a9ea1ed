/** What a mapped device knows to be zeros is what a read gives, whatever is below it. */

import fc from 'fast-check';
import t from 'tap';
import { EIO, OK } from '../../src/base/errno.ts';
import type { Sector, SectorCount } from '../../src/base/units.ts';
import { byEffort } from '../support/effort.ts';
import { MirrorRig } from '../support/mirror-rig.ts';

const SECTORS = 64;

/** Legs that know their zeros, the table live, nothing settled. */
async function start(
  table: string,
  prepare: (rig: MirrorRig) => void = () => {},
): Promise<MirrorRig> {
  const rig = new MirrorRig({ sectors: SECTORS });
  for (const name of ['leg0', 'leg1']) rig.disk(name).knowsZeros = true;
  prepare(rig);
  await rig.start(table);
  return rig;
}

function fill(rig: MirrorRig, leg: string, from: number, count: number): void {
  rig.disk(leg).bytes.fill(1, from * 512, (from + count) * 512);
}

/** One character a sector: `z` known to be zeros, `.` not known. */
function known(rig: MirrorRig, from = 0, count = SECTORS): string {
  let text = '';
  while (text.length < count) {
    const sector = (from + text.length) as Sector;
    const run = rig.device.allocation(sector, (count - text.length) as SectorCount);
    if (run.count < 1 || run.count > count - text.length) throw new Error(`${run.count} sectors`);
    text += (run.zero ? 'z' : '.').repeat(run.count);
  }
  return text;
}

t.test('a mirror in sync knows what its default leg knows, at the leg offset', async (t) => {
  const rig = await start('0 48 mirror core 2 8 nosync 2 leg0 8 leg1 0', (one) => {
    fill(one, 'leg0', 0, 8);
    fill(one, 'leg0', 20, 4);
    fill(one, 'leg1', 0, SECTORS);
  });
  t.equal(known(rig, 0, 48), `${'z'.repeat(12)}....${'z'.repeat(32)}`);
  await rig.settle();
  rig.write(40, 8, 5);
  await rig.settle();
  t.equal(known(rig, 36, 12), 'zzzz........');
});

t.test('a region out of sync is what the default leg is, or nothing is known', async (t) => {
  const rig = await start('0 64 mirror core 1 8 2 leg0 0 leg1 0', (one) => {
    one.disk('leg1').hold();
    fill(one, 'leg1', 0, SECTORS);
  });
  await rig.settle();
  t.equal(known(rig), 'z'.repeat(SECTORS), 'the other leg is not read');
  rig.disk('leg0').failing.add('read');
  const read = rig.read(0, 8);
  await rig.settle();
  t.equal(read.result, EIO);
  rig.disk('leg0').failing.clear();
  t.equal(known(rig), '.'.repeat(SECTORS), 'no leg is read any more');
});

t.test('a leg that has failed gives way to another, where that has the data', async (t) => {
  const rig = await start('0 64 mirror core 2 8 nosync 2 leg0 0 leg1 0', (one) => {
    fill(one, 'leg1', 8, 8);
    one.disk('leg0').badSectors.add(0);
  });
  await rig.settle();
  t.equal(known(rig, 0, 16), `.${'z'.repeat(15)}`);
  const read = rig.read(0, 1);
  await rig.settle();
  t.equal(read.result, OK, 'from the other leg');
  t.equal(known(rig, 0, 16), 'zzzzzzzz........');
});

t.test('targets know what they are over; a device that is suspended knows nothing', async (t) => {
  const table = [
    '0 16 linear leg0 4',
    '16 16 zero',
    '32 16 error',
    '48 16 striped 2 8 leg0 0 leg1 0',
  ];
  const rig = await start(table.join('\n'), (one) => fill(one, 'leg0', 8, 4));
  const expected = `zzzz....${'z'.repeat(24)}${'.'.repeat(32)}`;
  t.equal(known(rig), expected);
  await rig.perform(rig.device.suspend({ noflush: false }));
  t.equal(known(rig), '.'.repeat(SECTORS));
  await rig.perform(rig.device.resume());
  t.equal(known(rig), expected);
  const { hole } = rig.device.allocation(16 as Sector, 1 as SectorCount);
  t.equal(hole, false, 'the zero target never lacks space');
});

t.test('whatever is known to be zeros is read as zeros', async () => {
  const legs = fc.array(fc.record({ from: fc.nat(60), count: fc.integer({ min: 1, max: 12 }) }));
  const setting = fc.record({
    leg0: legs,
    leg1: legs,
    sync: fc.constantFrom('sync', 'nosync'),
    held: fc.boolean(),
    bad: fc.array(fc.record({ leg: fc.nat(1), sector: fc.nat(SECTORS - 1) }), { maxLength: 3 }),
    reads: fc.array(fc.nat(SECTORS - 1), { maxLength: 6 }),
    writes: fc.array(fc.nat(SECTORS - 1), { maxLength: 6 }),
  });
  await fc.assert(
    fc.asyncProperty(setting, async ({ leg0, leg1, sync, held, bad, reads, writes }) => {
      const table = `0 64 mirror core 2 8 ${sync} 2 leg0 0 leg1 0 1 handle_errors`;
      const rig = await start(table, (one) => {
        for (const { from, count } of leg0) fill(one, 'leg0', from, Math.min(count, 64 - from));
        for (const { from, count } of leg1) fill(one, 'leg1', from, Math.min(count, 64 - from));
        if (held) one.disk('leg1').hold();
      });
      await rig.settle();
      for (const { leg, sector } of bad) rig.disk(`leg${leg}`).badSectors.add(sector);
      for (const sector of reads) rig.read(sector, 1);
      for (const sector of writes) rig.write(sector, 1, 3);
      await rig.settle();
      // What nobody has been told of may still change what a read gives.
      if (held) rig.disk('leg1').release();
      await rig.settle();
      const map = known(rig);
      for (let sector = 0; sector < SECTORS; sector++) {
        if (map[sector] !== 'z') continue;
        const read = rig.read(sector, 1);
        await rig.settle();
        if (read.result !== OK) throw new Error(`Sector ${sector} fails with ${read.result}`);
        if (read.data.some((byte) => byte !== 0)) throw new Error(`Sector ${sector} is not zeros`);
      }
    }),
    { numRuns: byEffort({ quick: 30, standard: 150, full: 3000 }) },
  );
});
