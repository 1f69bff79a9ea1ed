/**
 * What only the disk log does: the order of its transfers, its failures, and what it never writes.
 */

import fc from 'fast-check';
import t from 'tap';
import { EIO, ESHUTDOWN, OK } from '../../src/base/errno.ts';
import { toRegion } from '../../src/base/units.ts';
import type { DirtyLog } from '../../src/dirtylog/dirty-log.ts';
import { createDiskLogType, type DiskLogOptions } from '../../src/dirtylog/disk-log.ts';
import { encodeLogHeader, LOG_MAGIC, LOG_REGIONS_UNKNOWN } from '../../src/dirtylog/log-header.ts';
import { asInTable } from '../../src/dm/device-naming.ts';
import { FakeLegs, FakeTarget, LogDisk } from '../support/log-fixture.ts';

interface BedOptions {
  readonly regionCount?: number;
  readonly disk?: LogDisk;
  readonly word?: string | null;
  readonly late?: boolean;
  readonly logOptions?: DiskLogOptions;
}

interface Bed {
  readonly disk: LogDisk;
  readonly legs: FakeLegs;
  readonly target: FakeTarget;
  readonly log: DirtyLog;
}

const WHOLE = { wholeWriteBytesMax: 65536 };
const IN_PART = { wholeWriteBytesMax: 0 };

async function openLog(options: BedOptions = {}): Promise<Bed> {
  const { regionCount = 64, disk = new LogDisk({}), word = null, late = false } = options;
  disk.late = late;
  const legs = new FakeLegs();
  legs.late = late;
  const target = new FakeTarget(regionCount * 8, [disk]);
  const log = await createDiskLogType(options.logOptions ?? WHOLE).create({
    target,
    args: [disk.name, '8', ...(word === null ? [] : [word])],
    flushLegs: legs.flush,
  });
  return { disk, legs, target, log };
}

/** A resumed log with nothing left to say, its history empty. */
async function openSettled(options: BedOptions = {}): Promise<Bed> {
  const bed = await openLog({ word: 'nosync', ...options });
  await bed.log.resume();
  await bed.log.flush();
  bed.disk.history.length = 0;
  bed.target.points.length = 0;
  bed.legs.flushes = 0;
  return bed;
}

t.test('DiskLog: the device is untouched until the first resume', async (t) => {
  const { disk, log } = await openLog();
  t.same(disk.history, []);
  t.equal(await log.flush(), OK);
  await log.destroy();
  t.same(disk.history, []);
});

t.test('DiskLog.flush() writes and flushes marks, but only writes clears', async (t) => {
  const { disk, legs, target, log } = await openSettled();
  t.equal(log.flush(), OK);
  t.same(disk.history, [], 'nothing to say, nothing written');

  log.markRegion(toRegion(3));
  t.equal(log.flush(), OK, 'answered at once');
  t.same(disk.history, ['write 0+3', 'flush']);
  t.equal(legs.flushes, 0, 'a mark needs no leg flush');
  t.same(target.points, ['W3@3', 'W4@3', 'W5@3']);

  disk.history.length = 0;
  target.points.length = 0;
  log.clearRegion(toRegion(3));
  t.equal(log.flush(), OK);
  t.same(disk.history, ['write 0+3']);
  t.equal(legs.flushes, 1, 'the legs are flushed before a region is called clean');
  t.same(target.points, ['W3', 'W4', 'W12@3']);
});

t.test('DiskLog.flush() flushes the legs before the image is written', async (t) => {
  const { disk, log } = await openSettled();
  const order: string[] = [];
  const ordered = await createDiskLogType(WHOLE).create({
    target: new FakeTarget(64 * 8, [disk]),
    args: [disk.name, '8'],
    flushLegs: () => {
      order.push(`legs flushed before ${disk.history.length} transfers`);
      return OK;
    },
  });
  await log.postsuspend();
  await ordered.resume();
  ordered.markRegion(toRegion(0));
  ordered.clearRegion(toRegion(0));
  disk.history.length = 0;
  await ordered.flush();
  t.same(order, ['legs flushed before 0 transfers']);
  t.same(disk.history, ['write 0+3', 'flush'], 'marks are durable in a mixed flush');
});

t.test('DiskLog.flush() writes though only memory changed, as the kernel does', async (t) => {
  const { disk, legs, target, log } = await openLog();
  await log.resume();
  await log.flush();
  disk.history.length = 0;
  target.points.length = 0;
  t.equal(await log.getResyncWork(), 0);
  t.equal(await log.flush(), OK);
  t.same(disk.history, ['write 0+3'], 'handing out counts as cleaning');
  t.equal(legs.flushes, 1);
  log.clearRegion(toRegion(0));
  await log.setRegionSync(toRegion(0), true);
  await log.flush();
  t.same(disk.history.slice(1), ['write 0+3', 'flush'], 'a sync state counts as dirtying');
  t.same(target.points.slice(-2), ['W12@0', 'R5@0']);
  t.equal(await log.inSync(toRegion(0)), 1);
});

t.test('DiskLog.resume() reaches the points of an activation in order', async (t) => {
  const { target, log } = await openLog();
  await log.resume();
  t.same(target.points, ['A0', 'A1', 'A2', 'A3', 'A4']);
});

t.test('DiskLog: a failed leg flush makes all regions dirty, for life', async (t) => {
  const contents = new Uint8Array(1536).fill(0xff);
  encodeLogHeader({ magic: LOG_MAGIC, version: 2, regionCount: 64n }, contents);
  const synced = new LogDisk({ contents });
  const { disk, legs, target, log } = await openSettled({ disk: synced, word: null });
  t.equal(await log.getSyncCount(), 64);
  legs.result = EIO;
  log.markRegion(toRegion(9));
  log.clearRegion(toRegion(9));
  t.equal(log.flush(), OK, 'the log itself works');
  t.equal(target.events, 0);
  t.ok(disk.durable.subarray(1024, 1032).every((byte) => byte === 0));
  t.match(target.lines.at(-1), { message: /leg cannot flush/, fields: { result: 'EIO' } });
  legs.result = OK;
  for (const when of ['later', 'after a resume'] as const) {
    log.clearRegion(toRegion(9));
    t.equal(await log.isClean(toRegion(9)), false, when);
    await log.postsuspend();
    await log.resume();
  }
  t.equal(await log.getSyncCount(), 0, 'the dirty regions are out of sync after a resume');
});

t.test('DiskLog: failures of the device: letter, event once, marks not forgotten', async (t) => {
  for (const late of [false, true]) {
    const { disk, target, log } = await openSettled({ late });
    log.markRegion(toRegion(1));
    disk.failing.add('write');
    t.equal(await log.flush(), EIO);
    t.equal(await log.flush(), EIO, 'still to be written');
    t.equal(await log.status('info', asInTable), '3 disk 254:64 D');
    t.equal(target.events, 1);
    disk.failing.clear();
    disk.failing.add('flush');
    t.equal(await log.flush(), EIO, 'written, but not durable');
    t.equal(await log.status('info', asInTable), '3 disk 254:64 F');
    t.equal(target.events, 1, 'the second failure raises no event');
    disk.failing.clear();
    t.equal(await log.flush(), OK);
    t.equal(disk.durable[1024], 0xfd);
    t.equal(await log.status('info', asInTable), '3 disk 254:64 F', 'letters do not heal');
    log.markRegion(toRegion(1));
    disk.failing.add('write');
    t.equal(await log.flush(), EIO);
    t.equal(await log.status('info', asInTable), '3 disk 254:64 F', 'F hides D');
    disk.failing.clear();
    await log.flush();
    disk.history.length = 0;
    t.equal(await log.flush(), OK);
    t.same(disk.history, [], 'now it is said');
  }
});

t.test('DiskLog: a retired log writes nothing and does not claim to', async (t) => {
  const { disk, target, log } = await openSettled();
  t.equal(await log.postsuspend(), OK);
  log.markRegion(toRegion(1));
  disk.history.length = 0;
  t.equal(await log.flush(), ESHUTDOWN);
  t.same(disk.history, []);
  await log.destroy();
  t.equal(target.heldCount, 0);
  await t.rejects(log.destroy(), /destroyed twice/);
});

t.test('DiskLog: sync and nosync are applied again at every resume', async (t) => {
  const { log } = await openSettled();
  log.markRegion(toRegion(1));
  await log.setRegionSync(toRegion(1), false);
  await log.postsuspend();
  await log.resume();
  t.equal(await log.getSyncCount(), 64, 'nosync throws the dirty region away');
  const { log: synced, disk } = await openSettled({ word: 'sync' });
  synced.clearRegion(toRegion(0));
  await synced.setRegionSync(toRegion(0), true);
  await synced.postsuspend();
  t.equal(disk.bytes[1024], 1);
  await synced.resume();
  t.equal(await synced.getSyncCount(), 0, 'sync throws the clean region away');
});

t.test('DiskLog: the header counts 64 bits, of which 32 are believed', async (t) => {
  for (const [stored, inSync] of [
    [LOG_REGIONS_UNKNOWN, 64],
    [2n ** 32n, 0],
    [2n ** 32n + 10n, 10],
    [10n, 10],
  ] as const) {
    const contents = new Uint8Array(1536).fill(0xff);
    encodeLogHeader({ magic: LOG_MAGIC, version: 2, regionCount: stored }, contents);
    const { log, disk } = await openLog({ disk: new LogDisk({ contents }) });
    await log.resume();
    t.equal(await log.getSyncCount(), inSync, `${stored} regions stored`);
    t.equal(disk.bytes[16], 0xff, 'what belongs to nobody stays');
    t.equal(disk.bytes[8], 64);
  }
});

t.test(
  'DiskLog: after a failed first read the header says nothing, next time all is new',
  async (t) => {
    const disk = new LogDisk({});
    disk.failing.add('read');
    const first = await openLog({ disk });
    t.equal(await first.log.resume(), OK, 'it could be written');
    t.equal(await first.log.status('info', asInTable), '3 disk 254:64 D');
    first.log.clearRegion(toRegion(0));
    await first.log.postsuspend();
    disk.failing.clear();
    const second = await openLog({ disk });
    await second.log.resume();
    t.equal(await second.log.getSyncCount(), 0);
  },
);

t.test('DiskLog: the count of regions in sync rises with every call', async (t) => {
  const { log } = await openSettled();
  await log.setRegionSync(toRegion(0), true);
  t.equal(await log.getSyncCount(), 65, 'as in the kernel');
});

t.test('DiskLog: padding makes the flush after a resume write', async (t) => {
  const { disk, log } = await openSettled({ regionCount: 13 });
  await log.postsuspend();
  const again = await openLog({ regionCount: 13, disk });
  await again.log.resume();
  disk.history.length = 0;
  await again.log.flush();
  t.same(disk.history, ['write 0+3', 'flush'], 'padding was cleared, which counts as dirtying');
});

t.test('DiskLog: nothing may change while a flush is under way', async (t) => {
  const { log } = await openSettled({ late: true });
  log.markRegion(toRegion(0));
  const flushing = log.flush();
  t.throws(() => log.markRegion(toRegion(1)), /during a log flush/);
  t.throws(() => log.clearRegion(toRegion(1)), /during a log flush/);
  t.throws(() => log.flush(), /during a flush/);
  t.equal(log.inSyncNow(toRegion(1)), 1, 'questions are answered');
  t.equal(await flushing, OK);
});

t.test('DiskLog in part: only blocks that changed are written', async (t) => {
  const regionCount = 512 * 8 * 10;
  const { disk, log } = await openSettled({ regionCount, logOptions: IN_PART });
  log.markRegion(toRegion(0));
  await log.flush();
  t.same(disk.history.splice(0), ['write 2+1', 'flush']);
  log.markRegion(toRegion(4096));
  log.markRegion(toRegion(3 * 4096 + 4095));
  await log.flush();
  t.same(disk.history.splice(0), ['write 3+3', 'flush']);
  await log.setRegionSync(toRegion(5), false);
  await log.flush();
  t.same(disk.history.splice(0), ['write 0+1', 'flush'], 'a failed device is noticed still');
  for (const op of ['write', 'flush'] as const) {
    log.markRegion(toRegion(1));
    disk.failing.add(op);
    t.equal(log.flush(), EIO);
    disk.failing.clear();
    disk.history.length = 0;
    t.equal(log.flush(), OK);
    t.same(disk.history.splice(0), ['write 0+12', 'flush'], `whole after a failed ${op}`);
  }
});

t.test('DiskLog in part: the device holds what a whole write leaves there', async () => {
  const operation = fc.record({
    kind: fc.constantFrom('mark', 'clear', 'sync', 'flush', 'flush', 'resume', 'legs-fail'),
    at: fc.nat(9999),
    failing: fc.constantFrom(null, null, null, null, 'write' as const, 'flush' as const),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 40, size: 'max' }),
      fc.constantFrom(512, 1024, 4096),
      async (operations, blockSize) => {
        const beds = await Promise.all(
          [WHOLE, IN_PART].map((logOptions) => {
            const disk = new LogDisk({ bytes: 16384, blockSize });
            return openSettled({ regionCount: 10_000, disk, logOptions });
          }),
        );
        for (const { kind, at, failing } of operations) {
          const results: number[] = [];
          for (const { log, disk, legs } of beds) {
            if (failing !== null) disk.failing.add(failing);
            if (kind === 'legs-fail') legs.result = EIO;
            if (kind === 'mark') log.markRegion(toRegion(at));
            else if (kind === 'clear') log.clearRegion(toRegion(at));
            else if (kind === 'sync') await log.setRegionSync(toRegion(at), at % 2 === 0);
            else if (kind === 'flush') results.push(await log.flush());
            else if (kind === 'resume') results.push(await log.postsuspend(), await log.resume());
            disk.failing.clear();
          }
          const [whole, inPart] = beds;
          const half = results.length / 2;
          if (String(results.slice(0, half)) !== String(results.slice(half))) {
            throw new Error(`results differ: ${results}`);
          }
          if (Buffer.compare(whole!.disk.bytes, inPart!.disk.bytes) !== 0) {
            throw new Error(`bytes differ after ${kind} ${at}`);
          }
        }
      },
    ),
    { numRuns: 150 },
  );
});
