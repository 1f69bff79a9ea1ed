import t from 'tap';
import {
  type ChunkForm,
  dataChunkPrefixSize,
  decodeChunkHeader,
  decodeErrorPayload,
  decodeHolePayload,
  EXTENDED,
  encodeDataChunkPrefix,
  encodeErrorChunk,
  encodeHoleChunk,
  encodeNoneChunk,
  errorChunkSize,
  holeChunkSize,
  STRUCTURED,
} from '../../../src/nbd/codec/reply-codec.ts';
import {
  decodeStatusPayload,
  encodeStatusChunk,
  statusChunkSize,
} from '../../../src/nbd/codec/status-codec.ts';

const REQUEST = { cookieHigh: 0x01020304, cookieLow: -2, offsetHigh: 5, offsetLow: -16 };
const COOKIE = '01020304fffffffe';
const OFFSET = '00000005fffffff0';

/** What `encode` leaves in `size` bytes, as hexadecimal digits. */
function hex(size: number, encode: (view: DataView) => void): string {
  const bytes = Buffer.alloc(size, 0xee);
  encode(new DataView(bytes.buffer, bytes.byteOffset, size));
  return bytes.toString('hex');
}

const structured = (flags: string, type: string, payload: string): string =>
  `668e33ef${flags}${type}${COOKIE}${(payload.length / 2).toString(16).padStart(8, '0')}${payload}`;
const extended = (flags: string, type: string, payload: string): string =>
  `6e8a278c${flags}${type}${COOKIE}${OFFSET}` +
  `${(payload.length / 2).toString(16).padStart(16, '0')}${payload}`;

t.test('chunks are on the wire what the protocol says, in both forms', async (t) => {
  for (const [form, wire] of [
    [STRUCTURED, structured],
    [EXTENDED, extended],
  ] as const) {
    const none = hex(form.headerSize, (view) => encodeNoneChunk(form, view, 0, REQUEST));
    t.equal(none, wire('0001', '0000', ''));
    const range = { offset: 2 ** 33 + 1, length: 2, done: false };
    const data = hex(dataChunkPrefixSize(form) + 2, (view) => {
      encodeDataChunkPrefix(form, view, 0, REQUEST, range);
    });
    t.equal(data, wire('0000', '0001', '0000000200000001eeee'));
    const hole = hex(holeChunkSize(form), (view) => {
      encodeHoleChunk(form, view, 0, REQUEST, { ...range, length: 0xffffffff, done: true });
    });
    t.equal(hole, wire('0001', '0002', '0000000200000001ffffffff'));
    const error = hex(errorChunkSize(form, 2), (view) => {
      const end = encodeErrorChunk(form, view, 0, REQUEST, { error: 22, textSize: 2 });
      t.equal(end, view.byteLength - 2, 'the text stands at the end');
    });
    t.equal(error, wire('0001', '8001', '000000160002eeee'));
  }
});

t.test('status chunks have extents of 32 bits, or of 64 and their count', async (t) => {
  const chunk = { contextId: 7, extents: [extent(512, 1), extent(1024, 0)], done: true };
  const encode = (form: ChunkForm, one: typeof chunk): string =>
    hex(statusChunkSize(form, one.extents.length), (view) => {
      encodeStatusChunk(form, view, 0, REQUEST, one);
    });
  t.equal(
    encode(STRUCTURED, chunk),
    structured('0001', '0005', '0000000700000200000000010000040000000000'),
  );
  t.equal(
    encode(EXTENDED, { ...chunk, extents: [extent(2 ** 40, 0x80000001)], done: false }),
    extended('0000', '0006', '0000000700000001' + '00000100000000000000000080000001'),
  );
});

t.test('chunk headers are read back', async (t) => {
  for (const form of [STRUCTURED, EXTENDED]) {
    const bytes = Buffer.alloc(form.headerSize);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    encodeNoneChunk(form, view, 0, REQUEST);
    const { cookieHigh, cookieLow } = REQUEST;
    const offset = form.extended ? 5 * 2 ** 32 + 0xfffffff0 : 0;
    const expected = { done: true, type: 0, cookieHigh, cookieLow, offset, length: 0 };
    t.same(decodeChunkHeader(form, view, 0), expected);
    t.equal(decodeChunkHeader(form === EXTENDED ? STRUCTURED : EXTENDED, view, 0), null);
  }
});

t.test('payloads with wrong lengths are nothing', async (t) => {
  const bytes = (text: string): Buffer => Buffer.from(text, 'hex');
  t.same(decodeHolePayload(bytes('000000010000000200000003')), { offset: 2 ** 32 + 2, length: 3 });
  t.equal(decodeHolePayload(bytes('000000010000000200000000')), null, 'a hole of no bytes');
  t.equal(decodeHolePayload(bytes('0000000100000002000000')), null);
  t.same(decodeErrorPayload(0x8001, bytes('00000005000178')), { error: 5, text: 'x' });
  t.equal(decodeErrorPayload(0x8001, bytes('00000005000278')), null);
  t.equal(decodeErrorPayload(0x8002, bytes('00000005000178')), null, 'no offset');
  const status = '00000007' + '0000020000000001';
  t.same(decodeStatusPayload(5, bytes(status)), { contextId: 7, extents: [extent(512, 1)] });
  for (const wrong of ['00000007', `${status}00`, '000000070000000000000001']) {
    t.equal(decodeStatusPayload(5, bytes(wrong)), null, wrong);
  }
  const wide = '0000000700000001' + '00000100000000000000000000000003';
  t.same(decodeStatusPayload(6, bytes(wide)), { contextId: 7, extents: [extent(2 ** 40, 3)] });
  for (const wrong of [
    '0000000700000002' + '00000100000000000000000000000003',
    '0000000700000001' + '00000000000000000000000000000003',
    '0000000700000001' + '00000100000000000000000100000003',
    '0000000700000000',
  ]) {
    t.equal(decodeStatusPayload(6, bytes(wrong)), null, wrong);
  }
});

function extent(length: number, status: number): { length: number; status: number } {
  return { length, status };
}
