/**
 * File systems of the running kernel, on the mirror by nbdfuse and a loop device: what was written
 * is there after a new mount, and *each leg alone* is a healthy file system with all of it.
 */

import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { LoopDevice, Mount, NbdFuse } from '../support/host-mounts.ts';
import { KIB, MIB, MirrorFiles } from '../support/mirror-files.ts';
import { mustRun } from '../support/run-program.ts';
import { requireRoot, requireTool } from '../support/tools.ts';

interface FileSystem {
  readonly type: string;
  readonly make: readonly string[];
  /** Checks a device or file that is not mounted, and changes nothing. */
  readonly check: readonly string[];
}

const FILE_SYSTEMS: readonly FileSystem[] = [
  { type: 'ext4', make: ['mkfs.ext4', '-qF'], check: ['e2fsck', '-fn'] },
  { type: 'xfs', make: ['mkfs.xfs', '-qf'], check: ['xfs_repair', '-n'] },
  { type: 'btrfs', make: ['mkfs.btrfs', '-qf'], check: ['btrfs', 'check', '--readonly'] },
];

/** mkfs.xfs makes none smaller. */
const SIZE = 320 * MIB;

for (const system of FILE_SYSTEMS) {
  t.test(`${system.type}: written through the mirror, whole on each leg alone`, async (t) => {
    if (!requireRoot(t)) return;
    if (!requireTool(t, 'nbdfuse', 'losetup', 'fusermount3', system.make[0]!, system.check[0]!)) {
      return;
    }
    const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: 512 * KIB });
    const server = await mirror.serve();
    const sums = await useFileSystem(t, system, mirror.directory, server.uri);
    await mirror.clean();
    await server.stop();
    t.strictSame(mirror.differing(), [], 'both legs are the same');
    for (const leg of mirror.legs) {
      await mustRun([...system.check, leg]);
      const loop = await LoopDevice.attach(t, leg, { readOnly: true });
      const mount = await Mount.at(t, loop.path, mirror.directory, ['-t', system.type, '-o', 'ro']);
      t.strictSame(readSums(mount.path, sums), sums, `${leg} has every file`);
      await mount.end();
      await loop.end();
    }
  });
}

/** Makes a file system, fills it, mounts it again and reads it; gives the sums of its files. */
async function useFileSystem(
  t: Test,
  system: FileSystem,
  directory: string,
  uri: string,
): Promise<Record<string, string>> {
  const fuse = await NbdFuse.attach(t, directory, uri);
  const loop = await LoopDevice.attach(t, fuse.file, { readOnly: false });
  await mustRun([...system.make, loop.path]);
  const sums: Record<string, string> = {};
  const first = await Mount.at(t, loop.path, directory, ['-t', system.type]);
  mkdirSync(join(first.path, 'folder'));
  for (const [name, size] of [
    ['large', 48 * MIB],
    ['small', 100],
    ['folder/odd', 3 * MIB + 7],
  ] as const) {
    const data = randomBytes(size);
    writeFileSync(join(first.path, name), data);
    sums[name] = sumOf(data);
  }
  await first.end();
  const second = await Mount.at(t, loop.path, directory, ['-t', system.type]);
  t.strictSame(readSums(second.path, sums), sums, 'every file is there after a new mount');
  await second.end();
  await loop.end();
  await fuse.end();
  return sums;
}

function readSums(place: string, sums: Record<string, string>): Record<string, string> {
  const names = Object.keys(sums);
  return Object.fromEntries(names.map((name) => [name, sumOf(readFileSync(join(place, name)))]));
}

function sumOf(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
