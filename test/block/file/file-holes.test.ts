/** What files know of their holes, on a disk and in memory. */

import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { OK } from '../../../src/base/errno.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../../../src/base/units.ts';
import { allocationOf } from '../../../src/block/allocation.ts';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { openDevice } from '../../../src/block/open-device.ts';
import { runBio } from '../../../src/block/run-bio.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { requireThat } from '../../support/tools.ts';

const MIB = 2 ** 20;
const KIB = 1024;

/** A directory in memory, which the test removes. */
function memoryDir(t: Test): string | null {
  if (!requireThat(t, existsSync('/dev/shm'), '/dev/shm is not there')) return null;
  const directory = mkdtempSync('/dev/shm/nbd-mirror-test-');
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function sparseFile(t: Test, path: string, bytes: number): Promise<BlockDevice> {
  writeFileSync(path, '');
  truncateSync(path, bytes);
  const device = await openDevice(path, { readOnly: false });
  t.teardown(() => device.close());
  return device;
}

async function write(device: BlockDevice, offset: number, data: Uint8Array): Promise<void> {
  const range = { sector: (offset / SECTOR_SIZE) as Sector, count: sectors(data.length) };
  const result = await runBio(device, { op: 'write', ...range, data });
  if (result !== OK) throw new Error(`write: ${result}`);
}

function sectors(bytes: number): SectorCount {
  return (bytes / SECTOR_SIZE) as SectorCount;
}

/** "hole" and "data" with their bytes, neighbours joined. */
function runs(device: BlockDevice, from = 0, until = device.sizeSectors * SECTOR_SIZE): string[] {
  const found: { word: string; bytes: number }[] = [];
  for (let at = from; at < until; ) {
    const sector = (at / SECTOR_SIZE) as Sector;
    const { count, zero, hole } = allocationOf(device, sector, sectors(until - at));
    const word = hole && zero ? 'hole' : zero ? 'zero' : 'data';
    const bytes = count * SECTOR_SIZE;
    if (found.at(-1)?.word === word) found.at(-1)!.bytes += bytes;
    else found.push({ word, bytes });
    at += bytes;
  }
  return found.map(({ word, bytes }) => `${word} ${bytes / KIB}`);
}

for (const [where, makeDirectory] of [
  ['on a disk', tempDir],
  ['in memory', memoryDir],
] as const) {
  t.test(`a file ${where} knows its holes`, async (t) => {
    const directory = makeDirectory(t);
    if (directory === null) return;
    const device = await sparseFile(t, join(directory, 'leg'), 8 * MIB);
    t.same(runs(device), ['hole 8192']);
    await write(device, MIB, Buffer.alloc(256 * KIB, 1));
    await write(device, 5 * MIB, Buffer.alloc(4 * KIB));
    // Zeros that were written are data like any other.
    const expected = ['hole 1024', 'data 256', 'hole 3840', 'data 4', 'hole 3068'];
    t.same(runs(device), expected);
    t.same(runs(device), expected, 'and again, now that it knows some');
    t.same(runs(device, MIB + 4 * KIB, 3 * MIB), ['data 252', 'hole 1792'], 'a part of them');
    await write(device, 8 * MIB - 512, Buffer.alloc(512, 1));
    t.same(runs(device, 7 * MIB), ['hole 1020', 'data 4'], 'a whole page is data');
  });

  t.test(`a file ${where} forgets data that were discarded`, async (t) => {
    const directory = makeDirectory(t);
    if (directory === null) return;
    const device = await sparseFile(t, join(directory, 'leg'), 4 * MIB);
    if (!requireThat(t, device.capabilities.discard, `no holes can be punched ${where}`)) return;
    await write(device, 0, Buffer.alloc(4 * MIB, 1));
    t.same(runs(device), ['data 4096']);
    const middle = { sector: sectors(MIB) as number as Sector, count: sectors(2 * MIB) };
    t.equal(await runBio(device, { op: 'discard', ...middle }), OK);
    t.same(runs(device), ['data 1024', 'hole 2048', 'data 1024']);
  });

  t.test(`a file ${where} that was cut off claims nothing of what it lost`, async (t) => {
    const directory = makeDirectory(t);
    if (directory === null) return;
    const path = join(directory, 'leg');
    const device = await sparseFile(t, path, 4 * MIB);
    truncateSync(path, MIB);
    t.same(runs(device), ['hole 1024', 'data 3072'], 'a read behind the end fails');
  });
}

t.test('a question about a file in memory costs little, however much it holds', async (t) => {
  const directory = memoryDir(t);
  if (directory === null) return;
  const device = await sparseFile(t, join(directory, 'leg'), 64 * MIB);
  await write(device, 0, Buffer.alloc(48 * MIB, 1));
  const { count, zero } = allocationOf(device, 0 as Sector, device.sizeSectors);
  t.notOk(zero);
  t.equal(count * SECTOR_SIZE, 16 * MIB, 'it looks so far, and no further');
  t.same(runs(device), ['data 49152', 'hole 16384']);
});
