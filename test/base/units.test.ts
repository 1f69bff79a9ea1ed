import fc from 'fast-check';
import t from 'tap';
import {
  bytesToSectors,
  isPowerOfTwo,
  roundUp,
  sectorAfter,
  sectorsToBytes,
  toRegion,
  toSector,
  toSectorCount,
} from '../../src/base/units.ts';

t.test('Units are non-negative integers that a number holds exactly', async (t) => {
  for (const make of [toSector, toSectorCount, toRegion]) {
    t.equal(make(0), 0);
    t.equal(make(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
    for (const wrong of [-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
      t.throws(() => make(wrong), /must be 0 to 2\^53-1/);
    }
  }
});

t.test('Sectors and bytes convert both ways; a rest of a sector is dropped', async (t) => {
  t.equal(sectorsToBytes(toSectorCount(2 ** 43)), 2 ** 52);
  t.equal(bytesToSectors(1535), 2);
  t.equal(bytesToSectors(511), 0);
  t.equal(sectorAfter(toSector(5), 7), 12);
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 31 }), (count) => {
      return bytesToSectors(sectorsToBytes(toSectorCount(count))) === count;
    }),
  );
});

t.test('roundUp() gives the next multiple, or the value itself', async (t) => {
  t.equal(roundUp(0, 512), 0);
  t.equal(roundUp(1, 512), 512);
  t.equal(roundUp(512, 512), 512);
  t.equal(roundUp(2 ** 40 + 1, 4096), 2 ** 40 + 4096);
});

t.test('isPowerOfTwo() knows all of them and nothing else', async (t) => {
  const powers = new Set(Array.from({ length: 53 }, (_, exponent) => 2 ** exponent));
  for (const power of powers) {
    t.equal(isPowerOfTwo(power), true, `${power}`);
    for (const near of [power - 1, power + 1]) {
      if (!powers.has(near)) t.equal(isPowerOfTwo(near), false, `${near}`);
    }
  }
  for (const wrong of [0, -1, -2, 0.5, 1.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.equal(isPowerOfTwo(wrong), false, `${wrong}`);
  }
});
