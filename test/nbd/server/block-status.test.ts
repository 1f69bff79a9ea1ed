/** BLOCK_STATUS, sparse reads and extended headers, request by request. */

import t from 'tap';
import { SECTOR_SIZE } from '../../../src/base/units.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import type { MetaContext } from '../../../src/nbd/server/meta-context.ts';
import { type MemoryTransport, NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';
import { ScriptedDevice } from '../../support/scripted-device.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const { BLOCK_STATUS, DF, EINVAL, FUA, PAYLOAD_LEN, REQ_ONE } = wire;
const BASE = 'base:allocation';

/** A stripe of 1 KiB, then one of 0, and so on. */
const stripes: MetaContext = {
  name: 'x-test:stripes',
  status({ offset, length, extentsMax }) {
    const extents = [];
    for (let at = offset; at < offset + length && extents.length < extentsMax; ) {
      const end = Math.min(offset + length, (Math.floor(at / KIB) + 1) * KIB);
      extents.push({ length: end - at, status: Math.floor(at / KIB) % 2 });
      at = end;
    }
    return extents;
  },
};

/** Of 1 MiB: data in the sectors 8 to 15. */
function makeDevice(): ScriptedDevice {
  const device = new ScriptedDevice({ name: 'disk', sectors: MIB / SECTOR_SIZE });
  device.knowsZeros = true;
  device.bytes.fill(7, 8 * SECTOR_SIZE, 16 * SECTOR_SIZE);
  return device;
}

function attach(options: { extended?: boolean; contexts?: readonly string[] } = {}): {
  device: ScriptedDevice;
  session: NbdSession;
  client: MemoryTransport;
} {
  const device = makeDevice();
  const exports = [{ name: 'data', device, contexts: [stripes] }];
  const session = new NbdSession({ device, exports });
  const { contexts = [BASE] } = options;
  return { device, session, client: session.attach({ structured: true, ...options, contexts }) };
}

/** "4096:3 512:0" of each context. */
function statuses(replies: readonly wire.ReplyFields[]): Map<number, string> {
  return new Map(
    replies.map((reply) => {
      const [id, extents] = wire.parseStatus(reply);
      return [id, extents.map(([length, status]) => `${length}:${status}`).join(' ')];
    }),
  );
}

t.test('BLOCK_STATUS tells holes from data, for any bytes inside the export', async (t) => {
  const { session, client } = attach();
  for (const [offset, length, expected] of [
    [0, MIB, '4096:3 4096:0 1040384:3'],
    [0, 4096, '4096:3'],
    [0, 4097, '4096:3 1:0'],
    [4095, 2, '1:3 1:0'],
    [5000, 1, '1:0'],
    [8191, 3, '1:0 2:3'],
    [8193, MIB - 8193, `${MIB - 8193}:3`],
    [MIB - 1, 1, '1:3'],
  ] as const) {
    const request = wire.request({ type: BLOCK_STATUS, offset, length, cookie: 9n });
    const replies = wire.parseReplies(session.exchange(client, request));
    t.same([...statuses(replies).values()], [expected], `${offset}+${length}`);
    t.ok(replies.at(-1)!.done);
    t.equal(replies[0]!.cookie, 9n);
  }
});

t.test('BLOCK_STATUS has one chunk for each context, and one extent with REQ_ONE', async (t) => {
  const { session, client } = attach({ contexts: [stripes.name, BASE] });
  const ask = (flags: number, offset: number, length: number): wire.ReplyFields[] => {
    const request = wire.request({ type: BLOCK_STATUS, flags, offset, length });
    return wire.parseReplies(session.exchange(client, request));
  };
  const whole = ask(FUA, 2048, 4096);
  t.same(
    [...statuses(whole)],
    [
      [1, '2048:3 2048:0'],
      [2, '1024:0 1024:1 1024:0 1024:1'],
    ],
  );
  t.same(
    whole.map(({ done }) => done),
    [false, true],
  );
  t.same([...statuses(ask(REQ_ONE, 2048, 4096)).values()], ['2048:3', '1024:0']);
  t.same([...statuses(ask(REQ_ONE, 2000, 10)).values()], ['10:3', '10:1'], 'not past the request');
  const many = wire.parseStatus(ask(0, 0, MIB)[1]!)[1];
  t.equal(many.length, 1024);
  t.equal(
    many.reduce((sum, [length]) => sum + length, 0n),
    BigInt(MIB),
  );
});

t.test('BLOCK_STATUS answers in pieces where there is very much to say', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 2 ** 20, sparse: true });
  const session = new NbdSession({ device, exports: [{ name: '', device, contexts: [stripes] }] });
  const client = session.attach({ structured: true, contexts: [stripes.name] });
  const request = wire.request({ type: BLOCK_STATUS, length: 2 ** 29 });
  const [reply] = wire.parseReplies(session.exchange(client, request));
  t.equal(wire.parseStatus(reply!)[1].length, 4096);
});

t.test('BLOCK_STATUS gets EINVAL for what it must not be', async (t) => {
  const unselected = attach({ contexts: ['no:such'] });
  const plain = new NbdSession({ device: makeDevice() });
  const { session, client } = attach();
  const status = (fields: Partial<wire.RequestFields>): Buffer =>
    wire.request({ type: BLOCK_STATUS, length: 512, ...fields });
  for (const [what, where, message] of [
    ['nothing selected', unselected, status({})],
    ['simple replies', { session: plain, client: plain.attach() }, status({})],
    ['length 0', { session, client }, status({ length: 0 })],
    ['past the end', { session, client }, status({ offset: MIB - 511 })],
    ['far past the end', { session, client }, status({ offset: 2n ** 64n - 1n })],
    ['DF', { session, client }, status({ flags: DF })],
    ['PAYLOAD_LEN', { session, client }, status({ flags: PAYLOAD_LEN })],
  ] as const) {
    const [reply] = wire.parseReplies(where.session.exchange(where.client, message));
    t.equal(reply!.error, EINVAL, what);
    if (reply!.form === 'chunk') t.match(reply!.text, /^BLOCK_STATUS: .+/);
  }
});

t.test('BLOCK_STATUS waits its turn, and is forgotten with its client', async (t) => {
  const { session, client } = attach();
  const request = wire.request({ type: BLOCK_STATUS, length: MIB });
  client.feed(Buffer.concat(Array(200).fill(request)));
  session.settle(client);
  t.equal(wire.parseReplies(client.take()).length, 200);
  client.feed(Buffer.concat([request, request]));
  client.vanish();
  session.settle();
  t.equal(session.server.connections.length, 0);
});

/** Chunks of a READ in words: "hole 0+4096", "data 4096+4096 DONE". */
function pieces(bytes: Buffer): string[] {
  return wire.parseReplies(bytes).map(({ type, offset, data, done }) => {
    const [word, length] = type === 2 ? ['hole', data.readUInt32BE(0)] : ['data', data.length];
    return `${type > 2 ? type : word} ${offset}+${length}${done ? ' DONE' : ''}`;
  });
}

t.test('a READ leaves out a large hole at its beginning, where the device knows it', async (t) => {
  const { device, session, client } = attach();
  device.bytes.fill(5, 768 * KIB);
  const read = (offset: number, length: number, flags = 0): string[] =>
    pieces(session.exchange(client, wire.read(offset, length, 1n, flags)));
  const hole = `hole 8192+${512 * KIB} DONE`;
  t.same(read(8192, 512 * KIB), [hole]);
  t.same(device.seen, [], 'nothing is read');
  t.same(read(512 * KIB, 512 * KIB), [
    `hole ${512 * KIB}+${256 * KIB}`,
    `data ${768 * KIB}+${256 * KIB} DONE`,
  ]);
  t.same(read(8192, 4096), ['data 8192+4096 DONE'], 'a small read is read');
  t.same(read(0, MIB), [`data 0+${MIB} DONE`], 'so is a small hole');
  t.same(read(8192, 512 * KIB, DF), [`data 8192+${512 * KIB} DONE`], 'and one piece');
  t.same(read(8193, 512 * KIB), [`hole 8193+${512 * KIB} DONE`], 'at any byte');
  device.failing.add('read');
  const [failed] = wire.parseReplies(session.exchange(client, wire.read(8192, 512 * KIB)));
  t.equal(failed!.error, 5, 'a device that fails knows nothing');
});

t.test('a READ that fails behind a hole is an error, and no hole', async (t) => {
  const { device, session, client } = attach();
  device.bytes.fill(5, 768 * KIB);
  device.badSectors.add(800 * 2);
  const bytes = session.exchange(client, wire.read(512 * KIB, 512 * KIB));
  const replies = wire.parseReplies(bytes);
  t.same(
    replies.map(({ error, done }) => [error, done]),
    [[5, true]],
  );
});

t.test('a READ with simple replies has all its bytes', async (t) => {
  const device = makeDevice();
  const session = new NbdSession({ device });
  const client = session.attach();
  const bytes = session.exchange(client, wire.read(8192, 512 * KIB, 3n));
  const [reply] = wire.parseReplies(bytes, new Map([[3n, 512 * KIB]]));
  t.ok(reply!.data.every((byte) => byte === 0));
});

t.test('extended headers: every reply is a chunk, and repeats the offset', async (t) => {
  const { session, client } = attach({ extended: true });
  const extended = wire.extendedRequest;
  const cookie = 0x8000000000000001n;
  const data = Buffer.alloc(512, 3);
  for (const [what, message, type] of [
    ['WRITE', extended({ type: 1, offset: 512, flags: PAYLOAD_LEN, payload: data, cookie }), 0],
    ['WRITE without the flag', extended({ type: 1, offset: 512, payload: data, cookie }), 0],
    ['WRITE of nothing', extended({ type: 1, offset: 512, flags: PAYLOAD_LEN, cookie }), 0],
    ['READ', extended({ type: 0, offset: 512, length: 512, cookie }), 1],
    ['READ of nothing', extended({ type: 0, offset: 512, cookie }), 0],
    ['a hole', extended({ type: 0, offset: 8192, length: 512 * KIB, cookie }), 2],
    ['FLUSH', extended({ type: 3, cookie }), 0],
    ['TRIM', extended({ type: 4, offset: 512, length: 512, cookie }), 0],
    ['CACHE', extended({ type: 5, offset: 512, length: 512, cookie }), 0],
    ['WRITE_ZEROES', extended({ type: 6, offset: 512, length: 512, cookie }), 0],
    ['BLOCK_STATUS', extended({ type: 7, offset: 512, length: 512, cookie }), 6],
    ['FAST_ZERO', extended({ type: 6, offset: 512, length: 512, flags: 16, cookie }), 0x8001],
    [
      'a range that wraps',
      extended({ type: 0, offset: 2n ** 64n - 1n, length: 2n, cookie }),
      0x8001,
    ],
    ['a length of 2^64-1', extended({ type: 4, length: 2n ** 64n - 1n, cookie }), 0x8001],
    ['READ of 2^33 bytes', extended({ type: 0, length: 2n ** 33n, cookie }), 0x8001],
  ] as const) {
    const replies = wire.parseReplies(session.exchange(client, message));
    t.equal(replies.length, 1, what);
    t.equal(replies[0]!.type, type, what);
    t.equal(replies[0]!.requestOffset, message.readBigUInt64BE(16), `${what}: offset`);
    t.equal(replies[0]!.cookie, cookie);
    t.equal(replies[0]!.done, true);
  }
  session.exchange(client, extended({ type: 2 }));
  t.ok(client.serverEnded, 'DISC');
});

t.test('extended headers: an unwanted payload is consumed, a huge one ends it', async (t) => {
  const { session, client } = attach({ extended: true });
  const extended = wire.extendedRequest;
  const payload = Buffer.from('21e41c71'.repeat(20), 'hex');
  for (const type of [0, 3, 4, 5, 6, 7, 8, 99]) {
    const request = extended({ type, flags: PAYLOAD_LEN, payload, cookie: BigInt(type) });
    const bytes = session.exchange(client, request, extended({ type: 3, cookie: 77n }));
    const replies = wire.parseReplies(bytes);
    t.same(
      replies.map(({ cookie, error }) => [cookie, error]),
      [
        [BigInt(type), EINVAL],
        [77n, 0],
      ],
      `command ${type}`,
    );
  }
  const other = attach({ extended: true });
  other.session.exchange(
    other.client,
    extended({ type: 0, flags: PAYLOAD_LEN, length: 64 * MIB + 1 }),
  );
  t.ok(other.client.destroyed, 'more than the cap');
  const compact = attach();
  compact.session.exchange(compact.client, extended({ type: 3 }));
  t.ok(compact.client.destroyed, 'the magic of the other form');
  session.exchange(client, wire.request({ type: 3 }), Buffer.alloc(4));
  t.ok(client.destroyed, 'and the other way round');
});

/** The payload of BLOCK_STATUS. */
function statusQuery(effectLength: number, ...ids: number[]): Buffer {
  const bytes = Buffer.alloc(8 + 4 * ids.length);
  bytes.writeBigUInt64BE(BigInt(effectLength));
  for (const [index, id] of ids.entries()) bytes.writeUInt32BE(id, 8 + 4 * index);
  return bytes;
}

t.test('BLOCK_STATUS with a payload answers the contexts that it names', async (t) => {
  const { session, client } = attach({ extended: true, contexts: [BASE, stripes.name] });
  const ask = (payload: Buffer, flags = 0): wire.ReplyFields[] => {
    const fields = { type: BLOCK_STATUS, offset: 4096, flags: flags | PAYLOAD_LEN, payload };
    const after = wire.extendedRequest({ type: 3, cookie: 5n });
    const replies = wire.parseReplies(
      session.exchange(client, wire.extendedRequest(fields), after),
    );
    t.equal(replies.filter(({ cookie }) => cookie === 5n).length, 1, 'in step');
    return replies.filter(({ cookie }) => cookie !== 5n);
  };
  t.same([...statuses(ask(statusQuery(8192, 1)))], [[1, '4096:0 4096:3']]);
  t.same([...statuses(ask(statusQuery(2048, 2)))], [[2, '1024:0 1024:1']]);
  t.same([...statuses(ask(statusQuery(2048, 2, 1))).keys()].sort(), [1, 2]);
  t.same([...statuses(ask(statusQuery(2048, 2), REQ_ONE)).values()], ['1024:0']);
  for (const [what, payload] of [
    ['no context', statusQuery(512)],
    ['one twice', statusQuery(512, 1, 1)],
    ['an unknown one', statusQuery(512, 3)],
    ['more than there are', statusQuery(512, 1, 2, 3)],
    ['an effect of nothing', statusQuery(0, 1)],
    ['an effect past the end', statusQuery(MIB, 1)],
    ['a payload of nothing', Buffer.alloc(0)],
    ['half a number', statusQuery(512, 1).subarray(0, 11)],
  ] as const) {
    t.same(
      ask(payload).map(({ error }) => error),
      [EINVAL],
      what,
    );
  }
});

t.test('BLOCK_STATUS_PAYLOAD is offered with extended headers and a selection only', async (t) => {
  const flagsAfter = (...options: Buffer[]): number => {
    const session = new NbdSession({ device: makeDevice() });
    const client = session.connect();
    const bytes = session.exchange(client, wire.clientFlags(), ...options, wire.go());
    const exportInfo = wire.parseOptionReplies(bytes.subarray(18)).find(({ type }) => type === 3)!;
    return exportInfo.data.readUInt16BE(10);
  };
  const set = wire.contexts(10, '', BASE);
  t.equal(flagsAfter() >> 12, 0);
  t.equal(flagsAfter(wire.option(8), set) >> 12, 0);
  t.equal(flagsAfter(wire.option(11)) >> 12, 0);
  t.equal(flagsAfter(wire.option(11), wire.contexts(10, '', 'no:such')) >> 12, 0);
  t.equal(flagsAfter(wire.option(11), set) >> 12, 1);
});

t.test('extended headers: one request about more than 4 GiB', async (t) => {
  const sectors = (10 * GIB) / SECTOR_SIZE;
  const device = new MemoryDevice({ sizeSectors: sectors, sparse: true });
  const session = new NbdSession({ device });
  const client = session.attach({ extended: true, contexts: [BASE] });
  const send = (type: number, offset = 0, length = 10 * GIB): wire.ReplyFields[] =>
    wire.parseReplies(session.exchange(client, wire.extendedRequest({ type, offset, length })));
  t.same([...statuses(send(BLOCK_STATUS)).values()], [`${10 * GIB}:3`]);
  const payload = Buffer.alloc(512, 1);
  session.exchange(client, wire.extendedRequest({ type: 1, offset: 6 * GIB, payload }));
  t.same(
    [...statuses(send(BLOCK_STATUS)).values()],
    [`${6 * GIB}:3 65536:0 ${4 * GIB - 65_536}:3`],
  );
  for (const type of [wire.TRIM, wire.CACHE, wire.WRITE_ZEROES]) {
    t.same(
      send(type).map(({ error }) => error),
      [0],
      `command ${type}`,
    );
  }
  t.same([...statuses(send(BLOCK_STATUS, 1, 10 * GIB - 1)).values()], [`${10 * GIB - 1}:3`]);
  t.equal(send(wire.TRIM, 1)[0]!.error, EINVAL, 'a byte too many');
});

t.test('a compact request gets extents of at most its own 32 bits', async (t) => {
  const device = new MemoryDevice({ sizeSectors: (10 * GIB) / SECTOR_SIZE, sparse: true });
  const session = new NbdSession({ device });
  const client = session.attach({ structured: true, contexts: [BASE] });
  const request = wire.request({ type: BLOCK_STATUS, length: 0xffffffff });
  const replies = wire.parseReplies(session.exchange(client, request));
  t.same([...statuses(replies).values()], ['4294967295:3']);
});
