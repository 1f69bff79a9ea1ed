/** What the metadata contexts say of a mirror's regions, state by state. */

import t from 'tap';
import { REGION_STATUS, regionContexts } from '../../src/daemon/region-context.ts';
import { MirrorRig } from '../support/mirror-rig.ts';

const { DIRTY, NOSYNC, RECOVERING } = REGION_STATUS;
const REGION = 8 * 512;
const BYTES = 64 * 512;

/** The status of each region as one digit; extents must be whole regions. */
function states(rig: MirrorRig, name = 'x-dm-mirror:region-state', bytes = BYTES): string {
  const contexts = regionContexts(rig.device, { withAlias: true });
  const context = contexts.find((one) => one.name === name)!;
  const extents = context.status({ offset: 0, length: bytes, extentsMax: 100 });
  for (const [index, { status }] of extents.entries()) {
    if (status === extents[index + 1]?.status) throw new Error('Neighbours are alike');
  }
  const sum = extents.reduce((total, { length }) => total + length, 0);
  if (sum !== bytes) throw new Error(`${sum} bytes are told of`);
  return extents
    .map(({ length, status }) => `${status}`.repeat(Math.ceil(length / REGION)))
    .join('');
}

const damage = (rig: MirrorRig): string => states(rig, 'x-dm-mirror:leg-damage');
const bitmap = (rig: MirrorRig): string => states(rig, 'qemu:dirty-bitmap:region-state');

t.test('regions are out of sync, recovering, and in sync', async (t) => {
  const rig = new MirrorRig();
  rig.disk('leg1').hold();
  await rig.start('0 64 mirror core 1 8 2 leg0 0 leg1 0');
  await rig.settle();
  t.equal(states(rig), `${NOSYNC | RECOVERING}`.padEnd(8, `${NOSYNC}`));
  t.equal(damage(rig), '22222222', 'the second leg lacks data');
  t.equal(bitmap(rig), '11111111');
  rig.disk('leg1').release();
  await rig.settle();
  t.equal(states(rig), '00000000');
  t.equal(damage(rig), '00000000');
  t.equal(bitmap(rig), '00000000');
});

t.test('a region is dirty while a write to it is under way', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 64 mirror disk 3 log 8 nosync 2 leg0 0 leg1 0');
  await rig.settle();
  t.equal(states(rig), '00000000');
  rig.disk('leg1').hold();
  const write = rig.write(20, 1, 1);
  await rig.settle();
  t.equal(states(rig), `00${DIRTY}00000`);
  t.equal(bitmap(rig), '00100000');
  t.equal(damage(rig), '00000000', 'a write under way damages nothing');
  rig.disk('leg1').release();
  await rig.settle();
  t.equal(write.result, 0);
  t.equal(states(rig), '00000000', 'and clean again when its clean bit is back');
});

t.test('a leg that missed a write is damaged, and trusted nowhere', async (t) => {
  const rig = new MirrorRig();
  await rig.start('0 64 mirror core 2 8 nosync 2 leg0 0 leg1 0 2 handle_errors keep_log');
  await rig.settle();
  rig.disk('leg1').failing.add('write');
  rig.write(8, 1, 1);
  await rig.settle();
  t.equal(states(rig)[1], `${NOSYNC | DIRTY}`);
  t.equal(damage(rig), '22222222');
});

t.test('the last region may be short; what is no mirror has nothing to show', async (t) => {
  const rig = new MirrorRig();
  const lines = ['0 20 mirror core 1 8 2 leg0 0 leg1 0', '20 44 linear leg2 0'];
  rig.disk('leg1').hold();
  await rig.start(lines.join('\n'));
  await rig.settle();
  const [context] = regionContexts(rig.device, { withAlias: false });
  t.same(context!.status({ offset: 5000, length: BYTES - 5000, extentsMax: 9 }), [
    { length: 20 * 512 - 5000, status: NOSYNC },
    { length: 44 * 512, status: 0 },
  ]);
  t.same(context!.status({ offset: 0, length: BYTES, extentsMax: 1 }), [
    { length: REGION, status: NOSYNC | RECOVERING },
  ]);
  t.same(
    context!.status({ offset: 0, length: 2 * BYTES, extentsMax: 9 }).at(-1),
    { length: 44 * 512 + BYTES, status: 0 },
    'behind the end of a device that shrank',
  );
  t.equal(regionContexts(rig.device, { withAlias: false }).length, 2, 'no alias unasked');
});
