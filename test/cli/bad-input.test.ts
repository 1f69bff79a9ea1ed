/**
 * Bad input of every kind: a clear error that names the value and the requirement, exit status 2,
 * and not one byte of a leg or a log changed.
 */

import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeLogHeader, LOG_MAGIC } from '../../src/dirtylog/log-header.ts';
import { runCommand } from '../support/command.ts';
import { tempDir } from '../support/temp-dir.ts';

const SECTORS = 4096;
const LEG_BYTES = SECTORS * 512;

/** A log of 64 regions, or with something wrong. */
function logFile(header: Partial<{ version: number; regionCount: bigint }> = {}): Buffer {
  const image = Buffer.alloc(4096);
  encodeLogHeader({ magic: LOG_MAGIC, version: 2, regionCount: 64n, ...header }, image);
  image.fill(0xff, 1024, 1032);
  return image;
}

/** What is there before each case; nothing of it may change. */
function makeFiles(directory: string): void {
  const put = (name: string, bytes: Buffer | string): void =>
    writeFileSync(join(directory, name), bytes);
  put('a.img', Buffer.alloc(LEG_BYTES, 0xaa));
  put('b.img', Buffer.alloc(LEG_BYTES, 0xbb));
  put('small.img', Buffer.alloc(LEG_BYTES / 2, 0xcc));
  put('log.img', logFile());
  put('text.log', 'Dear diary,\n'.repeat(200));
  put('version.log', logFile({ version: 7 }));
  put('other-size.log', logFile({ regionCount: 32n }));
  put('truncated.log', logFile().subarray(0, 1024));
  put('empty', '');
  symlinkSync('a.img', join(directory, 'link.img'));
  mkdirSync(join(directory, 'folder'));
}

function fingerprint(directory: string): string[] {
  return readdirSync(directory)
    .sort()
    .map((name) => {
      const path = join(directory, name);
      if (!statSync(path).isFile()) return name;
      return `${name} ${createHash('sha1').update(readFileSync(path)).digest('hex')}`;
    });
}

interface Case {
  readonly words: string;
  /** Words that hold spaces. */
  readonly more?: readonly string[];
  readonly says: RegExp;
}

/** A mirror of a.img and b.img with 64 regions, and a disk log. */
const MIRROR = '--leg a.img --leg b.img --region-size 32K';
const TABLE = '0 4096 mirror';

const OPTIONS: readonly Case[] = [
  { words: '', says: /nothing to serve/ },
  { words: `${MIRROR} --legg c.img`, says: /unknown option '--legg'[\s\S]*Did you mean --leg\?/ },
  { words: `${MIRROR} extra`, says: /too many arguments/ },
  { words: `${MIRROR} --size`, says: /argument missing/ },
  { words: `${MIRROR} --size 1X`, says: /--size is "1X", must be a multiple of 512/ },
  { words: `${MIRROR} --size 1000`, says: /--size is "1000", must be a multiple of 512/ },
  { words: `${MIRROR} --size 0`, says: /--size is "0"/ },
  { words: `${MIRROR} --log disk`, says: /--log is "disk", must be core or disk:PATH/ },
  { words: '--leg a.img', says: /--leg is given once, must be 2 to 9 times/ },
  { words: '--leg a.img --leg c.img', says: /leg "c.img" does not exist and --size is not given/ },
  { words: `${MIRROR} --aio fast`, says: /--aio is "fast", must be one of auto, inline, pool/ },
  { words: `${MIRROR} --resync-throttle 0`, says: /--resync-throttle is "0", must be 1 to 100/ },
  {
    words: `${MIRROR} --mask-handshake 0x10000`,
    says: /--mask-handshake is "0x10000", must be a number from 0 to 0xffff/,
  },
  { words: `${MIRROR} --mask-handshake -1`, says: /--mask-handshake is "-1", must be a number/ },
  { words: `${MIRROR} --listen 127.0.0.1:99999`, says: /port is "99999", must be 0 to 65535/ },
  { words: `${MIRROR} --allow 10.0.0.0/33`, says: /--allow is "10.0.0.0\/33", must be an address/ },
  { words: `${MIRROR} --deny localhost`, says: /--deny is "localhost", must be an address or/ },
  { words: `${MIRROR} --max-connections 0`, says: /--max-connections is "0", must be 1 to 10000/ },
  { words: `${MIRROR} --max-connections-per-export x`, says: /is "x", must be 1 to 10000/ },
  { words: `${MIRROR} --handshake-timeout -1`, says: /--handshake-timeout is "-1", must be 0 to/ },
  { words: `${MIRROR} --tls maybe`, says: /--tls is "maybe", must be one of off, on, require/ },
  { words: `${MIRROR} --tls on`, says: /there are no credentials[\s\S]*--tls-certificates/ },
  { words: `${MIRROR} --tls off --tls-psk k`, says: /--tls-psk is given, but TLS is off/ },
  { words: `${MIRROR} --tls-verify-peer`, says: /--tls-verify-peer is given, but TLS is off/ },
  { words: `${MIRROR} --tls-psk none`, says: /Cannot use "none" for TLS: ENOENT/ },
  { words: `${MIRROR} --tls-psk a.img`, says: /"a.img" for TLS: its mode is 644, must be 600/ },
  { words: `${MIRROR} --tls-certificates folder`, says: /"folder\/server-cert.pem" .*ENOENT/ },
  { words: `${MIRROR} --tls-certificates folder --tls-psk k`, says: /only one of them is allowed/ },
  { words: `${MIRROR} --listen 1:2:3`, says: /must be HOST:PORT/ },
  { words: `${MIRROR} --table-file t`, says: /only one of them is allowed/ },
  { words: '--table-file /dev/zero', says: /"\/dev\/zero": it goes on behind 4194304 bytes/ },
  { words: '--table-file missing.table', says: /table file "missing.table": ENOENT/ },
  { words: `${MIRROR} --keep-log`, says: /keep_log is given without handle_errors/ },
  { words: `${MIRROR} --socket none/s`, says: /"none\/s": folder does not exist, must be there/ },
  { words: `${MIRROR} --socket folder`, says: /path is no socket/ },
  { words: `${MIRROR} --socket ${'x'.repeat(200)}`, says: /path has 200 bytes/ },
  { words: `${MIRROR} --socket s --pid-file no/pid`, says: /Cannot write pid file "no\/pid"/ },
];

const DEVICES: readonly Case[] = [
  { words: '--size 2M --leg a.img --leg c.img', says: /"c.img": it does not exist[\s\S]*--create/ },
  { words: '--size 2M --leg a.img --leg folder', says: /"folder": it is a directory/ },
  { words: '--size 2M --leg a.img --leg /dev/null', says: /it is a character device/ },
  { words: '--size 2M --leg a.img --leg empty', says: /"empty": size is 0 bytes/ },
  { words: '--size 2M --leg a.img --leg small.img', says: /"small.img" has 2048 sectors/ },
  { words: '--size 4M --leg a.img --leg b.img', says: /"a.img" has 4096 sectors, must have/ },
  { words: '--leg a.img --leg a.img', says: /Cannot use "a.img" twice as leg: it is the same/ },
  { words: '--create --size 2M --leg new --leg new', says: /Cannot use "new" twice as leg/ },
  { words: '--leg a.img --leg link.img', says: /"a.img" and "link.img" twice as leg/ },
  { words: `${MIRROR} --log disk:a.img`, says: /"a.img" as log and leg: it is the same file/ },
  { words: `${MIRROR} --log disk:link.img`, says: /"link.img" and "a.img" as log and leg/ },
  {
    words: `${MIRROR} --log disk:text.log`,
    says: /holds something that is no log[\s\S]*overwrite-l/,
  },
  { words: `${MIRROR} --log disk:small.img`, says: /holds something that is no log/ },
  { words: `${MIRROR} --log disk:version.log`, says: /its version is 7, must be 2/ },
  { words: `${MIRROR} --log disk:other-size.log`, says: /it has 32 regions, must have 64/ },
  { words: `${MIRROR} --log disk:truncated.log`, says: /must have at least|must be at least/ },
  { words: `${MIRROR} --log disk:folder`, says: /"folder": it is a directory/ },
  { words: `${MIRROR} --log disk:none.log`, says: /"none.log": it does not exist/ },
];

const TABLES: readonly (readonly [table: string, says: RegExp])[] = [
  ['', /it has no line/],
  ['garbage', /line 1 starts with "garbage"/],
  ['0 4096', /no target type/],
  ['0 4096 miror core 1 64 2 a.img 0 b.img 0', /type is "miror", must be one of/],
  ['0 0 mirror core 1 64 2 a.img 0 b.img 0', /length is 0 sectors/],
  ['8 4096 mirror core 1 64 2 a.img 0 b.img 0', /start is 8, must be 0/],
  [`${TABLE}`, /must begin with LOG_TYPE/],
  [`${TABLE} core x`, /number of log arguments is "x"/],
  [`${TABLE} core 9 64`, /number of log arguments is 9, but only 1/],
  [`${TABLE} cor 1 64 2 a.img 0 b.img 0`, /type is "cor", must be one of core, disk/],
  [`${TABLE} core 0 2 a.img 0 b.img 0`, /0 log arguments are given/],
  [`${TABLE} core 2 64 maybe 2 a.img 0 b.img 0`, /sync word is "maybe"/],
  ...['0', '1', '3', '8192', '8589934592', '-64', '64K'].map(
    (size) => [`${TABLE} core 1 ${size} 2 a.img 0 b.img 0`, /region size is/] as const,
  ),
  ...['0', '1', '3', '8589934592'].map(
    (size) => [`${TABLE} disk 2 log.img ${size} 2 a.img 0 b.img 0`, /region size is/] as const,
  ),
  [`${TABLE} core 1 64`, /number of legs is missing/],
  [`${TABLE} core 1 64 1 a.img 0`, /number of legs is "1", must be 2 to 9/],
  [`${TABLE} core 1 64 10 a.img 0`, /number of legs is "10"/],
  [`${TABLE} core 1 64 2 a.img 0 b.img`, /2 legs need 4 words/],
  [`${TABLE} core 1 64 2 a.img x b.img 0`, /offset of leg 0 is "x"/],
  [`${TABLE} core 1 64 2 a.img 0 b.img 8`, /"b.img" has 4096 sectors, must have at least 4104/],
  [`${TABLE} core 1 64 2 a.img 0 b.img 0 x`, /number of features is "x"/],
  [`${TABLE} core 1 64 2 a.img 0 b.img 0 2 handle_errors`, /but only 1 words follow/],
  [`${TABLE} core 1 64 2 a.img 0 b.img 0 1 handle_eror`, /feature is "handle_eror"/],
  [`${TABLE} core 1 64 2 a.img 0 b.img 0 1 keep_log`, /without handle_errors/],
  [`${TABLE} core 1 64 2 a.img 0 b.img 0 0 more`, /follows the last feature/],
  [`${TABLE} disk 2 truncated.log 64 2 a.img 0 b.img 0`, /must have at least|must be at least/],
  [`${TABLE} core 1 64 2 a.img 0 b.img 0\n8192 64 zero`, /start is 8192, must be 4096/],
];

const RUNS_AT_A_TIME = 4;

for (const [group, cases] of Object.entries({
  options: OPTIONS,
  devices: DEVICES,
  tables: TABLES.map(([table, says]) => ({ words: '', more: ['--table', table], says })),
})) {
  t.test(`serve, bad ${group}: a clear error, and nothing written`, async (t) => {
    // One folder for each run at a time: a run may hold the locks of its legs for a moment.
    const directories = Array.from({ length: RUNS_AT_A_TIME }, () => tempDir(t));
    for (const directory of directories) makeFiles(directory);
    const before = directories.map(fingerprint);
    await eachOf(cases as readonly Case[], async ({ words, more = [], says }, run) => {
      const directory = directories[run]!;
      const args = ['serve', ...words.split(' ').filter((word) => word !== ''), ...more];
      const { status, stderr } = await runCommand(args, { cwd: directory });
      const what = args.slice(1).join(' ').slice(0, 100);
      t.equal(status, 2, what);
      t.match(stderr, says, what);
      t.match(stderr, /^nbd-mirror: /, what);
      t.notMatch(stderr, /\n {4}at /, `${what}: no stack`);
    });
    t.strictSame(directories.map(fingerprint), before, 'every file is as it was');
  });
}

t.test('other commands, bad input: a clear error', async (t) => {
  const directory = tempDir(t);
  makeFiles(directory);
  const cases: [words: string, says: RegExp][] = [
    ['', /Usage: nbd-mirror/],
    ['srve', /unknown command 'srve'[\s\S]*Did you mean serve\?/],
    ['log', /Usage: nbd-mirror log/],
    ['log show', /missing required argument 'device'/],
    ['log show none.log', /"none.log": it does not exist/],
    ['log show folder', /it is a directory/],
    ['log show log.img --ranges x', /--ranges: it is "x", must be a whole number/],
    ['compare a.img', /1 given, must be 2 or more/],
    ['compare a.img none.img', /"none.img": it does not exist/],
    ['compare a.img b.img --region-size 3K', /region size is 6 sectors, must be a power of two/],
    ['compare a.img b.img --log truncated.log --region-size 1K', /regions need \d+ bytes/],
  ];
  await eachOf(cases, async ([words, says]) => {
    const args = words.split(' ').filter((word) => word !== '');
    const { status, stderr } = await runCommand(args, { cwd: directory });
    t.equal(status, 2, words);
    t.match(stderr, says, words);
  });
});

/** Starting a process takes its time; a few at once make good use of it. */
async function eachOf<T>(
  items: readonly T[],
  visit: (item: T, run: number) => Promise<void>,
): Promise<void> {
  const left = [...items];
  const worker = async (run: number): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await visit(item, run);
  };
  await Promise.all(Array.from({ length: RUNS_AT_A_TIME }, (_, run) => worker(run)));
}
