/** What only files have: ends that move, disks that fill up, holes, and a real fdatasync. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { EIO, ENOSPC, EROFS, OK } from '../../../src/base/errno.ts';
import { Prng } from '../../../src/base/prng.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../../../src/base/units.ts';
import { Bio, type BioOp } from '../../../src/block/bio.ts';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { FileDevice } from '../../../src/block/file/file-device.ts';
import type { AioPolicy } from '../../../src/block/file/lane.ts';
import {
  identifyDevice,
  type OpenDeviceOptions,
  openDevice,
} from '../../../src/block/open-device.ts';
import { runBio } from '../../../src/block/run-bio.ts';
import { SystemClock } from '../../../src/daemon/system-clock.ts';
import { UnderlyingDevices } from '../../../src/dm/underlying-devices.ts';
import { FaultBoard } from '../../../src/fault/fault-board.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { requireRoot, requireThat } from '../../support/tools.ts';

const MIB = 2 ** 20;
const LANES: readonly AioPolicy[] = ['auto', 'inline', 'pool'];

async function openFile(
  t: Test,
  path: string,
  options: Partial<OpenDeviceOptions> = {},
): Promise<FileDevice> {
  const device = await openDevice(path, { readOnly: false, ...options });
  t.teardown(() => device.close());
  if (!(device instanceof FileDevice)) throw new Error('not a file device');
  return device;
}

function transfer(
  device: BlockDevice,
  op: BioOp,
  place: { sector: number; count: number; fill?: number; fua?: boolean },
): Promise<{ result: number; detail: string | null; data: Uint8Array | null }> {
  const hasData = op === 'read' || op === 'write';
  const data = hasData ? new Uint8Array(place.count * SECTOR_SIZE).fill(place.fill ?? 0xee) : null;
  return new Promise((resolve) => {
    device.submit(
      new Bio({
        op,
        sector: place.sector as Sector,
        count: place.count as SectorCount,
        data,
        fua: place.fua ?? false,
        onEnd: (bio, result) => resolve({ result, detail: bio.detail, data }),
      }),
    );
  });
}

for (const aio of LANES) {
  t.test(`FileDevice, ${aio}: a read of what was cut off is EIO, not zeros`, async (t) => {
    const path = join(tempDir(t), 'leg.img');
    writeFileSync(path, Buffer.alloc(MIB, 7));
    const device = await openFile(t, path, { aio });
    truncateSync(path, MIB / 2 + 1024);
    const half = MIB / 2 / SECTOR_SIZE;
    const across = await transfer(device, 'read', { sector: half - 8, count: 16 });
    t.equal(across.result, EIO);
    t.match(across.detail, /Read of 16 sectors at 1016 of ".*leg.img" failed with EIO/);
    t.equal((await transfer(device, 'read', { sector: half + 8, count: 8 })).result, EIO);
    const before = await transfer(device, 'read', { sector: half - 8, count: 8 });
    t.equal(before.result, OK, 'what is left is read as before');
    t.ok(before.data!.every((byte) => byte === 7));
  });

  t.test(`FileDevice, ${aio}: a full disk is ENOSPC for whoever finds no room`, async (t) => {
    const disk = smallDisk(t);
    if (disk === null) return;
    const path = join(disk, 'leg.img');
    const device = await openFile(t, path, { aio, create: 8 * MIB });
    const results: number[] = [];
    for (let sector = 0; sector < device.sizeSectors; sector += 256) {
      const { result } = await transfer(device, 'write', { sector, count: 256, fill: 1 });
      results.push(result);
    }
    const room = results.indexOf(ENOSPC);
    t.ok(room > 0, `the first ${room} writes of 128 KiB had room`);
    t.ok(results.slice(0, room).every((result) => result === OK));
    t.ok(results.slice(room).every((result) => result === ENOSPC));
    const written = await transfer(device, 'read', { sector: 0, count: 256 });
    t.ok(
      written.data!.every((byte) => byte === 1),
      'what was written is there',
    );
    t.equal((await transfer(device, 'discard', { sector: 0, count: 1024 })).result, OK);
    const again = await transfer(device, 'write', { sector: 8192, count: 256 });
    t.equal(again.result, OK, 'a discard makes room');
  });
}

/** A file system of 2 MiB; null where none can be mounted. */
function smallDisk(t: Test): string | null {
  if (!requireRoot(t)) return null;
  const path = join(tempDir(t), 'small');
  mkdirSync(path);
  let isMounted = true;
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'small', path], { stdio: 'ignore' });
  } catch {
    isMounted = false;
  }
  if (!requireThat(t, isMounted, 'tmpfs cannot be mounted')) return null;
  t.teardown(() => execFileSync('umount', ['--lazy', path]));
  return path;
}

t.test('FileDevice gives discarded and zeroed ranges back to the file system', async (t) => {
  const path = join(tempDir(t), 'leg.img');
  writeFileSync(path, Buffer.alloc(4 * MIB, 7));
  const device = await openFile(t, path);
  t.match(device.capabilities, { discard: true, writeZeroes: true, readOnly: false });
  const before = statSync(path).blocks;
  const half = (2 * MIB) / SECTOR_SIZE;
  t.equal((await transfer(device, 'discard', { sector: 0, count: half })).result, OK);
  const zeroed = { sector: half, count: half / 2, fua: true };
  t.equal((await transfer(device, 'write-zeroes', zeroed)).result, OK);
  t.equal(statSync(path).blocks, before / 4, 'three quarters are holes');
  t.equal(statSync(path).size, 4 * MIB, 'the size stays');
  t.ok((await transfer(device, 'read', zeroed)).data!.every((byte) => byte === 0));
  const kept = await transfer(device, 'read', { sector: half + half / 2, count: 8 });
  t.ok(kept.data!.every((byte) => byte === 7));
});

t.test('FileDevice.nextDataSector() skips holes', async (t) => {
  const path = join(tempDir(t), 'leg.img');
  const device = await openFile(t, path, { create: 8 * MIB });
  const end = (8 * MIB) / SECTOR_SIZE;
  t.equal(device.nextDataSector(0 as Sector), end, 'nothing but a hole');
  await transfer(device, 'write', { sector: 4096, count: 8 });
  t.equal(device.nextDataSector(0 as Sector), 4096);
  t.equal(device.nextDataSector(4100 as Sector), 4100);
  t.equal(device.nextDataSector(5000 as Sector), end);
});

t.test('FileDevice opened read-only refuses every change', async (t) => {
  const path = join(tempDir(t), 'leg.img');
  writeFileSync(path, Buffer.alloc(MIB, 7));
  const device = await openFile(t, path, { readOnly: true });
  t.match(device.capabilities, { discard: false, writeZeroes: false, readOnly: true });
  for (const op of ['write', 'discard', 'write-zeroes'] as const) {
    t.equal((await transfer(device, op, { sector: 0, count: 8 })).result, EROFS, op);
  }
  t.equal(await runBio(device, { op: 'flush' }), OK);
  t.ok((await transfer(device, 'read', { sector: 0, count: 8 })).data!.every((byte) => byte === 7));
});

t.test('FileDevice answers at once in the page cache, and a flush of storage later', async (t) => {
  const inMemory = await openFile(t, join(tempDir(t), 'leg.img'), { create: MIB });
  t.equal(runBio(inMemory, { op: 'flush' }), OK, 'tmpfs has nothing to sync');
  const device = await openFile(t, join(t.testdir(), 'leg.img'), { create: MIB });
  const data = new Uint8Array(4096);
  const place = { sector: 0 as Sector, count: 8 as SectorCount, data };
  t.equal(runBio(device, { op: 'write', ...place }), OK);
  t.equal(runBio(device, { op: 'read', ...place }), OK);
  const flush = runBio(device, { op: 'flush' });
  const durable = runBio(device, { op: 'write', ...place, fua: true });
  t.ok(flush instanceof Promise && durable instanceof Promise, 'fdatasync takes its time');
  t.strictSame(await Promise.all([flush, durable]), [OK, OK]);
});

t.test('FileDevice serves only whole sectors of a file of odd size', async (t) => {
  const path = join(tempDir(t), 'leg.img');
  writeFileSync(path, Buffer.alloc(1500, 7));
  const device = await openFile(t, path);
  t.equal(device.sizeSectors, 2);
  t.throws(() => device.submit(flushLike(2)), /range must lie inside 2 sectors/);
});

t.test('A file that has grown is as large as it is for whoever asks for it again', async (t) => {
  const path = join(tempDir(t), 'leg.img');
  writeFileSync(path, Buffer.alloc(MIB));
  const faults = new FaultBoard(new SystemClock());
  const devices = new UnderlyingDevices({
    identify: identifyDevice,
    open: async (name) => faults.wrap(name, await openDevice(name, { readOnly: false })),
  });
  const device = await devices.get(path);
  truncateSync(path, 2 * MIB);
  t.equal(device.sizeSectors, MIB / SECTOR_SIZE, 'nobody has asked');
  t.equal(await devices.get(path), device);
  const sectors = (2 * MIB) / SECTOR_SIZE;
  t.equal(device.sizeSectors, sectors);
  const last = await transfer(device, 'write', { sector: sectors - 1, count: 1, fill: 5 });
  t.equal(last.result, OK);
  truncateSync(path, MIB);
  t.equal(await devices.get(path), device);
  t.equal(device.sizeSectors, sectors, 'tables count on what they have');
  const lost = await transfer(device, 'read', { sector: sectors - 1, count: 1 });
  t.equal(lost.result, EIO);
  for (let users = 0; users < 3; users++) await devices.put(device);
});

function flushLike(sector: number): Bio {
  return new Bio({
    op: 'read',
    sector: sector as Sector,
    count: 1 as SectorCount,
    data: new Uint8Array(SECTOR_SIZE),
    fua: false,
    onEnd: () => {},
  });
}

t.test('FileDevice reads inline what is cached, and by the pool what is not', async (t) => {
  const path = join(tempDir(t), 'leg.img');
  writeFileSync(path, Buffer.alloc(MIB, 9));
  // Nothing of it stays in the page cache, where the file system has one.
  execFileSync('dd', [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], {
    stdio: 'ignore',
  });
  const device = await openFile(t, path, { now: () => performance.now() });
  for (const round of ['cold', 'cached']) {
    let inline = false;
    const reading = transfer(device, 'read', { sector: 64, count: 8 }).then((outcome) => {
      t.equal(outcome.result, OK, round);
      t.ok(
        outcome.data?.every((byte) => byte === 9),
        `${round}: what was written`,
      );
    });
    device.submit(
      new Bio({
        op: 'read',
        sector: 64 as Sector,
        count: 8 as SectorCount,
        data: new Uint8Array(8 * SECTOR_SIZE),
        fua: false,
        onEnd: () => {
          inline = true;
        },
      }),
    );
    if (round === 'cached') t.ok(inline, 'what was just read does not wait');
    await reading;
  }
});

t.test('FileDevice gives ranges back one after the other, and reads zeros then', async (t) => {
  const path = join(tempDir(t), 'leg.img');
  writeFileSync(path, Buffer.alloc(MIB, 9));
  const device = await openFile(t, path);
  if (!requireThat(t, device.capabilities.discard, 'a file system that can punch holes')) return;
  const ranges = Array.from({ length: 16 }, (_, index) => ({ sector: index * 64, count: 32 }));
  const outcomes = await Promise.all(ranges.map((place) => transfer(device, 'discard', place)));
  t.same(new Set(outcomes.map(({ result }) => result)), new Set([OK]));
  const { data } = await transfer(device, 'read', { sector: 0, count: 1024 });
  const expected = Buffer.alloc(1024 * SECTOR_SIZE, 9);
  for (const { sector, count } of ranges) {
    expected.fill(0, sector * SECTOR_SIZE, (sector + count) * SECTOR_SIZE);
  }
  t.ok(expected.equals(data!), 'only what was given back is gone');
});

t.test('FileDevice carries out writes to one place in the order of their coming', async (t) => {
  // Two devices as two legs: small writes are inline, large ones go to the pool, in any mixture.
  const prng = new Prng('one place');
  const paths = ['a.img', 'b.img'].map((name) => join(tempDir(t), name));
  for (const path of paths) writeFileSync(path, Buffer.alloc(4 * MIB));
  const policies: readonly AioPolicy[] = ['auto', 'pool'];
  const devices = await Promise.all(
    paths.map((path, leg) => openFile(t, path, { aio: policies[leg]! })),
  );
  const writes: Promise<unknown>[] = [];
  for (let round = 1; round <= 400; round++) {
    const count = prng.pick([1, 8, 64, 128, 512, 4100]);
    const sector = prng.between(0, 8192 - count);
    for (const device of devices) {
      const bio = (onEnd: (result: number) => void): Bio => {
        const data = new Uint8Array(count * SECTOR_SIZE).fill(round);
        const place = { sector: sector as Sector, count: count as SectorCount };
        const made = new Bio({
          ...{ op: 'write', ...place, data, fua: false },
          onEnd: (_bio, result) => onEnd(result),
        });
        return made;
      };
      writes.push(new Promise((resolve) => device.submit(bio(resolve))));
    }
    if (prng.chance(1, 8)) await Promise.race(writes.slice(-8));
  }
  t.same(new Set(await Promise.all(writes)), new Set([OK]));
  const [first, second] = paths.map((path) => readFileSync(path));
  t.ok(first!.equals(second!), 'both hold the same');
});
