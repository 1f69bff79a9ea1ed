import fc from 'fast-check';
import t from 'tap';
import {
  decodeRequest,
  encodeRequest,
  RequestHeader,
} from '../../../src/nbd/codec/request-codec.ts';
import { request } from '../../support/nbd-wire.ts';

t.test('decodeRequest() and encodeRequest() agree with the wire on every field', async () => {
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const fields = fc.record({
    flags: u16,
    type: u16,
    cookie: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    offset: fc.maxSafeNat(),
    length: fc.integer({ min: 0, max: 0xffffffff }),
  });
  fc.assert(
    fc.property(fields, fc.nat(9), (one, at) => {
      const bytes = Buffer.concat([Buffer.alloc(at), request(one)]);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const header = new RequestHeader();
      if (!decodeRequest(view, at, header)) return false;
      const cookie = (BigInt(header.cookieHigh) << 32n) | BigInt(header.cookieLow >>> 0);
      const again = Buffer.alloc(bytes.length);
      encodeRequest(new DataView(again.buffer, again.byteOffset), at, header);
      return (
        header.flags === one.flags &&
        header.command === one.type &&
        header.offset === one.offset &&
        header.length === one.length &&
        BigInt.asUintN(64, cookie) === one.cookie &&
        again.equals(bytes)
      );
    }),
  );
});

t.test('decodeRequest() refuses every magic but its own', async (t) => {
  for (const magic of [0x12560953, 0x96744668, 0x25609514, 0x21e41c71, 0]) {
    const bytes = request({ type: 0, magic });
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    t.equal(decodeRequest(view, 0, new RequestHeader()), false);
  }
});

t.test('decodeRequest() keeps an offset beyond 2^53 beyond every export', async (t) => {
  const bytes = request({ type: 0, offset: 2n ** 64n - 1n });
  const header = new RequestHeader();
  decodeRequest(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, header);
  t.ok(header.offset > Number.MAX_SAFE_INTEGER);
});
