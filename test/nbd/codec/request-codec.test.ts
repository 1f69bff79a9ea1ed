import fc from 'fast-check';
import t from 'tap';
import {
  decodeExtendedRequest,
  decodeRequest,
  decodeStatusQuery,
  encodeExtendedRequest,
  encodeRequest,
  encodeStatusQuery,
  RequestHeader,
} from '../../../src/nbd/codec/request-codec.ts';
import { extendedRequest, request } from '../../support/nbd-wire.ts';

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const head = {
  flags: u16,
  type: u16,
  cookie: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  offset: fc.maxSafeNat(),
};

interface Fields {
  readonly flags: number;
  readonly type: number;
  readonly cookie: bigint;
  readonly offset: number;
  readonly length: number;
}

const FORMS = [
  {
    name: 'compact',
    wire: request,
    decode: decodeRequest,
    encode: encodeRequest,
    fields: fc.record({ ...head, length: u32 }),
  },
  {
    name: 'extended',
    wire: extendedRequest,
    decode: decodeExtendedRequest,
    encode: encodeExtendedRequest,
    fields: fc.record({ ...head, length: fc.maxSafeNat() }),
  },
];

for (const { name, wire, decode, encode, fields } of FORMS) {
  t.test(`an ${name} request is on the wire what it is in values`, async () => {
    const agrees = (one: Fields, at: number): boolean => {
      const bytes = Buffer.concat([Buffer.alloc(at), wire(one)]);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const header = new RequestHeader();
      if (!decode(view, at, header)) return false;
      const cookie = (BigInt(header.cookieHigh) << 32n) | BigInt(header.cookieLow >>> 0);
      const offset = (BigInt(header.offsetHigh >>> 0) << 32n) | BigInt(header.offsetLow >>> 0);
      const again = Buffer.alloc(bytes.length);
      encode(new DataView(again.buffer, again.byteOffset), at, header);
      return (
        header.flags === one.flags &&
        header.command === one.type &&
        header.offset === one.offset &&
        offset === BigInt(one.offset) &&
        header.length === one.length &&
        BigInt.asUintN(64, cookie) === one.cookie &&
        again.equals(bytes)
      );
    };
    fc.assert(fc.property(fields, fc.nat(9), agrees));
  });

  t.test(`a request with another magic is no ${name} request`, async (t) => {
    const own = wire({ type: 0 }).readUInt32BE(0);
    for (const magic of [0x12560953, 0x96744668, 0x25609514, 0x25609513, 0x21e41c71, 0]) {
      const bytes = wire({ type: 0, magic });
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      t.equal(decode(view, 0, new RequestHeader()), magic === own, magic.toString(16));
    }
  });
}

t.test('offsets and lengths beyond 2^53 stay beyond every export', async (t) => {
  const bytes = extendedRequest({ type: 0, offset: 2n ** 64n - 1n, length: 2n ** 64n - 1n });
  const header = new RequestHeader();
  decodeExtendedRequest(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, header);
  t.ok(header.offset > Number.MAX_SAFE_INTEGER);
  t.ok(header.length > Number.MAX_SAFE_INTEGER);
  t.same([header.offsetHigh, header.offsetLow], [-1, -1], 'all bits for the reply');
});

t.test('the payload of BLOCK_STATUS is on the wire what it is in values', async (t) => {
  const query = { effectLength: 2 ** 40 + 7, contextIds: [3, 0xffffffff] };
  const bytes = encodeStatusQuery(query);
  t.equal(bytes.toString('hex'), '000001000000000700000003ffffffff');
  t.same(decodeStatusQuery(bytes), query);
  t.same(decodeStatusQuery(bytes.subarray(0, 8)), { ...query, contextIds: [] });
  for (const length of [0, 4, 7, 9, 15])
    t.equal(decodeStatusQuery(bytes.subarray(0, length)), null);
});
