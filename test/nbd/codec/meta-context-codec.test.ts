import t from 'tap';
import {
  decodeContextReply,
  decodeContextRequest,
  encodeContextReply,
  encodeContextRequest,
} from '../../../src/nbd/codec/meta-context-codec.ts';
import { u32 } from '../../support/nbd-wire.ts';

const string = (text: string | Buffer): Buffer =>
  Buffer.concat([u32(Buffer.byteLength(text)), Buffer.from(text)]);

t.test('the data of the metadata context options are read back', async (t) => {
  for (const request of [
    { exportName: '', queries: [] },
    { exportName: 'm0', queries: ['base:allocation', 'x-dm-mirror:'] },
    { exportName: 'e'.repeat(4096), queries: ['q'.repeat(4096), ''] },
  ]) {
    t.same(decodeContextRequest(encodeContextRequest(request)), request);
  }
  const bytes = encodeContextRequest({ exportName: 'm', queries: ['base:'] });
  t.equal(bytes.toString('hex'), '000000016d0000000100000005626173653a');
});

t.test('malformed data are refused in one sentence', async (t) => {
  for (const [data, expected] of [
    [Buffer.alloc(0), /before the length of the name/],
    [u32(1), /name of 1 bytes does not fit/],
    [u32(0xffffffff), /name of 4294967295 bytes does not fit/],
    [string(''), /before the number of queries/],
    [Buffer.concat([string(''), u32(0xffffffff)]), /4294967295 queries do not fit/],
    [Buffer.concat([string(''), u32(1)]), /1 queries do not fit/],
    [Buffer.concat([string(''), u32(1), u32(5), Buffer.from('base')]), /query 0 of 5 bytes/],
    [Buffer.concat([string(''), u32(2), string('a:b'), u32(0).subarray(1)]), /before the length/],
    [Buffer.concat([string(''), u32(0), u32(0)]), /4 bytes behind the last query/],
    [Buffer.concat([string('a\0b'), u32(0)]), /the name is no UTF-8/],
    [Buffer.concat([string('x'.repeat(4097)), u32(0)]), /the name is no UTF-8 of at most 4096/],
    [Buffer.concat([string(''), u32(1), string(Buffer.of(0xff))]), /query 0 is no UTF-8/],
    [Buffer.concat([string(''), u32(1), string('q'.repeat(4097))]), /query 0 is no UTF-8/],
  ] as const) {
    t.match(decodeContextRequest(data), expected);
  }
});

t.test('a META_CONTEXT reply is read back', async (t) => {
  const reply = encodeContextReply(10, { id: 2 ** 32 - 1, name: 'base:allocation' });
  t.same(decodeContextReply(reply.subarray(20)), { id: 2 ** 32 - 1, name: 'base:allocation' });
  t.equal(decodeContextReply(Buffer.alloc(3)), null);
  t.equal(decodeContextReply(Buffer.of(0, 0, 0, 1, 0xff)), null);
});
