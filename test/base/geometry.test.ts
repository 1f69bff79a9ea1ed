import fc from 'fast-check';
import t from 'tap';
import { RegionGeometry, regionSizeFor } from '../../src/base/geometry.ts';
import { toRegion, toSector, toSectorCount } from '../../src/base/units.ts';

function geometry(targetSectors: number, regionSizeSectors: number): RegionGeometry {
  return new RegionGeometry({
    targetSectors: toSectorCount(targetSectors),
    regionSizeSectors: toSectorCount(regionSizeSectors),
  });
}

t.test('RegionGeometry: regions follow each other and cover the target exactly', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.nat(9), (targetSectors, exponent) => {
      const shape = geometry(targetSectors, 2 ** exponent);
      let next = 0;
      for (let region = 0; region < shape.regionCount; region++) {
        const length = shape.lengthOf(toRegion(region));
        if (shape.startOf(toRegion(region)) !== next || length < 1) return false;
        if (shape.regionOf(toSector(next)) !== region) return false;
        if (shape.regionOf(toSector(next + length - 1)) !== region) return false;
        if (region < shape.regionCount - 1 && length !== 2 ** exponent) return false;
        next += length;
      }
      return next === targetSectors;
    }),
  );
});

t.test('regionSizeFor() finds the size that gives a number of regions', async (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 2 ** 50 }),
      fc.integer({ min: 1, max: 31 }),
      (length, shift) => {
        const size = 2 ** shift;
        return size > length || regionSizeFor(length, Math.ceil(length / size)) === size;
      },
    ),
  );
  for (const [length, count] of [
    [64, 15],
    [64, 64],
    [64, 0],
    [0, 1],
    [100, 1],
  ] as const) {
    t.equal(regionSizeFor(length, count), null, `${count} regions of ${length} sectors`);
  }
});

t.test('RegionGeometry: a target of 8 EiB in large numbers', async (t) => {
  const shape = geometry(2 ** 53 - 1, 2 ** 31);
  t.equal(shape.regionCount, 2 ** 22);
  t.equal(shape.lengthOf(toRegion(2 ** 22 - 1)), 2 ** 31 - 1);
  t.equal(shape.regionOf(toSector(2 ** 53 - 2)), 2 ** 22 - 1);
});

t.test('RegionGeometry refuses what is no geometry', async (t) => {
  t.throws(() => geometry(0, 8), /must be positive/);
  for (const size of [0, 3, 12]) t.throws(() => geometry(100, size), /no power of two/);
  t.throws(() => geometry(100, 8).lengthOf(toRegion(13)), /beyond the last, 12/);
});
