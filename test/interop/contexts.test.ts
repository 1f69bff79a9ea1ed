/** Metadata contexts, sparse reads and block status as other people's clients see them. */

import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ForeignServer } from '../support/foreign-server.ts';
import { KIB, MIB, MirrorFiles } from '../support/mirror-files.ts';
import { mustRun } from '../support/run-program.ts';
import { ServerProcess } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';

const SIZE = 64 * MIB;
const STATE = 'x-dm-mirror:region-state';
const ALIAS = 'qemu:dirty-bitmap:region-state';

/** A sparse mirror in sync, with 1 MiB of data at 1 MiB and 64 KiB at 32 MiB. */
async function withData(
  t: Test,
  options: readonly string[],
  use: (uri: string, mirror: MirrorFiles) => Promise<void>,
): Promise<void> {
  const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: 64 * KIB });
  const server = await mirror.serve('--nosync', ...options);
  const writes = ['-c', 'write -P 7 1M 1M', '-c', 'write -P 8 32M 64K'];
  await mustRun(['qemu-io', '-f', 'raw', ...writes, server.uri]);
  await mirror.clean();
  await use(server.uri, mirror);
  await server.stop();
}

/** "offset+length type" of each line of `nbdinfo --map`, in KiB. */
async function nbdMap(uri: string, context: string): Promise<string[]> {
  const output = await mustRun(['nbdinfo', `--map=${context}`, '--json', uri]);
  const entries: { offset: number; length: number; type: number; description?: string }[] =
    JSON.parse(output);
  return entries.map(({ offset, length, type, description }) => {
    const words = [`${offset / KIB}+${length / KIB}`, type, description];
    return words.filter((word) => word !== undefined).join(' ');
  });
}

t.test('nbdinfo --map: holes and data, and the states of regions', async (t) => {
  if (!requireTool(t, 'nbdinfo', 'qemu-io')) return;
  await withData(t, ['--qemu-bitmap'], async (uri) => {
    t.same(await nbdMap(uri, 'base:allocation'), [
      '0+1024 3 hole,zero',
      '1024+1024 0 data',
      '2048+30720 3 hole,zero',
      '32768+64 0 data',
      '32832+32704 3 hole,zero',
    ]);
    t.same(await nbdMap(uri, STATE), ['0+65536 0'], 'all clean');
    t.same(await nbdMap(uri, 'x-dm-mirror:leg-damage'), ['0+65536 0']);
    t.same(await nbdMap(uri, ALIAS), ['0+65536 0 clean']);
  });
});

t.test('nbdinfo --json and --list: the contexts of an export', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: 64 * KIB });
  const server = await mirror.serve('--nosync');
  const own = ['base:allocation', STATE, 'x-dm-mirror:leg-damage'];
  for (const words of [['--json'], ['--json', '--list']]) {
    const info = JSON.parse(await mustRun(['nbdinfo', ...words, server.uri]));
    t.same(info.exports[0].contexts, own, words.join(' '));
  }
  await server.stop();
  const again = await mirror.serve('--nosync', '--qemu-bitmap');
  const info = JSON.parse(await mustRun(['nbdinfo', '--json', again.uri]));
  t.same(info.exports[0].contexts, [...own, ALIAS]);
  await again.stop();
});

t.test('nbdinfo: a server without structured replies has no contexts to select', async (t) => {
  if (!requireTool(t, 'nbdinfo', 'nbdcopy')) return;
  await withData(t, ['--no-structured', '--no-extended'], async (uri, mirror) => {
    const info = JSON.parse(await mustRun(['nbdinfo', '--json', uri]));
    t.equal(info.structured, false);
    t.equal(info.exports[0].can_df, false);
    const target = join(mirror.directory, 'out.raw');
    await mustRun(['nbdcopy', uri, target]);
    t.ok(readFileSync(target).equals(readFileSync(mirror.legs[0])));
  });
});

t.test('nbdinfo: a server that offers no NO_ZEROES, and no fixed newstyle', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  for (const [mask, protocol] of [
    ['0x1', 'newstyle-fixed'],
    ['0', 'newstyle'],
  ] as const) {
    const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: 64 * KIB });
    const server = await mirror.serve('--nosync', '--mask-handshake', mask);
    const info = JSON.parse(await mustRun(['nbdinfo', '--json', server.uri]));
    t.equal(info.protocol, protocol);
    t.equal(info.exports[0]['export-size'], SIZE);
    await server.stop();
  }
});

interface QemuExtent {
  readonly start: number;
  readonly length: number;
  readonly zero: boolean;
  readonly data: boolean;
}

/** "offset+length data zero" in KiB, neighbours joined, as only these two facts count here. */
function qemuRuns(output: string): string[] {
  const runs: { start: number; length: number; word: string }[] = [];
  for (const { start, length, zero, data } of JSON.parse(output) as QemuExtent[]) {
    const word = `${data ? 'data' : 'no-data'}${zero ? ' zero' : ''}`;
    if (runs.at(-1)?.word === word) runs.at(-1)!.length += length;
    else runs.push({ start, length, word });
  }
  return runs.map(({ start, length, word }) => `${start / KIB}+${length / KIB} ${word}`);
}

t.test('qemu-img map: holes, and region states as a dirty bitmap', async (t) => {
  if (!requireTool(t, 'qemu-img', 'qemu-io')) return;
  await withData(t, ['--qemu-bitmap'], async (uri, mirror) => {
    const map = ['qemu-img', 'map', '--output=json'];
    t.same(qemuRuns(await mustRun([...map, uri])), [
      '0+1024 no-data zero',
      '1024+1024 data',
      '2048+30720 no-data zero',
      '32768+64 data',
      '32832+32704 no-data zero',
    ]);
    const socket = join(mirror.directory, 'nbd.sock');
    const image = `driver=nbd,server.type=unix,server.path=${socket}`;
    for (const context of [ALIAS, STATE]) {
      const words = ['--image-opts', `${image},x-dirty-bitmap=${context}`];
      t.same(qemuRuns(await mustRun([...map, ...words])), ['0+65536 data'], `${context}: clean`);
    }
  });
});

t.test('what is out of sync shows as dirty', async (t) => {
  if (!requireTool(t, 'qemu-img', 'nbdinfo')) return;
  const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: 64 * KIB });
  // Nothing is copied on a read-only table: the regions stay as they are.
  await (await mirror.serve('--nosync')).stop();
  const server = await mirror.serve('--sync', '--read-only', '--qemu-bitmap');
  const [first] = await nbdMap(server.uri, STATE);
  t.match(first, /^0\+65536 [23]$/, 'not in sync');
  t.same(await nbdMap(server.uri, ALIAS), ['0+65536 1 dirty']);
  const image = `driver=nbd,server.type=unix,server.path=${server.socket}`;
  const words = ['--image-opts', `${image},x-dirty-bitmap=${ALIAS}`];
  const map = await mustRun(['qemu-img', 'map', '--output=json', ...words]);
  t.same(qemuRuns(map), ['0+65536 no-data'], 'dirty');
  await server.stop();
});

t.test('nbdcopy and qemu-img convert keep holes', async (t) => {
  if (!requireTool(t, 'nbdcopy', 'qemu-img', 'qemu-io')) return;
  await withData(t, [], async (uri, mirror) => {
    const expected = readFileSync(mirror.legs[0]);
    const allocated = (path: string): number => statSync(path).blocks * 512;
    for (const [name, command] of [
      ['nbdcopy', ['nbdcopy', uri]],
      ['convert', ['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri]],
    ] as const) {
      const target = join(mirror.directory, name);
      await mustRun([...command, target]);
      t.ok(readFileSync(target).equals(expected), `${name}: the same bytes`);
      t.ok(allocated(target) <= 2 * MIB, `${name}: ${allocated(target)} bytes are allocated`);
    }
    const source = join(mirror.directory, 'source.raw');
    writeFileSync(source, expected);
    await mustRun(['nbdcopy', source, uri]);
    t.match(
      await mustRun(['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, uri]),
      /identical/,
    );
  });
});

/** Runs lines of Python with libnbd's `h`, connected, and gives what they print. */
function nbdsh(
  uri: string,
  contexts: readonly string[],
  lines: readonly string[],
): Promise<string> {
  const connect = [...contexts.map((name) => `h.add_meta_context(${JSON.stringify(name)})`)];
  const script = [...connect, `h.connect_uri(${JSON.stringify(uri)})`, ...lines].join('\n');
  // Its module belongs to the system's Python, and not to any other that comes first.
  return mustRun(['nbdsh', '-c', script], { env: { PATH: '/usr/bin:/bin' } });
}

t.test('nbdsh: contexts, block status, DF, FAST_ZERO and errors as libnbd has them', async (t) => {
  if (!requireTool(t, 'nbdsh', 'qemu-io')) return;
  await withData(t, [], async (uri) => {
    const output = await nbdsh(
      uri,
      ['base:allocation', STATE, 'x-no:such'],
      [
        'import json',
        'out = []',
        `out.append([h.can_meta_context(n) for n in ("base:allocation", "${STATE}", "x-no:such")])`,
        'def extents(name, offset, entries, err): out.append([name, offset, entries])',
        'h.block_status(4 << 20, 0, extents)',
        'h.block_status(4 << 20, 0, extents, nbd.CMD_FLAG_REQ_ONE)',
        'h.block_status(1000, (1 << 20) - 500, extents)',
        'def sparse(buf, offset, status, err): out.append([len(buf), offset, status])',
        'h.pread_structured(4 << 20, 4 << 20, sparse)',
        'h.pread_structured(4 << 20, 4 << 20, sparse, nbd.CMD_FLAG_DF)',
        'def fails(call):',
        '    try:',
        '        call()',
        '        out.append("no error")',
        '    except nbd.Error as e:',
        '        out.append(e.errnum)',
        'fails(lambda: h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO))',
        'fails(lambda: h.zero(4096, 0, nbd.CMD_FLAG_FUA))',
        'fails(lambda: h.trim(4096, 0, nbd.CMD_FLAG_FUA))',
        'h.set_strict_mode(0)',
        `fails(lambda: h.block_status(4096, ${SIZE}, extents))`,
        'fails(lambda: h.block_status(0, 0, extents))',
        'fails(lambda: h.pread(33 << 20, 0, nbd.CMD_FLAG_DF))',
        'fails(lambda: h.cache(4096, 0, nbd.CMD_FLAG_FUA))',
        'print(json.dumps(out))',
      ],
    );
    t.same(JSON.parse(output), [
      [true, true, false],
      ['base:allocation', 0, [MIB, 3, MIB, 0, 2 * MIB, 3]],
      [STATE, 0, [4 * MIB, 0]],
      ['base:allocation', 0, [MIB, 3]],
      [STATE, 0, [4 * MIB, 0]],
      ['base:allocation', MIB - 500, [500, 3, 500, 0]],
      [STATE, MIB - 500, [1000, 0]],
      [4 * MIB, 4 * MIB, 2],
      [4 * MIB, 4 * MIB, 1],
      95,
      'no error',
      'no error',
      22,
      22,
      75,
      'no error',
    ]);
  });
});

t.test('a mirror of remote legs has the holes that their servers tell of', async (t) => {
  if (!requireTool(t, 'nbdinfo', 'qemu-io', 'qemu-img', 'nbdkit', 'qemu-nbd')) return;
  for (const program of ['nbdkit', 'qemu-nbd'] as const) {
    const directory = tempDir(t);
    const legs = ['a', 'b'].map((name) => {
      const image = join(directory, `${name}.img`);
      writeFileSync(image, '');
      truncateSync(image, SIZE);
      return new ForeignServer(t, program, { directory, name, image });
    });
    for (const leg of legs) await leg.start();
    const args = ['--nosync', ...legs.flatMap((leg) => ['--leg', leg.uri()])];
    const server = await ServerProcess.start(t, { directory, args });
    t.same(await nbdMap(server.uri, 'base:allocation'), ['0+65536 3 hole,zero'], program);
    const write = ['-c', 'write -P 7 1M 1M', '-c', 'write -P 8 32M 64K', '-c', 'write -P 9 513 1'];
    await mustRun(['qemu-io', '-f', 'raw', ...write, server.uri]);
    const expected = [
      '0+4 0 data',
      '4+1020 3 hole,zero',
      '1024+1024 0 data',
      '2048+30720 3 hole,zero',
      '32768+64 0 data',
      '32832+32704 3 hole,zero',
    ];
    t.same(
      await nbdMap(server.uri, 'base:allocation'),
      expected,
      `${program}, and what is written`,
    );
    const copy = join(directory, 'copy.img');
    await mustRun(['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', server.uri, copy]);
    t.ok(readFileSync(copy).equals(readFileSync(legs[0]!.image)), 'a copy is equal');
    t.ok(statSync(copy).blocks * 512 < 2 * MIB, 'and as sparse');
    await legs[0]!.kill();
    const after = await nbdMap(server.uri, 'base:allocation');
    t.ok(after.length > 0, `a leg is gone: ${after}`);
    await server.stop();
  }
});
