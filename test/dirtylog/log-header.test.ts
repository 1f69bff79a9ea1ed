import fc from 'fast-check';
import t from 'tap';
import {
  decodeLogHeader,
  describeLogHeader,
  encodeLogHeader,
  LOG_MAGIC,
  LOG_REGIONS_UNKNOWN,
  logImageBytes,
  trustedRegions,
  validateLogHeader,
} from '../../src/dirtylog/log-header.ts';

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

t.test('Log header: encoded and decoded, it is the same; nothing behind it changes', async () => {
  fc.assert(
    fc.property(u32, u32, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (magic, version, count) => {
      const image = new Uint8Array(32).fill(0xa5);
      encodeLogHeader({ magic, version, regionCount: count }, image);
      const header = decodeLogHeader(image);
      return (
        header.magic === magic &&
        header.version === version &&
        header.regionCount === count &&
        image.subarray(16).every((byte) => byte === 0xa5)
      );
    }),
  );
});

t.test('Log header: every byte has its place', async (t) => {
  const image = new Uint8Array(16);
  encodeLogHeader({ magic: LOG_MAGIC, version: 2, regionCount: 0x0102030405060708n }, image);
  t.equal(Buffer.from(image).toString('hex'), '7252694d020000000807060504030201');
});

t.test(
  'validateLogHeader() and describeLogHeader() tell what the kernel makes of it',
  async (t) => {
    const header = { magic: LOG_MAGIC, version: 2, regionCount: 16n };
    const cases = [
      [header, 'valid', 'magic 0x4d695272, version 2, 16 regions'],
      [{ ...header, version: 1 }, 'old-version', /version 1, 16 regions \(read as version 2\)/],
      [{ ...header, version: 3 }, 'foreign-version', /version 3, .*unknown version/],
      [{ ...header, magic: 0xa5 }, 'foreign-magic', /^magic 0x000000a5 is not a log's/],
    ] as const;
    for (const [candidate, verdict, text] of cases) {
      t.equal(validateLogHeader(candidate), verdict);
      t.match(describeLogHeader(candidate), text);
    }
  },
);

t.test('trustedRegions() keeps 32 bits, so that LVM\'s "unknown" means all', async (t) => {
  const header = { magic: LOG_MAGIC, version: 2 };
  t.equal(trustedRegions({ ...header, regionCount: LOG_REGIONS_UNKNOWN }), 2 ** 32 - 1);
  t.equal(trustedRegions({ ...header, regionCount: 2n ** 32n }), 0);
  t.equal(trustedRegions({ ...header, regionCount: 17n }), 17);
});

t.test('logImageBytes() rounds the bitset to 64 bits and the whole to blocks', async (t) => {
  t.equal(logImageBytes(400, 512), 1536);
  t.equal(logImageBytes(400, 4096), 4096);
  t.equal(logImageBytes(4096, 512), 1536);
  t.equal(logImageBytes(4097, 512), 2048);
  t.equal(logImageBytes(2 ** 32 - 1, 512), 1024 + 2 ** 29);
});
