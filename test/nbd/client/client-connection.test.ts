import fc from 'fast-check';
import t from 'tap';
import { ClientRequest } from '../../../src/nbd/client/client-request.ts';
import { COMMANDS } from '../../../src/nbd/constants.ts';
import { byEffort } from '../../support/effort.ts';
import { exportInfo, IMPOSTOR_SIZE, Impostor, u64 } from '../../support/nbd-impostor.ts';
import * as wire from '../../support/nbd-wire.ts';

const { READ, WRITE, FLUSH, BLOCK_STATUS } = COMMANDS;
const DONE = 1;

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

function chunk(cookie: Buffer, type: number, payload: Uint8Array, flags = DONE): Buffer {
  const header = [wire.u32(0x668e33ef), u16(flags), u16(type), cookie, wire.u32(payload.length)];
  return Buffer.concat([...header, payload]);
}

function wideChunk(
  cookie: Buffer,
  type: number,
  payload: Uint8Array,
  { offset = 0, flags = DONE, length = payload.length } = {},
): Buffer {
  const header = [wire.u32(0x6e8a278c), u16(flags), u16(type), cookie, u64(offset), u64(length)];
  return Buffer.concat([...header, payload]);
}

function data(offset: number, length: number, fill = 7): Buffer {
  return Buffer.concat([u64(offset), Buffer.alloc(length, fill)]);
}

function hole(offset: number, length: number): Buffer {
  return Buffer.concat([u64(offset), wire.u32(length)]);
}

function simple(cookie: Buffer, error = 0, payload = Buffer.alloc(0)): Buffer {
  return Buffer.concat([wire.u32(0x67446698), wire.u32(error), cookie, payload]);
}

t.test('a READ is put together from chunks in any order, holes among them', async (t) => {
  for (const step of [1, 7, 1e6]) {
    const server = Impostor.ready({ form: 'structured' });
    const bytes = Buffer.alloc(40_000, 0xee);
    const { cookie } = server.ask({ command: READ, offset: 512, length: 40_000, data: bytes });
    const answer = Buffer.concat([
      chunk(cookie, 1, data(30_512, 10_000, 3), 0),
      chunk(cookie, 2, hole(512, 10_000), 0),
      chunk(cookie, 1, data(10_512, 20_000, 2), 0),
      chunk(cookie, 0, Buffer.alloc(0)),
    ]);
    for (let at = 0; at < answer.length; at += step) server.say(answer.subarray(at, at + step));
    t.equal(server.lost, null);
    t.equal(server.answered.length, 1);
    t.equal(server.answered[0]!.error, 0);
    const parts = [Buffer.alloc(10_000), Buffer.alloc(20_000, 2), Buffer.alloc(10_000, 3)];
    t.ok(bytes.equals(Buffer.concat(parts)));
  }
});

t.test('an error has its number and its text, also behind content', async (t) => {
  const server = Impostor.ready({ form: 'structured' });
  const bytes = Buffer.alloc(1024);
  const { cookie } = server.ask({ command: READ, offset: 0, length: 1024, data: bytes });
  const text = Buffer.from('bad sector');
  const payload = Buffer.concat([wire.u32(5), u16(text.length), text, u64(512)]);
  server.say(chunk(cookie, 1, data(0, 512), 0), chunk(cookie, 0x8002, payload));
  t.match(server.answered, [{ error: 5, text: 'bad sector' }]);
  const { cookie: other } = server.ask({ command: FLUSH });
  server.say(simple(other, 28));
  t.match(server.answered[1], { error: 28, text: '' });
  t.equal(server.lost, null);
});

t.test('BLOCK_STATUS has the extents of every context, narrow and wide', async (t) => {
  for (const form of ['structured', 'extended'] as const) {
    const server = Impostor.ready({ form, contexts: ['base:allocation', 'x:y'] });
    t.strictSame([...server.negotiated!.contexts.values()], ['base:allocation', 'x:y']);
    const { cookie } = server.ask({ command: BLOCK_STATUS, offset: 0, length: 4096 });
    if (form === 'structured') {
      const extents = [wire.u32(512), wire.u32(3), wire.u32(3584), wire.u32(0)];
      server.say(chunk(cookie, 5, Buffer.concat([wire.u32(0), ...extents]), 0));
      server.say(chunk(cookie, 5, Buffer.concat([wire.u32(1), wire.u32(4096), wire.u32(1)])));
    } else {
      const extents = [u64(512), u64(3), u64(3584), u64(0)];
      const first = Buffer.concat([wire.u32(0), wire.u32(2), ...extents]);
      server.say(wideChunk(cookie, 6, first, { flags: 0 }));
      const second = Buffer.concat([wire.u32(1), wire.u32(1), u64(4096), u64(1)]);
      server.say(wideChunk(cookie, 6, second));
    }
    t.equal(server.lost, null);
    const statuses = server.answered[0]!.statuses;
    t.match(statuses[0], {
      extents: [
        { length: 512, status: 3 },
        { length: 3584, status: 0 },
      ],
    });
    t.match(statuses[1], { extents: [{ length: 4096, status: 1 }] });
  }
});

t.test('requests of one turn leave in one write, whole and in order', async (t) => {
  for (const form of ['simple', 'extended'] as const) {
    const server = Impostor.ready({ form });
    const payloads = [Buffer.alloc(512, 1), Buffer.alloc(100_000, 2), Buffer.alloc(600, 3)];
    const before = server.transport.writes.length;
    for (const [index, payload] of payloads.entries()) {
      const request = new ClientRequest(() => {});
      const place = { offset: index * 2 ** 17, length: payload.length, data: payload };
      server.connection.submit(Object.assign(request, { command: WRITE, ...place }));
    }
    server.clock.run();
    t.equal(server.transport.writes.length, before + 1);
    const sent = server.transport.take();
    let at = 0;
    for (const [index, payload] of payloads.entries()) {
      const isWide = form === 'extended';
      t.equal(sent.readUInt32BE(at), isWide ? 0x21e41c71 : 0x25609513);
      t.equal(sent.readUInt32BE(at + 4), isWide ? (32 << 16) | WRITE : WRITE);
      t.equal(sent.readBigUInt64BE(at + 16), BigInt(index * 2 ** 17));
      t.equal(sent.readUInt32BE(at + (isWide ? 28 : 24)), payload.length);
      at += isWide ? 32 : 28;
      t.ok(sent.subarray(at, at + payload.length).equals(payload));
      at += payload.length;
    }
    t.equal(at, sent.length);
  }
});

t.test('an answer that comes before the request has left waits for it', async (t) => {
  const server = Impostor.ready();
  server.transport.clientReads = false;
  const payload = Buffer.alloc(100_000, 9);
  const { cookie } = server.ask({ command: WRITE, offset: 0, length: 100_000, data: payload });
  server.say(simple(cookie));
  t.equal(server.answered.length, 0, 'the payload still belongs to the transport');
  server.transport.clientReads = true;
  server.transport.drain();
  t.equal(server.answered.length, 1);
  t.equal(server.lost, null);
});

t.test('what a hostile server says costs the connection, and nothing else', async (t) => {
  const read = { command: READ, offset: 512, length: 1024 };
  const status = { command: BLOCK_STATUS, offset: 0, length: 1024 };
  type Answer = (cookie: Buffer) => Buffer;
  const cases: readonly [string, Record<string, number>, Answer, RegExp][] = [
    ['a wrong magic', read, () => Buffer.alloc(20), /wrong magic/],
    ['an unknown cookie', read, () => simple(Buffer.alloc(8, 9)), /unknown request/],
    ['a simple reply to READ', read, (c) => simple(c, 0), /simple reply to READ/],
    ['data before the request', read, (c) => chunk(c, 1, data(0, 512)), /outside/],
    ['data behind the request', read, (c) => chunk(c, 1, data(1024, 513)), /outside/],
    ['an offset of 2^64-1', read, (c) => chunk(c, 1, Buffer.alloc(20, 255)), /outside/],
    ['a hole of 4 GiB', read, (c) => chunk(c, 2, hole(512, 2 ** 32 - 1)), /outside/],
    ['an empty hole', read, (c) => chunk(c, 2, hole(512, 0)), /malformed data/],
    ['data without data', read, (c) => chunk(c, 1, u64(512)), /malformed data/],
    ['data to a FLUSH', { command: FLUSH }, (c) => chunk(c, 1, data(0, 1)), /where none/],
    ['a status to a READ', read, (c) => chunk(c, 5, Buffer.alloc(12)), /where none belongs/],
    ['a wide status', status, (c) => chunk(c, 6, Buffer.alloc(24)), /where none belongs/],
    ['a status without extents', status, (c) => chunk(c, 5, Buffer.alloc(4)), /malformed status/],
    ['an extent of no bytes', status, (c) => chunk(c, 5, Buffer.alloc(12)), /malformed status/],
    ['too little data', read, (c) => chunk(c, 1, data(512, 512)), /fewer bytes/],
    ['no data at all', read, (c) => chunk(c, 0, Buffer.alloc(0)), /fewer bytes/],
    ['NONE amid a reply', read, (c) => chunk(c, 0, Buffer.alloc(0), 0), /not the last/],
    ['NONE with a payload', read, (c) => chunk(c, 0, Buffer.alloc(1)), /not empty/],
    ['an unknown chunk', read, (c) => chunk(c, 77, Buffer.alloc(1)), /type 77/],
    ['an error of number 0', read, (c) => chunk(c, 0x8001, Buffer.alloc(6)), /malformed error/],
    ['a text beyond its chunk', read, (c) => chunk(c, 0x8001, Buffer.alloc(6, 1)), /malformed err/],
    ['an endless text', read, (c) => chunk(c, 0x8001, Buffer.alloc(70_000, 1)), /error chunk of 7/],
    [
      'the same data twice, and other data never',
      read,
      (c) => Buffer.concat([chunk(c, 1, data(512, 512), 0), chunk(c, 1, data(512, 512))]),
      /same place twice/,
    ],
    [
      'a second answer',
      read,
      (c) => Buffer.concat([chunk(c, 1, data(512, 1024)), chunk(c, 1, data(512, 1024))]),
      /unknown request/,
    ],
  ];
  for (const [what, fields, answer, message] of cases) {
    for (const step of [1, 1e6]) {
      const server = Impostor.ready({ form: 'structured', contexts: ['x:y'] });
      const bytes = fields.command === READ ? Buffer.alloc(1024) : null;
      const { request, cookie } = server.ask({ ...fields, data: bytes });
      const other = server.ask({ command: FLUSH });
      const said = answer(cookie);
      for (let at = 0; at < said.length; at += step) server.say(said.subarray(at, at + step));
      t.match(server.lost, message, what);
      t.ok(server.transport.destroyed);
      const known = [...server.answered, ...server.unanswered];
      t.strictSame(new Set(known), new Set([request, other.request]), 'each comes back once');
      t.equal(known.length, 2);
    }
  }
});

t.test('extended replies: what is hostile about them', async (t) => {
  const cases: readonly [string, (cookie: Buffer) => Buffer, RegExp][] = [
    ['a simple reply', (c) => Buffer.concat([simple(c), Buffer.alloc(32)]), /wrong magic/],
    ['another offset', (c) => wideChunk(c, 1, data(0, 512), { offset: 4 }), /offset of another/],
    ['2^63 bytes', (c) => wideChunk(c, 1, u64(0), { length: 2 ** 63 }), /outside/],
    ['a text of 2^40 bytes', (c) => wideChunk(c, 0x8001, u64(0), { length: 2 ** 40 }), /error ch/],
  ];
  for (const [what, answer, message] of cases) {
    const server = Impostor.ready({ form: 'extended' });
    const bytes = Buffer.alloc(512);
    const { cookie } = server.ask({ command: READ, offset: 0, length: 512, data: bytes });
    server.say(answer(cookie));
    t.match(server.lost, message, what);
  }
});

t.test('a handshake that makes no sense ends the connection with the reason', async (t) => {
  const goReply = (type: number, payload: Uint8Array | string = ''): Buffer =>
    wire.optionReply(7, type, payload);
  const size = 2 ** 63;
  const cases: readonly [string, Buffer, RegExp][] = [
    ['no NBD at all', Buffer.from('HTTP/1.1 400 Bad Request\r\n'), /fixed newstyle/],
    ['oldstyle', Buffer.from('4e42444d4147494300420281861253aabbcc', 'hex'), /fixed newstyle/],
    ['another option', wire.optionReply(6, wire.ACK), /answered INFO, not GO/],
    [
      'endless data',
      Buffer.concat([goReply(3).subarray(0, 16), Buffer.alloc(4, 255)]),
      /malformed/,
    ],
    ['no size', goReply(wire.ACK), /how large/],
    [
      'a size of 2^63',
      Buffer.concat([goReply(3, exportInfo(size)), goReply(1)]),
      /9223372036854775808/,
    ],
    ['half an export', Buffer.concat([goReply(3, Buffer.alloc(5)), goReply(1)]), /malformed INFO/],
    ['no such export', goReply(0x80000006, 'not here'), /refused GO: ERR_UNKNOWN not here/],
    ['TLS wanted', goReply(0x80000005), /refused GO: ERR_TLS_REQD/],
  ];
  for (const [what, bytes, message] of cases) {
    const server = new Impostor();
    const isGreeting = /NBD|oldstyle/.test(what);
    if (!isGreeting) server.say(wire.GREETING);
    server.say(bytes);
    t.match(server.lost, message, what);
    t.ok(server.transport.destroyed);
    t.equal(server.clock.pending, 0, 'no timer is left');
  }
  const silent = new Impostor();
  silent.say(wire.GREETING);
  silent.clock.advance(1000);
  t.match(silent.lost, /not answered within 1 s/);
});

t.test('a server that knows no GO is asked with EXPORT_NAME', async (t) => {
  for (const greeting of [wire.GREETING, Buffer.from(wire.GREETING)]) {
    const server = new Impostor({ form: 'structured' });
    const isPadded = greeting !== wire.GREETING;
    if (isPadded) greeting[17] = 1;
    server.say(greeting, wire.optionReply(8, 0x80000001), wire.optionReply(7, 0x80000001));
    const padding = Buffer.alloc(isPadded ? 124 : 0);
    server.say(u64(IMPOSTOR_SIZE), u16(3), padding);
    t.match(server.negotiated, { size: IMPOSTOR_SIZE, transmissionFlags: 3, form: 'simple' });
    server.transport.take();
    const { cookie } = server.ask({ command: FLUSH });
    server.say(simple(cookie));
    t.equal(server.answered.length, 1);
  }
});

t.test('any bytes at any moment: the client ends in good order', async (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.constantFrom<Uint8Array>(
      wire.GREETING,
      wire.optionReply(8, wire.ACK),
      wire.optionReply(7, 3, exportInfo()),
      wire.optionReply(7, wire.ACK),
      Buffer.from('668e33ef00010001', 'hex'),
      Buffer.from('67446698000000000000000100000000', 'hex'),
      Buffer.from('0000000100000000', 'hex'),
    ),
  );
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 30 }), (pieces) => {
      const server = new Impostor({ form: 'structured' });
      let asked = 0;
      for (const piece of pieces) {
        server.say(piece);
        if (server.negotiated === null || server.lost !== null || asked > 4) continue;
        asked += 1;
        const length = 4096;
        server.ask({ command: READ, offset: 0, length, data: Buffer.alloc(length) });
      }
      server.connection.destroy();
      return server.answered.length + server.unanswered.length === asked;
    }),
    { numRuns: byEffort({ quick: 200, standard: 3000, full: 100_000 }) },
  );
  t.pass();
});
