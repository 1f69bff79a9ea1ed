import fc from 'fast-check';
import t from 'tap';
import { EIO } from '../../src/base/errno.ts';
import type { Sector } from '../../src/base/units.ts';
import type { Bio } from '../../src/block/bio.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { encodeLogHeader, LOG_MAGIC, LOG_REGIONS_UNKNOWN } from '../../src/dirtylog/log-header.ts';
import {
  type CompareLegsOptions,
  compareLegs,
  exitStatusOf,
  type LegComparison,
} from '../../src/inspect/compare-legs.ts';
import { comparisonToJson, formatComparison } from '../../src/inspect/format-comparison.ts';
import { readStoredCleanBits } from '../../src/inspect/stored-clean-bits.ts';
import { LogDisk } from '../support/log-fixture.ts';

/** A leg that counts what is read, has bad sectors, and may know its holes. */
class TestLeg extends MemoryDevice {
  readonly badSectors = new Set<number>();
  sectorsRead = 0;

  override submit(bio: Bio): void {
    this.sectorsRead += bio.count;
    for (const bad of this.badSectors) {
      if (bad >= bio.sector && bad < bio.sector + bio.count) {
        bio.fail(EIO, 'bad sector');
        return;
      }
    }
    super.submit(bio);
  }
}

class SparseLeg extends TestLeg {
  nextDataSector(from: Sector): Sector {
    for (let sector: number = from; sector < this.sizeSectors; sector++) {
      const data = this.bytes.subarray(sector * 512, (sector + 1) * 512);
      if (data.some((byte) => byte !== 0)) return sector as Sector;
    }
    return this.sizeSectors as number as Sector;
  }
}

function makeLegs(count: number, sizeSectors: number, offsetSectors = 0): TestLeg[] {
  return Array.from(
    { length: count },
    (_, leg) => new TestLeg({ name: `leg${leg}.img`, sizeSectors: sizeSectors + offsetSectors }),
  );
}

/** A log that calls all regions clean but the ones given. */
function makeLog(regionCount: number, dirty: Iterable<number>, logged = regionCount): LogDisk {
  const contents = new Uint8Array(1024 + Math.ceil(regionCount / 64) * 8).fill(0xff, 1024);
  encodeLogHeader({ magic: LOG_MAGIC, version: 2, regionCount: BigInt(logged) }, contents);
  for (const region of dirty) contents[1024 + (region >> 3)]! &= ~(1 << (region & 7));
  const bytes = Math.ceil(contents.length / 512) * 512;
  return new LogDisk({ name: 'log.img', bytes, contents });
}

function compare(
  legs: readonly TestLeg[],
  options: Partial<Omit<CompareLegsOptions, 'legs'>> & { offsetSectors?: number } = {},
): Promise<LegComparison> {
  const { offsetSectors = 0, ...rest } = options;
  return compareLegs({
    legs: legs.map((device) => ({ device, offsetSectors })),
    regionSizeSectors: 8,
    ...rest,
  });
}

t.test('compareLegs() finds what a comparison sector by sector finds', async () => {
  const sizeSectors = fc.integer({ min: 2, max: 7000 });
  const changes = fc.array(fc.record({ leg: fc.nat(2), byte: fc.nat(7000 * 512) }), {
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(
      sizeSectors,
      fc.constantFrom(2, 8, 1024, 2048, 4096),
      fc.constantFrom(0, 1, 5),
      changes,
      fc.array(fc.nat(3500), { maxLength: 5 }),
      fc.boolean(),
      async (size, regionSizeSectors, offsetSectors, changed, dirty, withLog) => {
        const legs = makeLegs(3, size, offsetSectors);
        const regionCount = Math.ceil(size / regionSizeSectors);
        const expected = new Map<number, Set<number>>();
        for (const { leg, byte } of changed) {
          if (byte >= size * 512) continue;
          legs[leg]!.bytes[offsetSectors * 512 + byte] = leg + 1;
        }
        const sectorOf = (leg: number, sector: number): Uint8Array =>
          legs[leg]!.bytes.subarray((offsetSectors + sector) * 512).subarray(0, 512);
        for (let sector = 0; sector < size; sector++) {
          for (const leg of [1, 2]) {
            if (Buffer.compare(sectorOf(0, sector), sectorOf(leg, sector)) === 0) continue;
            const region = Math.floor(sector / regionSizeSectors);
            expected.set(region, (expected.get(region) ?? new Set()).add(leg));
          }
        }
        const dirtyRegions = new Set(dirty.filter((region) => region < regionCount));
        const log = withLog ? { log: makeLog(regionCount, dirtyRegions) } : {};
        const found = await compare(legs, { regionSizeSectors, offsetSectors, ...log });

        const listed = found.ranges.flatMap(({ first, last, label }) =>
          Array.from({ length: last - first + 1 }, (_, index) => [first + index, label] as const),
        );
        const uncovered = [...expected.keys()].filter((region) => !dirtyRegions.has(region));
        const same =
          listed.length === expected.size &&
          found.differingRegions === expected.size &&
          found.uncoveredRegions === (withLog ? uncovered.length : 0) &&
          found.dirtyRegions === (withLog ? dirtyRegions.size : null) &&
          listed.every(
            ([region, label]) =>
              String(label.differingLegs) === String([...(expected.get(region) ?? [])].sort()) &&
              label.isCovered === (withLog ? dirtyRegions.has(region) : null),
          );
        const status = expected.size === 0 ? 0 : withLog && uncovered.length > 0 ? 2 : 1;
        return same && exitStatusOf(found) === status;
      },
    ),
    { numRuns: 60 },
  );
});

t.test('compareLegs() covers what the next start will copy, and nothing else', async (t) => {
  const legs = makeLegs(2, 64);
  legs[1]!.bytes[3 * 8 * 512] = 1;
  const foreign = makeLog(8, []);
  foreign.bytes[0] = 0;
  const version = makeLog(8, []);
  version.bytes[4] = 3;
  const unknown = makeLog(8, []);
  encodeLogHeader(
    { magic: LOG_MAGIC, version: 2, regionCount: LOG_REGIONS_UNKNOWN },
    unknown.bytes,
  );
  const cases = [
    ['clean in the log', makeLog(8, []), 2],
    ['dirty in the log', makeLog(8, [3]), 1],
    ['another region is dirty', makeLog(8, [2]), 2],
    ['behind the last region of the log', makeLog(8, [], 3), 1],
    ['the last region of the log', makeLog(8, [], 4), 2],
    ['the log counts as new', foreign, 1],
    ['the version is unknown', version, 1],
    ['as LVM writes it', unknown, 2],
  ] as const;
  for (const [name, log, status] of cases) {
    t.equal(exitStatusOf(await compare(legs, { log })), status, name);
  }
  const mismatch = await compare(legs, { log: makeLog(16, [3], 16) });
  const sizes = 'the log has 16 regions, the legs have 8';
  t.same(mismatch.notes, [`${sizes}: were the mirror's regions 2 KiB?`]);
  const odd = await compare(legs, { log: makeLog(15, [3], 15) });
  t.match(odd.notes, [/15 regions.*is this the region size that the mirror had\?/]);
  const blank = await compare(legs, { log: new LogDisk({ name: 'log.img', bytes: 1536 }) });
  t.same(blank.notes, ['the log is blank: every region counts as dirty']);
  t.match((await compare(legs, { log: foreign })).notes, [/is no log of a mirror: every region/]);
  t.match((await compare(legs, { log: version })).notes, [/unknown version: every region/]);
});

t.test('readStoredCleanBits() puts the pieces of a large log together', async (t) => {
  const regionCount = 20_000_001;
  const dirty = [0, 8_380_415, 8_380_416, 12_345_678, regionCount - 1];
  const { clean, loggedRegions } = await readStoredCleanBits(
    makeLog(regionCount, dirty),
    regionCount,
  );
  t.equal(loggedRegions, regionCount);
  t.equal(clean.weight(), regionCount - dirty.length);
  for (const region of dirty) t.equal(clean.test(region), false, `region ${region}`);
});

t.test('compareLegs() reads around a bad spot and calls it a violation', async (t) => {
  const legs = makeLegs(3, 5000);
  legs[1]!.badSectors.add(19);
  legs[0]!.badSectors.add(3000);
  legs[2]!.bytes[17 * 512] = 1;
  legs[2]!.bytes[4000 * 512] = 1;
  const found = await compare(legs, { log: makeLog(625, [2, 500]) });
  t.equal(found.unreadableRegions, 2);
  t.equal(found.differingRegions, 2);
  t.equal(found.uncoveredRegions, 0);
  t.equal(exitStatusOf(found), 2);
  t.match(found.ranges, [
    { first: 2, last: 2, label: { differingLegs: [2], unreadableLegs: [1], isCovered: true } },
    { first: 375, last: 375, label: { differingLegs: [], unreadableLegs: [0] } },
    { first: 500, last: 500, label: { differingLegs: [2], unreadableLegs: [], isCovered: true } },
  ]);
});

t.test(
  'compareLegs() does not read holes that all legs have, nor the rest of a region',
  async (t) => {
    const options = { sizeSectors: 200_000 };
    const legs = [new SparseLeg(options), new SparseLeg(options)];
    legs[0]!.bytes[100_000 * 512] = 1;
    const found = await compare(legs);
    t.match(found.ranges, [{ first: 12_500, last: 12_500 }]);
    t.ok(legs[1]!.sectorsRead <= 2048 * 2, `${legs[1]!.sectorsRead} sectors read`);

    const three = [1, 2, 3].map(() => new SparseLeg({ sizeSectors: 50_000 }));
    three[1]!.bytes[0] = 1;
    const begun = await compare(three, { regionSizeSectors: 8192 });
    t.match(begun.ranges, [{ first: 0, last: 0, label: { differingLegs: [1] } }], 'before a hole');

    const dense = makeLegs(2, 65_536);
    dense[1]!.bytes[0] = 1;
    const early = await compare(dense, { regionSizeSectors: 32_768 });
    t.equal(early.differingRegions, 1);
    t.equal(dense[0]!.sectorsRead, 2048 + 32_768);
  },
);

t.test('formatComparison() and comparisonToJson() tell it in full', async (t) => {
  const legs = makeLegs(3, 61);
  for (const region of [1, 2, 5, 7]) legs[1]!.bytes[region * 8 * 512] = 1;
  legs[2]!.bytes[5 * 8 * 512] = 2;
  const found = await compare(legs, { log: makeLog(8, [1, 2, 5]) });
  t.equal(
    formatComparison(found),
    [
      'leg 0    leg0.img',
      'leg 1    leg1.img',
      'leg 2    leg2.img',
      'length   61 sectors, 8 regions of 8 sectors',
      'log      log.img: 3 regions dirty',
      '  regions 1-2 (sectors 8-23): leg 1 differs from leg 0, dirty in the log',
      '  region  5 (sectors 40-47): legs 1 and 2 differ from leg 0, dirty in the log',
      '  region  7 (sectors 56-60): leg 1 differs from leg 0, NOT COVERED by the log',
      '4 regions differ, 1 of them not covered by the log: violation',
      '',
    ].join('\n'),
  );
  t.match(JSON.parse(JSON.stringify(comparisonToJson(found))), {
    verdict: 'violation',
    ranges: [{ first: 1, last: 2, differingLegs: [1], isCovered: true }, {}, {}],
  });
  t.match(formatComparison(found, { rangesMax: 1 }), /\n {2}and 2 more ranges\n4 regions differ/);
  t.match(formatComparison(await compare(makeLegs(2, 64))), /\nlegs are equal\n$/);
  const one = makeLegs(2, 64);
  one[1]!.bytes[0] = 1;
  const covered = await compare(one, { log: makeLog(8, [0]) });
  t.match(formatComparison(covered), /\n1 region differs, the log covers it\n$/);
});

t.test('compareLegs() refuses what cannot be compared', async (t) => {
  const legs = makeLegs(2, 64);
  const small = new TestLeg({ name: 'small.img', sizeSectors: 32 });
  const coarse = new TestLeg({ name: 'coarse.img', sizeSectors: 64, logicalBlockSize: 4096 });
  const cases = [
    [compare([legs[0]!]), 'too-few-legs', /1 given/],
    [compare(legs, { regionSizeSectors: 3 }), 'region-size', /3 sectors, must be a power of two/],
    [compare(legs, { lengthSectors: 65 }), 'leg-too-small', /"leg0.img" has 64 .* at least 65/],
    [compare(legs, { offsetSectors: 64 }), 'leg-too-small', /must have at least 65/],
    [compare([legs[0]!, coarse], { lengthSectors: 61 }), 'leg-unaligned', /blocks of 8 sectors/],
  ] as const;
  for (const [outcome, code, message] of cases) {
    await t.rejects(outcome, { code, message });
  }
  const tooShort = new LogDisk({ name: 'log.img', bytes: 1024 });
  await t.rejects(compare(legs, { log: tooShort }), { code: 'log-too-small' });
  const failing = makeLog(8, []);
  failing.failing.add('read');
  await t.rejects(compare(legs, { log: failing }), { code: 'log-unreadable' });
  const shorter = await compare([legs[0]!, small]);
  t.match(shorter.notes, [/the legs have 64, 32 sectors: the first 32 are compared/]);
  t.equal(shorter.lengthSectors, 32);
});
