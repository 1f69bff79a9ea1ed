import fc from 'fast-check';
import t from 'tap';
import { formatByteSize, parseByteSize } from '../../src/base/byte-size.ts';

t.test('parseByteSize() takes sizes as people write them', async (t) => {
  const cases: [string, number][] = [
    ['0', 0],
    ['4096', 4096],
    ['512K', 524_288],
    ['512k', 524_288],
    ['1.5G', 1.5 * 2 ** 30],
    ['2GiB', 2 * 2 ** 30],
    ['2MB', 2 * 2 ** 20],
    ['8T', 8 * 2 ** 40],
    ['0.5K', 512],
  ];
  for (const [text, bytes] of cases) t.equal(parseByteSize(text), bytes, text);
});

t.test('parseByteSize() refuses what is no size or no whole byte', async (t) => {
  const refused = ['', ' 1', '1 ', '-1', '+1', '1e3', '0x10', 'K', '1.K', '.5K', '1KK', '1P'];
  for (const text of [...refused, '1.5', '0.0001K', '99999999T', '9'.repeat(40), '1 K']) {
    t.equal(parseByteSize(text), null, text);
  }
});

t.test('formatByteSize() is read back as what it says, where it says it exactly', async (t) => {
  t.equal(formatByteSize(1), '1 byte');
  t.equal(formatByteSize(1023), '1023 bytes');
  t.equal(formatByteSize(2 ** 30), '1 GiB');
  t.equal(formatByteSize(1.5 * 2 ** 20), '1.5 MiB');
  fc.assert(
    fc.property(fc.nat(1023), fc.constantFrom('K', 'M', 'G', 'T'), (count, suffix) => {
      const bytes = parseByteSize(`${count + 1}${suffix}`)!;
      return parseByteSize(formatByteSize(bytes).replace(' ', '')) === bytes;
    }),
  );
});
