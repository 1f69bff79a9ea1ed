import t from 'tap';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';

const device = new MemoryDevice({ sizeSectors: 8 });
const two = [
  { name: 'one', device },
  { name: 'two', description: 'the second', device, readOnly: true },
];
const long = 'x'.repeat(4096);

/** The types of all replies to one option, the text of an error first. */
function answer(
  message: Buffer,
  options: { exports?: typeof two; flags?: number; before?: Buffer } = {},
): { dropped: boolean; types: number[]; text: string; logged: string[] } {
  const session = new NbdSession({ device, exports: options.exports ?? two });
  const client = session.connect();
  client.feed(wire.clientFlags(options.flags));
  if (options.before !== undefined) client.feed(options.before);
  session.settle(client);
  client.take();
  client.feed(message);
  session.settle(client);
  const replies = wire.parseOptionReplies(client.take());
  return {
    dropped: client.destroyed,
    types: replies.map((reply) => reply.type),
    text: replies.at(-1)?.data.toString() ?? '',
    logged: session.logged,
  };
}

t.test('Handshake answers each option as the protocol says', async (t) => {
  const { ACK, ERR_INVALID, ERR_POLICY, ERR_TOO_BIG, ERR_UNKNOWN, ERR_UNSUP } = wire;
  const [INFO, SERVER, META_CONTEXT] = [3, 2, 4];
  const info = (name: string, infos: number[] = [], wrong = {}): Buffer =>
    wire.option(6, wire.infoData(name, infos, wrong));
  for (const [what, message, types] of [
    ['LIST', wire.option(3), [SERVER, SERVER, ACK]],
    ['LIST with data', wire.option(3, 'x'), [ERR_INVALID]],
    ['PEEK_EXPORT', wire.option(4), [ERR_UNSUP]],
    ['STARTTLS where TLS is off', wire.option(5), [ERR_POLICY]],
    ['STARTTLS with data', wire.option(5, 'x'), [ERR_INVALID]],
    ['INFO without infos', info('one'), [INFO, INFO, ACK]],
    ['INFO NAME', info('one', [1]), [INFO, INFO, INFO, ACK]],
    ['INFO DESCRIPTION that is there', info('two', [2]), [INFO, INFO, INFO, ACK]],
    ['INFO DESCRIPTION that is not', info('one', [2]), [INFO, INFO, ACK]],
    ['INFO the same twice', info('one', [1, 1, 0, 0]), [INFO, INFO, INFO, ACK]],
    ['INFO of an unknown type', info('one', [9, 65_535]), [INFO, INFO, ACK]],
    ['INFO of no export', info('three', [1, 2, 3]), [ERR_UNKNOWN]],
    ['INFO of the default among two', info(''), [ERR_UNKNOWN]],
    ['INFO with a name of 4096 bytes', info(long), [ERR_UNKNOWN]],
    ['INFO with a name of 4097 bytes', info(`${long}x`), [ERR_INVALID]],
    ['INFO with a NUL', info('o\0e'), [ERR_INVALID]],
    [
      'INFO with ill-formed UTF-8',
      wire.option(6, Buffer.from('00000001ff0000', 'hex')),
      [ERR_INVALID],
    ],
    ['INFO of 0 bytes', wire.option(6), [ERR_INVALID]],
    ['INFO of 5 bytes', wire.option(6, '12345'), [ERR_INVALID]],
    ['INFO with a name past the end', info('one', [], { nameLength: 4 }), [ERR_INVALID]],
    [
      'INFO with a name length that wraps',
      info('one', [], { nameLength: 0xffffffff }),
      [ERR_INVALID],
    ],
    ['INFO with too few types', info('one', [1], { count: 2 }), [ERR_INVALID]],
    ['INFO with too many types', info('one', [1, 2], { count: 1 }), [ERR_INVALID]],
    ['GO of no export', wire.go('three'), [ERR_UNKNOWN]],
    ['STRUCTURED_REPLY', wire.option(8), [ACK]],
    ['STRUCTURED_REPLY with data', wire.option(8, 'x'), [ERR_INVALID]],
    ['LIST_META_CONTEXT, malformed', wire.option(9, 'anything'), [ERR_INVALID]],
    ['LIST_META_CONTEXT of no export', wire.contexts(9, 'three'), [ERR_UNKNOWN]],
    ['LIST_META_CONTEXT', wire.contexts(9, 'one'), [META_CONTEXT, ACK]],
    ['SET_META_CONTEXT before structured replies', wire.contexts(10, 'one'), [ERR_INVALID]],
    ['EXTENDED_HEADERS', wire.option(11), [ACK]],
    ['EXTENDED_HEADERS with data', wire.option(11, 'x'), [ERR_INVALID]],
    ['option 0', wire.option(0), [ERR_UNSUP]],
    ['option 2^32-1', wire.option(0xffffffff, 'data'), [ERR_UNSUP]],
    ['64 KiB of data', wire.option(99, Buffer.alloc(65_536)), [ERR_UNSUP]],
    ['64 KiB and a byte', wire.option(99, Buffer.alloc(65_537)), [ERR_TOO_BIG]],
  ] as const) {
    const result = answer(message);
    t.same(result.types, types, what);
    t.notOk(result.dropped, `${what}: the client may go on`);
    // The next option shows that exactly the data of the first were consumed.
    t.same(
      answer(Buffer.concat([message, wire.option(3)])).types,
      [...types, SERVER, SERVER, ACK],
      `${what}, then`,
    );
  }
});

t.test('Handshake drops a client only for what the protocol calls broken', async (t) => {
  for (const [what, message, flags] of [
    ['an unknown client flag', Buffer.alloc(0), 4],
    ['a wrong magic', Buffer.concat([Buffer.alloc(8), wire.option(3).subarray(8)]), 3],
    ['an option without fixed newstyle', wire.option(3), 0],
    ['EXPORT_NAME of no export', wire.exportName('three'), 3],
    ['EXPORT_NAME of the default among two', wire.exportName(''), 3],
    ['EXPORT_NAME of 4097 bytes', wire.exportName(`${long}x`), 3],
    ['EXPORT_NAME of 65537 bytes', wire.option(1, Buffer.alloc(65_537)), 3],
    [
      'data of more than 32 MiB',
      Buffer.concat([wire.option(99).subarray(0, 12), wire.u32(2 ** 25 + 1)]),
      3,
    ],
  ] as const) {
    const result = answer(message, { flags });
    t.ok(result.dropped, what);
    t.same(result.types, [], `${what}: without a reply`);
    t.match(result.logged.at(-1), /connection dropped/);
  }
});

t.test('Handshake serves EXPORT_NAME to a client that is not fixed newstyle', async (t) => {
  const session = new NbdSession({ device });
  const client = session.connect();
  const bytes = session.exchange(client, wire.clientFlags(0), wire.exportName('data'));
  t.same(bytes.subarray(0, 18), wire.GREETING);
  t.equal(bytes.length, 18 + 134);
  t.equal(session.server.connections[0]!.status, 'transmission');
});

t.test('Handshake keeps error texts short and on one line', async (t) => {
  const { text } = answer(wire.go('\n"\u0007'.repeat(1300)));
  t.ok(text.length < 600, `${text.length} characters`);
  t.notOk(
    [...text].some((character) => character < ' '),
    'no control characters',
  );
  t.match(text, /^there is no export "\\u000a/);
});

t.test('Handshake drops a client that tries options for ever', async (t) => {
  const many = (count: number): Buffer => Buffer.concat(Array(count).fill(wire.option(99)));
  const allowed = 32 + 2 * 32;
  t.notOk(answer(many(allowed)).dropped);
  const result = answer(many(allowed + 1));
  t.ok(result.dropped);
  t.equal(result.types.length, allowed);
});

t.test(
  'Handshake offers DF only behind STRUCTURED_REPLY, and the same by INFO and GO',
  async (t) => {
    const flagsOf = (session: NbdSession, message: Buffer, ...before: Buffer[]): number => {
      const client = session.connect();
      session.exchange(client, wire.clientFlags(), ...before);
      const [exportInfo] = wire.parseOptionReplies(session.exchange(client, message));
      return exportInfo!.data.readUInt16BE(10);
    };
    const session = new NbdSession({ device });
    const [info, structured] = [wire.option(6, wire.infoData('data')), wire.option(8)];
    t.equal(flagsOf(session, info) & 128, 0);
    t.equal(flagsOf(session, info, structured) & 128, 128);
    t.equal(flagsOf(session, wire.go(), structured), flagsOf(session, info, structured));
    t.equal(flagsOf(session, wire.go(), info), flagsOf(session, info));
  },
);

t.test('Handshake finds the default export where there is one', async (t) => {
  const only = [{ name: 'only', device }];
  t.same(answer(wire.go(''), { exports: only as typeof two }).types.at(-1), wire.ACK);
  const named = [...two, { name: '', device }] as typeof two;
  t.same(answer(wire.go(''), { exports: named }).types.at(-1), wire.ACK);
  t.same(answer(wire.option(3), { exports: named }).types, [2, 2, wire.ACK], 'it is not listed');
  const unnamed = [{ name: '', device }] as unknown as typeof two;
  t.same(answer(wire.option(3), { exports: unnamed }).types, [2, wire.ACK], 'but alone it is');
});

t.test('Handshake ends after ABORT, with or without data', async (t) => {
  for (const abort of [wire.option(2), wire.option(2, 'bye')]) {
    const session = new NbdSession({ device });
    const client = session.connect();
    const bytes = session.exchange(client, wire.clientFlags(), abort);
    t.same(
      wire.parseOptionReplies(bytes.subarray(18)).map((reply) => reply.type),
      [wire.ACK],
    );
    t.ok(client.serverEnded);
    client.feedEnd();
    t.ok(client.destroyed);
    t.equal(session.server.connections.length, 0);
  }
});

t.test('Handshake has ten seconds from the first byte to GO', async (t) => {
  const session = new NbdSession({ device });
  const [slow, done] = [session.connect(), session.attach()];
  slow.feed(wire.clientFlags());
  session.clock.advance(9_999);
  t.notOk(slow.destroyed);
  session.clock.advance(1);
  t.ok(slow.destroyed);
  t.notOk(done.destroyed, 'a client in transmission may be idle for ever');
  session.clock.advance(10 ** 9);
  t.notOk(done.destroyed);
});

t.test(
  'Handshake refuses GO beyond the connections of an export, and frees the place',
  async (t) => {
    const session = new NbdSession({
      device,
      exports: [{ name: 'data', device, connectionsMax: 1 }],
    });
    const first = session.attach();
    const second = session.connect();
    const refused = session.exchange(second, wire.clientFlags(), wire.go()).subarray(18);
    t.same(
      wire.parseOptionReplies(refused).map((reply) => reply.type),
      [wire.ERR_POLICY],
    );
    const third = session.connect();
    session.exchange(third, wire.clientFlags(), wire.exportName());
    t.ok(third.destroyed);
    first.vanish();
    const replies = wire.parseOptionReplies(session.exchange(second, wire.go()));
    t.equal(replies.at(-1)!.type, wire.ACK);
  },
);
