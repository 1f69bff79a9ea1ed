import t from 'tap';
import { formatByteSize, parseByteSize } from '../../src/base/byte-size.ts';

t.test('parseByteSize() takes bytes and suffixes of either case', async (t) => {
  const cases: [text: string, bytes: number][] = [
    ['0', 0],
    ['512', 512],
    ['1K', 1024],
    ['512k', 524_288],
    ['1.5M', 1_572_864],
    ['1G', 2 ** 30],
    ['2GiB', 2 ** 31],
    ['8T', 2 ** 43],
    ['8TB', 2 ** 43],
  ];
  for (const [text, bytes] of cases) t.equal(parseByteSize(text), bytes, text);
});

t.test('parseByteSize() refuses what is no size', async (t) => {
  for (const text of ['', '-1', '1e3', '0x10', ' 1', '1 K', '1KK', '1P', 'K', '1.3', '9999999T']) {
    t.equal(parseByteSize(text), null, `"${text}"`);
  }
});

t.test('formatByteSize() chooses the largest suffix that fits', async (t) => {
  const shown = [0, 1, 1023, 1024, 1536, 2 ** 30, 1.25 * 2 ** 30].map(formatByteSize);
  t.strictSame(shown, ['0 bytes', '1 byte', '1023 bytes', '1 KiB', '1.5 KiB', '1 GiB', '1.3 GiB']);
});
