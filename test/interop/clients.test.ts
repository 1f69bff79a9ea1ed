/** Other people's NBD clients see a disk that behaves, and leave two legs that are the same. */

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { KIB, MIB, MirrorFiles } from '../support/mirror-files.ts';
import { mustRun, runProgram } from '../support/run-program.ts';
import { requireTool } from '../support/tools.ts';

const SIZE = 64 * MIB;

/** A mirror in sync, and what has to hold when the clients have gone. */
async function withMirror(
  t: Test,
  use: (mirror: MirrorFiles, uri: string) => Promise<void>,
): Promise<void> {
  const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: 64 * KIB });
  const server = await mirror.serve();
  await use(mirror, server.uri);
  await mirror.clean();
  await server.stop();
  t.strictSame(mirror.differing(), [], 'both legs are the same');
}

/** Bytes that do not compress and do not repeat, with a hole in the middle. */
function patternImage(): Buffer {
  const image = randomBytes(SIZE);
  image.fill(0, SIZE / 4, SIZE / 2);
  return image;
}

t.test('nbdinfo: size, flags and block sizes', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  await withMirror(t, async (_mirror, uri) => {
    const info = JSON.parse(await mustRun(['nbdinfo', '--json', uri]));
    t.equal(info.protocol, 'newstyle-fixed');
    const [exported] = info.exports;
    t.match(exported, {
      'export-size': SIZE,
      is_read_only: false,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
    });
    t.equal(exported.block_size_minimum, 1);
    t.equal(exported.block_size_preferred, 4 * KIB);
    t.equal((await runProgram(['nbdinfo', '--can', 'write', uri])).status, 0);
    t.match(await mustRun(['nbdinfo', '--list', uri]), /export="":/);
  });
});

t.test('nbdcopy: an image goes in over several connections and comes out the same', async (t) => {
  if (!requireTool(t, 'nbdcopy')) return;
  await withMirror(t, async (mirror, uri) => {
    const image = patternImage();
    const source = join(mirror.directory, 'in.raw');
    const target = join(mirror.directory, 'out.raw');
    writeFileSync(source, image);
    await mustRun(['nbdcopy', '--flush', '--connections=4', '--requests=64', source, uri]);
    await mustRun(['nbdcopy', '--connections=4', uri, target]);
    t.ok(readFileSync(target).equals(image), 'what came out is what went in');
    for (const leg of mirror.legs) t.ok(readFileSync(leg).equals(image), `${leg} has it all`);
  });
});

t.test('qemu-io: patterns at odd places, zeroes, discards and FUA', async (t) => {
  if (!requireTool(t, 'qemu-io')) return;
  await withMirror(t, async (_mirror, uri) => {
    // Unaligned ones make qemu read, modify and write sectors.
    const commands = [
      ['write -P 0xa1 0 1M', 'read -P 0xa1 0 1M'],
      ['write -P 0xa2 65024 1024', 'read -P 0xa2 65024 1024', 'read -P 0xa1 66048 1000'],
      ['write -P 0xa3 12345 777', 'read -P 0xa3 12345 777', 'read -P 0xa1 13122 1000'],
      ['write -f -P 0xa4 2M 192K', 'read -P 0xa4 2M 192K'],
      ['write -z 3M 1M', 'read -P 0 3M 1M'],
      ['write -P 0xa5 3M 1M', 'write -z -u 3145728 1M', 'read -P 0 3M 1M'],
      ['write -P 0xa6 4M 1M', 'discard 4M 1M', 'write -P 0xa7 4M 1M', 'read -P 0xa7 4M 1M'],
      [`write -P 0xa8 ${SIZE - 512} 512`, `read -P 0xa8 ${SIZE - 512} 512`, 'flush'],
    ].flat();
    const args = commands.flatMap((command) => ['-c', command]);
    const output = await mustRun(['qemu-io', '-f', 'raw', ...args, uri]);
    t.notMatch(output, /verification failed|error/i);
    const beyond = await runProgram(['qemu-io', '-f', 'raw', '-c', `read ${SIZE} 512`, uri]);
    t.not(beyond.status, 0, 'a read behind the end is refused');
  });
});

t.test('qemu-img: convert in, compare, convert out', async (t) => {
  if (!requireTool(t, 'qemu-img')) return;
  await withMirror(t, async (mirror, uri) => {
    const source = join(mirror.directory, 'in.raw');
    writeFileSync(source, patternImage());
    await mustRun(['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', source, uri]);
    t.match(
      await mustRun(['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, uri]),
      /identical/,
    );
    const packed = join(mirror.directory, 'out.qcow2');
    await mustRun(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', uri, packed]);
    t.match(await mustRun(['qemu-img', 'compare', source, packed]), /identical/);
  });
});

t.test('fio: four jobs, each over a connection of its own, verify what they wrote', async (t) => {
  if (!requireTool(t, 'fio')) return;
  await withMirror(t, async (mirror, uri) => {
    const output = await mustRun([
      ...['fio', '--name=verify', '--ioengine=nbd', `--uri=${uri}`, '--output-format=json'],
      ...['--numjobs=4', '--size=16M', '--offset_increment=16M', '--rw=randwrite'],
      ...['--bssplit=512/10:4k/50:20k/20:192k/20', '--iodepth=16', '--fsync=50'],
      ...['--verify=crc32c', '--verify_fatal=1', '--randseed=7', `--aux-path=${mirror.directory}`],
    ]);
    const { jobs } = JSON.parse(output.slice(output.indexOf('{')));
    t.equal(jobs.length, 4);
    for (const job of jobs) {
      t.equal(job.error, 0);
      t.ok(job.read.total_ios > 0, 'what was written was read back');
    }
  });
});
