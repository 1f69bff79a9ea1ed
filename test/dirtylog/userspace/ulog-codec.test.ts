import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import type { Region } from '../../../src/base/units.ts';
import {
  decodeUlogMessage,
  encodeUlogMessage,
  ULOG_DATA_BYTES_MAX,
  ULOG_HEADER_BYTES,
  type UlogMessage,
  UlogReader,
} from '../../../src/dirtylog/userspace/ulog-codec.ts';
import * as payloads from '../../../src/dirtylog/userspace/ulog-payloads.ts';

const message: UlogMessage = {
  luid: 0x0102030405060708n,
  uuid: 'LVM-log',
  version: 3,
  error: -22,
  seq: 0x11121314,
  requestType: payloads.ULOG_FLUSH,
  data: Uint8Array.of(0xaa, 0xbb),
};

const anyUuid = fc
  .string({ unit: 'grapheme', maxLength: 20 })
  .filter((text) => !text.includes('\0') && Buffer.byteLength(text) <= 128);

const anyMessage: fc.Arbitrary<UlogMessage> = fc.record({
  luid: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  uuid: anyUuid,
  version: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  error: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  seq: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  requestType: fc.integer({ min: 0, max: 255 }),
  data: fc.uint8Array({ maxLength: 400 }),
});

/** Plain objects and arrays, so that they compare. */
function plain({ data, ...fields }: UlogMessage) {
  return { ...fields, data: [...data] };
}

t.test('encodeUlogMessage(): every byte has its place', async (t) => {
  const hex = Buffer.from(encodeUlogMessage(message)).toString('hex');
  const uuid = Buffer.from('LVM-log')
    .toString('hex')
    .padEnd(132 * 2, '0');
  t.equal(hex, `0807060504030201${uuid}03000000eaffffff141312110900000002000000aabb`);
});

t.test('UlogReader: what went in comes out, however the stream is cut', async () => {
  fc.assert(
    fc.property(
      fc.array(anyMessage, { maxLength: 6 }),
      fc.array(fc.nat(300), { maxLength: 20 }),
      (messages, cuts) => {
        const stream = Buffer.concat(messages.map(encodeUlogMessage));
        const reader = new UlogReader();
        const taken: UlogMessage[] = [];
        let at = 0;
        for (const size of [...cuts, stream.length]) {
          const problem = reader.push(stream.subarray(at, at + size), (one) => taken.push(one));
          if (problem !== null) throw new Error(problem);
          at += size;
        }
        deepStrictEqual(taken.map(plain), messages.map(plain));
        return reader.unfinishedBytes === 0;
      },
    ),
  );
});

t.test('UlogReader: a message inside the handling of another waits for its turn', async (t) => {
  const reader = new UlogReader();
  const seqs: number[] = [];
  const first = encodeUlogMessage({ ...message, seq: 1 });
  const second = encodeUlogMessage({ ...message, seq: 2 });
  reader.push(Buffer.concat([first, second.subarray(0, 50)]), ({ seq }) => seqs.push(seq));
  t.equal(reader.unfinishedBytes, 50);
  reader.push(second.subarray(50), ({ seq }) => seqs.push(seq));
  t.same(seqs, [1, 2]);
});

t.test('what is no message is refused, in a stream for good', async (t) => {
  const whole = encodeUlogMessage(message);
  const withBytes = (at: number, ...bytes: number[]) => {
    const copy = whole.slice();
    copy.set(bytes, at);
    return copy;
  };
  const tooLarge = withBytes(156, 0xff, 0xff, 0xff, 0x7f);
  const endless = whole.slice();
  endless.fill(0x41, 8, 137);
  const cases = [
    [tooLarge, /^data_size is 2147483647, must be at most 16384$/],
    [endless, /^uuid must be UTF-8 of at most 128 bytes, then NUL$/],
    [withBytes(8, 0xff), /^uuid must be UTF-8/],
  ] as const;
  for (const [bytes, problem] of cases) {
    t.match(decodeUlogMessage(bytes).problem, problem);
    const reader = new UlogReader();
    const fail = () => t.fail('nothing is taken');
    t.match(reader.push(bytes, fail), problem);
    t.match(reader.push(whole, fail), problem, 'also afterwards');
  }
  t.match(decodeUlogMessage(whole.subarray(0, 159)).problem, /159 bytes, must be at least 160/);
  t.match(decodeUlogMessage(whole.subarray(0, 161)).problem, /data_size is 2, 1 bytes follow/);
  t.same(plain(decodeUlogMessage(whole).value!), plain(message));
  t.equal(ULOG_HEADER_BYTES + ULOG_DATA_BYTES_MAX, 16_544);
});

const region = fc.maxSafeNat().map((number) => number as Region);
const bare = [2, 3, 4, 5, 6, 12, 14, 15, 16].map((type) => ({ type }) as payloads.UlogRequest);
const anyRequest: fc.Arbitrary<payloads.UlogRequest> = fc.oneof(
  fc.constantFrom(...bare),
  fc.record({ type: fc.constant(payloads.ULOG_CTR), text: fc.constant('8192 mem 1024 nosync') }),
  fc.record({ type: fc.constantFrom(7 as const, 8 as const, 17 as const), region }),
  fc.record({
    type: fc.constantFrom(10 as const, 11 as const),
    regions: fc.array(region, { minLength: 1, maxLength: 32 }),
  }),
  fc.record({
    type: fc.constant(payloads.ULOG_FLUSH),
    regions: fc.array(region, { maxLength: 9 }),
  }),
  fc.record({ type: fc.constant(payloads.ULOG_SET_REGION_SYNC), region, inSync: fc.boolean() }),
);

t.test('requests: encoded and decoded, they are the same', async () => {
  fc.assert(
    fc.property(anyRequest, (request) => {
      const { value } = payloads.decodeUlogRequest(
        request.type,
        payloads.encodeUlogRequest(request),
      );
      return JSON.stringify(value) === JSON.stringify(request);
    }),
  );
});

t.test('requests: whatever bytes come, the answer is a request or a problem', async () => {
  fc.assert(
    fc.property(fc.nat(255), fc.uint8Array({ maxLength: 400 }), (type, data) => {
      const { value, problem } = payloads.decodeUlogRequest(type, data);
      return (value === null) !== (problem === null);
    }),
  );
});

t.test('requests: data that do not fit are named with what is required', async (t) => {
  const numbers = (...values: bigint[]) => new Uint8Array(BigUint64Array.from(values).buffer);
  const cases = [
    [0, numbers(), /^request has type 0, must be 1 to 17$/],
    [18, numbers(), /^request has type 18, must be 1 to 17$/],
    [2, numbers(1n), /^DTR has 8 bytes of data \(0100000000000000\), must be nothing$/],
    [8, numbers(), /^IN_SYNC has 0 bytes of data \(\), must be one region$/],
    [8, numbers(2n ** 53n), /^IN_SYNC .*, must be one region$/],
    [8, Uint8Array.of(1, 2, 3), /^IN_SYNC has 3 bytes/],
    [10, numbers(), /^MARK_REGION .*, must be up to 32 regions$/],
    [10, numbers(...Array(33).fill(1n)), /^MARK_REGION has 264 bytes of data \(.*\.\.\.\)/],
    [13, numbers(1n), /^SET_REGION_SYNC .*, must be a region and a number$/],
    [1, Uint8Array.of(0xff), /^CTR .*, must be UTF-8$/],
    [1, new Uint8Array(333).fill(0x41), /^CTR has 333 bytes .*, must be at most 332 bytes$/],
  ] as const;
  for (const [type, data, problem] of cases) {
    t.match(payloads.decodeUlogRequest(type, data).problem, problem);
  }
  const withNul = payloads.decodeUlogRequest(1, new TextEncoder().encode('8 mem 2\0')).value;
  t.same(withNul, { type: 1, text: '8 mem 2' }, 'a CTR that is sent again ends with NUL');
});

t.test('answers: encoded and decoded, they are the same; of a wrong length, refused', async (t) => {
  const { ULOG_IN_SYNC: IN_SYNC, ULOG_GET_SYNC_COUNT: COUNT, ULOG_STATUS_INFO: INFO } = payloads;
  const recovering = { recovering: true, inSyncHint: 7 };
  t.equal(payloads.decodeDeviceName(payloads.encodeDeviceName('7:0')).value, '7:0');
  t.equal(payloads.decodeDeviceName(payloads.encodeDeviceName(null)).value, null);
  t.equal(payloads.decodeCount(COUNT, payloads.encodeCount(2 ** 40 + 3)).value, 2 ** 40 + 3);
  t.equal(payloads.decodeFlag(IN_SYNC, payloads.encodeFlag(true)).value, 1);
  t.equal(payloads.decodeFlag(IN_SYNC, new Uint8Array(8).fill(0xff)).value, -1);
  t.equal(payloads.decodeResyncWork(payloads.encodeResyncWork(9 as Region)).value, 9);
  t.equal(payloads.decodeResyncWork(payloads.encodeResyncWork(null)).value, null);
  t.same(
    payloads.decodeRemoteRecovering(payloads.encodeRemoteRecovering(recovering)).value,
    recovering,
  );
  t.equal(payloads.decodeStatus(INFO, payloads.encodeStatus('1 mem')).value, '1 mem');
  const short = new Uint8Array(7);
  t.match(
    payloads.decodeDeviceName(Buffer.from('7:0')).problem,
    /must be UTF-8 that ends with NUL/,
  );
  t.match(payloads.decodeCount(COUNT, short).problem, /^GET_SYNC_COUNT has 7 bytes/);
  t.match(payloads.decodeCount(COUNT, new Uint8Array(8).fill(0xff)).problem, /below 2\^53/);
  t.match(payloads.decodeFlag(IN_SYNC, short).problem, /^IN_SYNC has 7 bytes/);
  t.match(payloads.decodeResyncWork(short).problem, /must be two numbers/);
  t.match(payloads.decodeResyncWork(new Uint8Array(16).fill(0x7f)).problem, /a region below 2\^53/);
  t.match(payloads.decodeRemoteRecovering(short).problem, /must be a flag and a region/);
  t.match(payloads.decodeStatus(INFO, Uint8Array.of(0xff)).problem, /must be UTF-8/);
});
