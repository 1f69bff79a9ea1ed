/**
 * Legs and a disk log change hands between a real kernel's mirror and ours, in both directions,
 * while regions are dirty: whoever takes over copies exactly what the log demands, from the first
 * leg.
 */

import { closeSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import t from 'tap';
import { requireKernelVm, runGuest } from '../support/kernel-vm.ts';
import { readCleanBits, SECTOR } from '../support/log-file.ts';
import { KIB, MIB, MirrorFiles } from '../support/mirror-files.ts';
import { ServerProcess } from '../support/server-process.ts';

const SIZE = 32 * MIB;
const REGION = 512 * KIB;
const REGIONS = SIZE / REGION;
const REGION_SECTORS = REGION / SECTOR;

/** A byte that nobody else writes, put into one leg behind the mirror's back. */
function plant(leg: string, region: number): void {
  const file = openSync(leg, 'r+');
  writeSync(file, Buffer.alloc(SECTOR, 0xee), 0, SECTOR, region * REGION + 17 * SECTOR);
  closeSync(file);
}

function dirtyRegions(log: string): number[] {
  return readCleanBits(log).flatMap((clean, region) => (clean ? [] : [region]));
}

function makeEmpty(path: string, bytes: number): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, bytes);
}

/**
 * Writes into regions 5, 9 and 10 (one write across both) and 63 reach the first leg only: the
 * second stands behind a suspended device. Then the power goes.
 */
const LEAVE_DIRTY = `
sectors=$(blockdev --getsz /dev/vda)
dmsetup create slow --table "0 $sectors linear /dev/vdb 0"
legs='2 /dev/vda 0 /dev/mapper/slow 0'
dmsetup create m --table \\
  "0 $sectors mirror disk 3 /dev/vdc ${REGION_SECTORS} nosync $legs 1 handle_errors"
dmsetup suspend --noflush --nolockfs slow
write() { # SECTOR
  dd if=/dev/urandom of=/dev/mapper/m bs=64K count=1 seek=$(($1 * 512)) \\
    oflag=direct,seek_bytes iflag=fullblock status=none &
}
write $((5 * ${REGION_SECTORS} + 8))
write $((10 * ${REGION_SECTORS} - 32))
write $((64 * ${REGION_SECTORS} - 128))
# What has to be on the first leg is there when its bytes are no zeros any more.
on_first_leg() { # SECTOR
  dd if=/dev/vda bs=512 skip=$1 count=1 iflag=direct status=none | tr -d '\\0' | grep -q .
}
for sector in $((5 * ${REGION_SECTORS} + 8)) $((10 * ${REGION_SECTORS} - 32)) \\
  $((10 * ${REGION_SECTORS})) $((64 * ${REGION_SECTORS} - 128)); do
  until on_first_leg $sector; do sleep 0.1; done
done
dmsetup status m
powercut 42`;

t.test(
  'a real kernel lost power while regions were dirty: ours copies exactly these',
  async (t) => {
    if (!requireKernelVm(t)) return;
    const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: REGION });
    const [first, second] = mirror.legs;
    for (const leg of mirror.legs) makeEmpty(leg, SIZE);
    makeEmpty(mirror.log, MIB);
    const { status, output } = await runGuest(t, {
      script: LEAVE_DIRTY,
      disks: [first, second, mirror.log],
    });
    t.equal(status, 42, output);
    t.strictSame(dirtyRegions(mirror.log), [5, 9, 10, 63], 'what the kernel left in the log');
    t.strictSame(mirror.differing(), [5, 9, 10, 63], 'and on the legs');

    // A difference that the log does not know of must stay: only what the log demands is copied.
    plant(second, 3);
    const before = readFileSync(first);
    const table =
      `0 ${SIZE / SECTOR} mirror disk 2 ${mirror.log} ${REGION_SECTORS} ` +
      `2 ${first} 0 ${second} 0 1 handle_errors`;
    const server = await ServerProcess.start(t, {
      directory: mirror.directory,
      args: ['--table', table],
    });
    await mirror.clean();
    await server.stop();
    t.strictSame(mirror.differing(), [3], 'the dirty regions were copied, and nothing else');
    t.ok(readFileSync(first).equals(before), 'from the first leg');
    t.equal(readCleanBits(mirror.log).length, REGIONS);
  },
);

/** Assembles the mirror as it is, waits until it is in sync, and takes it down. */
const TAKE_OVER = `
sectors=$(blockdev --getsz /dev/vda)
dmsetup create m --table \\
  "0 $sectors mirror disk 2 /dev/vdc ${REGION_SECTORS} 2 /dev/vda 0 /dev/vdb 0 1 handle_errors"
until dmsetup status m | grep -q ' ${REGIONS}/${REGIONS} '; do sleep 0.1; done
dmsetup status m
dmsetup remove m`;

t.test('ours is killed while regions are dirty: a real kernel copies exactly these', async (t) => {
  if (!requireKernelVm(t)) return;
  const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: REGION });
  const regions = [2, 3, 20, 21, 40, 62];
  await killUnderLoad(mirror, regions);
  t.strictSame(mirror.uncovered(), [], 'the log covers every difference between the legs');
  const dirty = dirtyRegions(mirror.log);
  t.strictSame(dirty, regions);

  // As a write that reached one leg only; and one in a clean region that must not be copied.
  for (const region of [...dirty, 50]) plant(mirror.legs[1], region);
  const before = readFileSync(mirror.legs[0]);
  const { status, output } = await runGuest(t, {
    script: TAKE_OVER,
    disks: [...mirror.legs, mirror.log],
  });
  t.equal(status, 0, output);
  t.match(output, `${REGIONS}/${REGIONS} 1 AA 3 disk`);
  t.strictSame(mirror.differing(), [50], 'the dirty regions were copied, and nothing else');
  t.ok(readFileSync(mirror.legs[0]).equals(before), 'from the first leg');
  t.strictSame(dirtyRegions(mirror.log), []);
});

/**
 * Starts the server, lets it recover, and kills it while it is writing to these regions. Marks
 * outlive their writes by an hour, or the kill could meet a moment without a write.
 */
async function killUnderLoad(mirror: MirrorFiles, regions: readonly number[]): Promise<void> {
  const server = await mirror.serve('--clear-delay', '3600000');
  await mirror.clean();
  const client = await server.connect();
  let left = 300;
  const write = async (region: number): Promise<void> => {
    for (let count = 0; ; count++) {
      await client.write(region * REGION + (count % 8) * 64 * KIB, Buffer.alloc(64 * KIB, count));
      left -= 1;
      if (left === 0) void server.kill();
    }
  };
  await Promise.allSettled(regions.map(write));
  await server.kill();
}
