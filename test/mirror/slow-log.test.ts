/** A mirror whose log takes its time to answer, as one in another process does. */

import t from 'tap';
import type { Region, SectorCount } from '../../src/base/units.ts';
import type { DirtyLog, DirtyLogType } from '../../src/dirtylog/dirty-log.ts';
import { MirrorRig } from '../support/mirror-rig.ts';

/** What the log is asked, in order, and what it answers: 1 to all where nothing is said. */
class SlowLog implements DirtyLog {
  readonly type: DirtyLogType = { name: 'slow', create: async () => this };
  readonly regionSizeSectors = 8 as SectorCount;
  readonly devices = [];
  readonly asked: string[] = [];
  readonly inSyncAnswers: number[] = [];
  readonly remoteAnswers: boolean[] = [];
  presuspend = async () => 0;
  postsuspend = async () => 0;
  resume = async () => 0;
  destroy = async () => undefined;
  isClean = async () => true;
  inSyncNow = () => 'would-block' as const;
  getSyncCount = async () => 8;
  getResyncWork = async () => null;
  status = async () => '1 slow';
  async inSync(region: Region): Promise<number> {
    this.asked.push(`in-sync ${region}`);
    await undefined;
    return this.inSyncAnswers.shift() ?? 1;
  }
  async flush(): Promise<number> {
    await undefined;
    return 0;
  }
  markRegion(region: Region): void {
    this.asked.push(`mark ${region}`);
  }
  clearRegion(region: Region): void {
    this.asked.push(`clear ${region}`);
  }
  async setRegionSync(region: Region, inSync: boolean): Promise<void> {
    this.asked.push(`set ${region} ${inSync}`);
  }
  async isRemoteRecovering(): Promise<boolean> {
    return this.remoteAnswers.shift() ?? false;
  }
}

async function start(): Promise<{ rig: MirrorRig; log: SlowLog }> {
  const log = new SlowLog();
  const rig = new MirrorRig({ logTypes: [log.type] });
  await rig.start('0 64 mirror slow 0 2 leg0 0 leg1 0');
  await rig.settle();
  log.asked.length = 0;
  rig.trace.length = 0;
  return { rig, log };
}

t.test('every read waits for the log, and then goes to the default leg', async (t) => {
  const { rig, log } = await start();
  const reads = [rig.read(0, 8), rig.read(40, 8), rig.read(44, 4)];
  await rig.settle();
  t.same(
    reads.map(({ result }) => result),
    [0, 0, 0],
  );
  t.same(log.asked, ['in-sync 0', 'in-sync 5'], 'one question for two reads of one region');
  t.same(rig.trace, ['leg0 read 0+8', 'leg0 read 40+8', 'leg0 read 44+4']);
});

t.test('writes ask together, are marked, and go to all legs', async (t) => {
  const { rig, log } = await start();
  const writes = [rig.write(0, 8, 1), rig.write(40, 4, 2), rig.write(44, 4, 3)];
  await rig.settle();
  t.same(
    writes.map(({ result }) => result),
    [0, 0, 0],
  );
  t.same(log.asked.slice(0, 6), [
    ...['in-sync 0', 'in-sync 5'],
    ...['in-sync 0', 'in-sync 5', 'mark 0', 'mark 5'],
  ]);
  t.equal(rig.trace.filter((line) => line.startsWith('leg1 write')).length, 3);
});

t.test('a log that says no, then yes: the write goes to all legs, marked', async (t) => {
  const { rig, log } = await start();
  log.inSyncAnswers.push(0, 1);
  const write = rig.write(40, 8, 1);
  await rig.settle();
  t.equal(write.result, 0);
  t.ok(log.asked.includes('mark 5'));
  t.same(rig.trace.slice(0, 2), ['leg0 write 40+8', 'leg1 write 40+8']);
});

t.test('a log that says yes, then no: the write goes to the default leg alone', async (t) => {
  const { rig, log } = await start();
  log.inSyncAnswers.push(1, 0);
  const write = rig.write(40, 8, 1);
  await rig.settle();
  t.equal(write.result, 0);
  t.notOk(log.asked.includes('mark 5'));
  t.same(rig.trace, ['leg0 write 40+8']);
});

t.test('a region that another node may copy: the write is tried again after 200 ms', async (t) => {
  const { rig, log } = await start();
  log.remoteAnswers.push(true, true);
  const from = rig.clock.now();
  const write = rig.write(40, 8, 1);
  await rig.clock.advance({ ended: () => false, untilMs: from + 399 });
  t.equal(write.result, null);
  t.same(rig.trace, [], 'no leg has seen a byte');
  await rig.clock.advance({ ended: () => false, untilMs: from + 401 });
  await rig.settle();
  t.equal(write.result, 0);
});

t.test('a suspend waits for a write that another node holds up', async (t) => {
  const { rig, log } = await start();
  log.remoteAnswers.push(true);
  const write = rig.write(40, 8, 1);
  await rig.perform(rig.device.suspend({ noflush: false }));
  t.equal(write.result, 0);
});
