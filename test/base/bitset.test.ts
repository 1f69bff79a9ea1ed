import fc from 'fast-check';
import t from 'tap';
import { Bitset } from '../../src/base/bitset.ts';

function findNext(bits: readonly boolean[], from: number, wanted: boolean): number {
  const found = bits.indexOf(wanted, from);
  return found < 0 ? bits.length : found;
}

const position = fc.nat(400);
const operation = fc.record({
  op: fc.constantFrom('assign', 'assign', 'assign', 'fill-from', 'fill', 'clear-tail'),
  at: position,
  value: fc.boolean(),
});

t.test('Bitset agrees with an array of booleans', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.array(operation), (size, operations) => {
      const bitset = new Bitset(size);
      const bits = Array<boolean>(size).fill(false);
      for (const { op, at, value } of operations) {
        if (op === 'assign' && at < size) {
          if (value) bitset.set(at);
          else bitset.clear(at);
          bits[at] = value;
        } else if (op === 'fill-from') {
          bitset.fillFrom(at, value);
          for (let bit = at; bit < size; bit++) bits[bit] = value;
        } else if (op === 'fill') {
          bitset.fill(value);
          bits.fill(value);
        } else if (op === 'clear-tail') {
          bitset.clearTail();
        }
        if (bitset.weight() !== bits.filter(Boolean).length) return false;
        for (let bit = 0; bit <= size; bit++) {
          if (bit < size && bitset.test(bit) !== bits[bit]) return false;
          if (bitset.findNextZero(bit) !== findNext(bits, bit, false)) return false;
          if (bitset.findNextOne(bit) !== findNext(bits, bit, true)) return false;
        }
      }
      return true;
    }),
    { numRuns: 200 },
  );
});

t.test('Bitset: bit i is bit i mod 8 of byte i div 8, lowest first', async (t) => {
  const bitset = new Bitset(70);
  for (const bit of [0, 9, 15, 63, 69]) bitset.set(bit);
  t.equal(Buffer.from(bitset.bytes).toString('hex'), '01820000000000802000000000000000');
});

t.test(
  'Bitset.findNextZero() returns size when every bit is set, whatever the padding',
  async (t) => {
    for (const size of [1, 31, 32, 33, 63, 64, 65, 128]) {
      const bitset = new Bitset(size);
      bitset.fill(true);
      t.equal(bitset.findNextZero(0), size);
      t.equal(bitset.weight(), size);
      bitset.clearTail();
      t.equal(bitset.findNextZero(0), size, 'padding is not looked at');
      bitset.fill(false);
      bitset.bytes.fill(0xff, Math.ceil(size / 8));
      t.equal(bitset.findNextOne(0), size);
      t.equal(bitset.weight(), 0);
      t.equal(bitset.findNextOne(size), size);
    }
  },
);

t.test('Bitset.clearTail() clears padding and nothing else', async (t) => {
  for (let size = 1; size <= 130; size++) {
    const bitset = new Bitset(size);
    bitset.fill(true);
    bitset.clearTail();
    const ones = [...bitset.bytes].map((byte) => byte.toString(2)).join('');
    t.equal(ones.replaceAll('0', '').length, size);
    t.equal(bitset.weight(), size);
  }
});

t.test('Bitset works beyond 2^31 bits', async (t) => {
  const size = 2 ** 31 + 100;
  const bitset = new Bitset(size);
  const bit = 2 ** 31 + 37;
  bitset.set(bit);
  t.equal(bitset.test(bit), true);
  t.equal(bitset.test(37), false);
  t.equal(bitset.findNextOne(0), bit);
  t.equal(bitset.findNextOne(bit + 1), size);
  t.equal(bitset.findNextZero(bit), bit + 1);
  bitset.fillFrom(bit, true);
  t.equal(bitset.weight(), size - bit);
  bitset.clear(bit);
  t.equal(bitset.findNextOne(2 ** 31), bit + 1);
});

t.test('Bitset over given storage keeps its bits; wrong storage is refused', async (t) => {
  const image = new Uint8Array(32).fill(0xff, 16);
  const bitset = new Bitset(65, image.subarray(8, 24));
  t.equal(bitset.findNextOne(0), 64);
  bitset.set(0);
  t.equal(image[8], 1);
  t.throws(() => new Bitset(65, new Uint8Array(8)), /over 8 bytes of storage/);
  t.throws(() => new Bitset(1, image.subarray(1, 9)), 'storage must be aligned');
});

t.test('Bitset refuses bits outside and other sizes', async (t) => {
  const bitset = new Bitset(10);
  for (const bit of [-1, 10, 63, Number.NaN]) {
    t.throws(() => bitset.test(bit), /outside a bitset of 10/);
    t.throws(() => bitset.set(bit), /outside/);
    t.throws(() => bitset.clear(bit), /outside/);
  }
  t.throws(() => bitset.copyFrom(new Bitset(11)), /copied/);
  t.throws(() => new Bitset(1.5), /must be 0 to/);
  const copy = new Bitset(10);
  bitset.set(3);
  copy.copyFrom(bitset);
  bitset.clear(3);
  t.equal(copy.test(3), true, 'a copy has a life of its own');
});
