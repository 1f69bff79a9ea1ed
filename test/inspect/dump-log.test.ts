import fc from 'fast-check';
import t from 'tap';
import { encodeLogHeader, LOG_MAGIC, LOG_REGIONS_UNKNOWN } from '../../src/dirtylog/log-header.ts';
import { probeLog } from '../../src/dirtylog/log-probe.ts';
import { dumpLog, formatLogDump, type LogDump, logDumpToJson } from '../../src/inspect/dump-log.ts';
import { goldenBytes, goldenCaseNames, loadGoldenCase } from '../support/golden.ts';
import { LogDisk } from '../support/log-fixture.ts';

/** A device of whole sectors; what is behind the last one is not seen, as with a file. */
function diskOf(contents: Uint8Array): LogDisk {
  const bytes = Math.floor(contents.length / 512) * 512;
  return new LogDisk({ name: 'log.img', bytes, contents: contents.subarray(0, bytes) });
}

function logOf(
  regionCount: bigint,
  options: { version?: number; bytes?: number } = {},
): Uint8Array {
  const image = new Uint8Array(options.bytes ?? 1536);
  encodeLogHeader({ magic: LOG_MAGIC, version: options.version ?? 2, regionCount }, image);
  return image;
}

function notesOf(dump: LogDump): string {
  return dump.notes.map(({ level, text }) => `${level}: ${text}`).join('\n');
}

t.test('dumpLog() shows every log that a kernel wrote, and only reads', async (t) => {
  const files = goldenCaseNames()
    .flatMap((name) => loadGoldenCase(name).steps)
    .flatMap((step) => (step.kind === 'kept' ? [step.file] : []))
    .filter((file) => !file.includes('zeros'));
  for (const file of files) {
    const contents = goldenBytes(file);
    const disk = diskOf(contents);
    const dump = await dumpLog(disk);
    const isForeign = /version-[03]/.test(file);
    t.equal(dump.verdict, isForeign ? 'foreign-version' : 'valid', file);
    if (!isForeign) t.equal(dump.regionCount, contents[8]! + contents[9]! * 256, file);
    const bits = contents.subarray(1024, 1024 + Math.ceil(dump.regionCount / 8));
    const ones = [...bits].map((byte) => byte.toString(2).replaceAll('0', '').length);
    t.equal(
      dump.cleanCount,
      ones.reduce((sum, count) => sum + count, 0),
      file,
    );
    t.ok(
      disk.history.every((operation) => operation.startsWith('read ')),
      file,
    );
  }
});

t.test('formatLogDump() and logDumpToJson() of a log with regions of both kinds', async (t) => {
  const dump = await dumpLog(diskOf(goldenBytes('disk-dirty-many.during.bin')));
  t.equal(
    formatLogDump(dump),
    [
      'log      log.img (1536 bytes)',
      'header   magic 0x4d695272, version 2, 16 regions',
      'regions  16: 10 clean, 6 dirty',
      '  dirty  0',
      '  clean  1-2',
      '  dirty  3',
      '  clean  4-8',
      '  dirty  9',
      '  clean  10',
      '  dirty  11-12',
      '  clean  13-14',
      '  dirty  15',
      '',
    ].join('\n'),
  );
  t.match(formatLogDump(dump, { rangesMax: 2 }), /clean {2}1-2\n {2}and 7 more ranges\n$/);
  t.match(JSON.parse(JSON.stringify(logDumpToJson(dump))), {
    name: 'log.img',
    header: { magic: LOG_MAGIC, version: 2, regionCount: '16' },
    cleanCount: 10,
    dirtyCount: 6,
    ranges: [
      { first: 0, last: 0, state: 'dirty' },
      { first: 1, last: 2, state: 'clean' },
    ],
  });
});

t.test('dumpLog() says what is odd', async (t) => {
  const padded = logOf(13n);
  padded.fill(0xff, 1024, 1032);
  const noisy = logOf(64n);
  noisy[500] = 7;
  const text = new TextEncoder().encode('Dear diary, '.repeat(200));
  const cases: [string, Uint8Array, RegExp, number][] = [
    ['padding', padded, /^info: 51 padding bits behind the last region are set/, 13],
    ['gap', noisy, /^info: bytes 16 to 1023 are not zero/, 64],
    ['blank', new Uint8Array(1536), /^info: the header is blank/, 0],
    ['text', text, /^error: this is no mirror log/, 0],
    ['version', logOf(16n, { version: 7 }), /^error: version 7 is unknown/, 0],
    ['old', logOf(16n, { version: 1 }), /^info: version 1 is read as version 2/, 16],
    ['truncated', logOf(10_000n), /^error: truncated: 10000 regions need 2560 .* 1536/, 4096],
    ['LVM', logOf(LOG_REGIONS_UNKNOWN), /^info: the number of regions is left open/, 4096],
    ['64 bits', logOf(2n ** 40n + 5n), /^warning: only the low 32 bits .*: 5$/, 5],
    ['none', logOf(2n ** 32n), /warning: no region is recorded/, 0],
  ];
  for (const [name, contents, note, regionCount] of cases) {
    const dump = await dumpLog(diskOf(contents));
    t.match(notesOf(dump), note, name);
    t.equal(dump.regionCount, regionCount, name);
    t.match(formatLogDump(dump), dump.notes[0]!.text, name);
  }
  t.equal(notesOf(await dumpLog(diskOf(logOf(16n)))), '', 'an ordinary log is not odd');
  const shown = await dumpLog(diskOf(logOf(LOG_REGIONS_UNKNOWN)), { regionCount: 100 });
  t.equal(shown.regionCount, 100, 'as many regions as the mirror has');
});

t.test('dumpLog() refuses what it cannot read', async (t) => {
  const failing = diskOf(logOf(16n));
  failing.failing.add('read');
  await t.rejects(dumpLog(failing), { code: 'log-unreadable' });
  const short = { code: 'log-truncated', message: /has 512 bytes, must have at least 1024/ };
  await t.rejects(dumpLog(diskOf(new Uint8Array(512))), short);
});

t.test('dumpLog() takes any bytes, and lists no more ranges than it may', async (t) => {
  const header = fc.record({
    magic: fc.constantFrom(LOG_MAGIC, LOG_MAGIC, 0, 1),
    version: fc.nat(3),
    regionCount: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  });
  await fc.assert(
    fc.asyncProperty(
      header,
      fc.uint8Array({ minLength: 1024, maxLength: 9000, size: 'max' }),
      fc.constantFrom(512, 4096),
      async (claimed, bytes, blockSize) => {
        encodeLogHeader(claimed, bytes);
        const size = Math.ceil(bytes.length / 4096) * 4096;
        const disk = new LogDisk({ bytes: size, contents: bytes, blockSize });
        const dump = await dumpLog(disk);
        const listed = dump.ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
        return listed === dump.regionCount && dump.cleanCount + dump.dirtyCount === listed;
      },
    ),
  );
  const alternating = logOf(LOG_REGIONS_UNKNOWN, { bytes: 3 * 1024 * 1024 });
  alternating.fill(0x55, 1024);
  const dump = await dumpLog(diskOf(alternating));
  t.equal(dump.ranges.length, 100_000);
  t.equal(dump.ranges.length + dump.unlistedRanges, dump.regionCount);
  t.equal(dump.cleanCount * 2, dump.regionCount);
});

t.test('probeLog() tells a log from what should not be overwritten', async (t) => {
  const withData = (at: number): Uint8Array => {
    const contents = new Uint8Array(256 * 1024);
    contents[at] = 1;
    return contents;
  };
  const cases = [
    ['blank', new Uint8Array(4096)],
    ['log', logOf(16n)],
    ['log', logOf(16n, { version: 1 })],
    ['log', goldenBytes('disk-fresh.fresh.bin')],
    ['foreign-version', logOf(16n, { version: 3 })],
    ['foreign', new TextEncoder().encode('Dear diary, '.repeat(200))],
    ['foreign', withData(1080)],
    ['foreign', withData(65_536)],
  ] as const;
  for (const [contents, bytes] of cases) {
    t.equal((await probeLog(diskOf(bytes))).contents, contents);
  }
  const failing = diskOf(logOf(16n));
  failing.failing.add('read');
  t.match(await probeLog(failing), { contents: 'unreadable', header: null, result: 5 });
});
