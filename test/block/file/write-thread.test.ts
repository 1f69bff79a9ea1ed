/** Large writes to files in memory: another thread makes them, and nobody notices. */

import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { EIO, OK } from '../../../src/base/errno.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../../../src/base/units.ts';
import { Bio } from '../../../src/block/bio.ts';
import { ThreadedWrites } from '../../../src/block/file/threaded-writes.ts';
import { RING_SLOTS } from '../../../src/block/file/write-ring.ts';
import { WriteThread } from '../../../src/block/file/write-thread.ts';
import { openDevice } from '../../../src/block/open-device.ts';
import { runBio } from '../../../src/block/run-bio.ts';
import { byEffort } from '../../support/effort.ts';
import { requireThat } from '../../support/tools.ts';

const SECTORS = 4096;
const LARGE = 256;
const TMPFS = 0x01021994;

/** A directory on a file system in memory. */
function memoryDir(t: Test): string | null {
  if (!requireThat(t, statfsSync('/dev/shm').type === TMPFS, '/dev/shm must be tmpfs')) return null;
  const directory = mkdtempSync('/dev/shm/nbd-mirror-test.');
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

t.test('writes of all sizes, all at once: in the end it is as if each had waited', async (t) => {
  const directory = memoryDir(t);
  if (directory === null) return;
  const path = join(directory, 'leg');
  const device = await openDevice(path, { readOnly: false, create: SECTORS * SECTOR_SIZE });
  t.teardown(() => device.close());
  const model = Buffer.alloc(SECTORS * SECTOR_SIZE);
  const write = fc.record({
    // Often to the same places, and as often small as large.
    sector: fc.integer({ min: 0, max: 15 }).map((part) => part * (LARGE / 2)),
    count: fc.oneof(fc.integer({ min: 1, max: LARGE - 1 }), fc.integer({ min: LARGE, max: 2048 })),
    fill: fc.integer({ min: 0, max: 255 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(write, { minLength: 2, maxLength: 24 }), async (writes) => {
      const ended = writes.map(({ sector, count, fill }) => {
        const size = Math.min(count, SECTORS - sector);
        const data = Buffer.alloc(size * SECTOR_SIZE, fill);
        data.copy(model, sector * SECTOR_SIZE);
        const place = { sector: sector as Sector, count: size as SectorCount };
        return runBio(device, { op: 'write', ...place, data });
      });
      const results = await Promise.all(ended);
      return results.every((result) => result === OK) && readFileSync(path).equals(model);
    }),
    { numRuns: byEffort({ quick: 20, standard: 30, full: 2000 }) },
  );
});

function byteFor(sector: number): number {
  return (sector / LARGE) & 0xff;
}

function largeWrite(sector: number, onEnd: (bio: Bio, result: number) => void): Bio {
  const data = new Uint8Array(LARGE * SECTOR_SIZE).fill(byteFor(sector));
  const count = LARGE as SectorCount;
  return new Bio({ op: 'write', sector: sector as Sector, count, data, fua: false, onEnd });
}

t.test('more than the ring has room for: each is made once', async (t) => {
  const directory = memoryDir(t);
  if (directory === null) return;
  const path = join(directory, 'file');
  const fd = openSync(path, 'w+');
  t.teardown(() => closeSync(fd));
  const writes = RING_SLOTS * 2 + 3;
  ftruncateSync(fd, writes * LARGE * SECTOR_SIZE);
  const thread = new WriteThread();
  t.teardown(() => thread.stop());
  const order: number[] = [];
  await new Promise<void>((resolve) => {
    for (let index = 0; index < writes; index++) {
      const bio = largeWrite(index * LARGE, (_bio, result) => {
        order.push(result === OK ? index : -1);
        if (order.length === writes) resolve();
      });
      thread.write(fd, bio, (ended, result) => ended.end(result ?? EIO));
    }
    t.equal(order.length, 0, 'nobody is called back from within');
  });
  t.same(order, [...order.keys()], 'in their order');
  const written = readFileSync(path);
  const isThere = [...order.keys()].every((index) => {
    const at = index * LARGE * SECTOR_SIZE;
    const byte = byteFor(index * LARGE);
    return written.subarray(at, at + LARGE * SECTOR_SIZE).every((one) => one === byte);
  });
  t.ok(isThere);
});

t.test('a thread that dies: what it had is made by somebody else, in order', async (t) => {
  const thread = new WriteThread(new URL('data:text/javascript,throw new Error("dead")'));
  const ended: string[] = [];
  const writes = new ThreadedWrites(-1, {
    thread,
    onEnd: () => ended.push('by the thread'),
    instead: (bio) => {
      ended.push(`instead, at ${bio.sector}`);
      bio.end(OK);
    },
  });
  const write = (sector: number, count: number): Promise<number> =>
    new Promise((resolve) => {
      const bio = largeWrite(sector, (_bio, result) => resolve(result));
      bio.count = count as SectorCount;
      t.equal(writes.takes(bio), true);
      writes.start(bio);
    });
  t.same(await Promise.all([write(0, LARGE), write(8, 8), write(LARGE, LARGE)]), [OK, OK, OK]);
  t.same(ended, ['instead, at 0', 'instead, at 8', `instead, at ${LARGE}`]);
  t.equal(writes.takes(largeWrite(0, () => undefined)), false, 'it is not given any more');
});

t.test('a thread that dies: a write that comes meanwhile follows those to its place', async (t) => {
  const thread = new WriteThread(new URL('data:text/javascript,throw new Error("dead")'));
  const made: number[] = [];
  await new Promise<void>((resolve) => {
    const start = (count: number): void => {
      const bio = largeWrite(0, () => {
        made.push(count);
        if (made.length === 1) start(LARGE + 2);
        if (made.length === 3) resolve();
      });
      bio.count = count as SectorCount;
      t.equal(writes.takes(bio), true);
      writes.start(bio);
    };
    const instead = (bio: Bio): void => bio.end(OK);
    const writes = new ThreadedWrites(-1, { thread, onEnd: () => undefined, instead });
    start(LARGE);
    start(LARGE + 1);
  });
  t.same(made, [LARGE, LARGE + 1, LARGE + 2], 'in the order in which they came');
});

t.test('a thread that cannot even begin is given nothing', async (t) => {
  // As where the system has no thread left: Node throws at once.
  const thread = new WriteThread(new URL('nowhere:'));
  const unused = (): void => void t.fail('nothing was given');
  const writes = new ThreadedWrites(-1, { thread, onEnd: unused, instead: unused });
  t.equal(writes.takes(largeWrite(0, unused)), false);
});
