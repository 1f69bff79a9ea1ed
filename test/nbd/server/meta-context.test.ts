/** Which metadata contexts a client gets, and when its choice is forgotten. */

import t from 'tap';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import {
  ALL_FEATURES,
  type HandshakeFeatures,
} from '../../../src/nbd/server/handshake-features.ts';
import type { MetaContext } from '../../../src/nbd/server/meta-context.ts';
import { NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';

const device = new MemoryDevice({ sizeSectors: 8 });

function context(name: string): MetaContext {
  return { name, status: ({ length }) => [{ length, status: 1 }] };
}

const NAMES = ['x-a:state', 'x-a:other', 'qemu:dirty-bitmap:state'];
const exports = [
  { name: 'one', device, contexts: NAMES.map(context) },
  { name: 'two', device },
];

/** All option replies to `messages`, as words. */
function replies(messages: readonly Buffer[], features?: HandshakeFeatures): string[] {
  const session = new NbdSession({ device, exports, ...(features && { features }) });
  const client = session.connect();
  client.feed(wire.clientFlags());
  session.settle(client);
  client.take();
  client.feed(Buffer.concat(messages));
  session.settle(client);
  if (client.destroyed) return ['dropped'];
  return wire.parseOptionReplies(client.take()).map((reply) => {
    if (reply.type === 4) return wire.parseContext(reply).join(' ');
    if (reply.type === wire.ACK) return 'ACK';
    return `0x${reply.type.toString(16)}`;
  });
}

const list = (name: string, ...queries: string[]): Buffer => wire.contexts(9, name, ...queries);
const set = (name: string, ...queries: string[]): Buffer => wire.contexts(10, name, ...queries);
const STRUCTURED = wire.option(8);
const EXTENDED = wire.option(11);
const INVALID = '0x80000003';
const UNKNOWN = '0x80000006';

t.test('LIST_META_CONTEXT lists all, exact names, and what a wildcard means', async (t) => {
  const all = ['0 base:allocation', ...NAMES.map((name) => `0 ${name}`)];
  for (const [queries, names] of [
    [[], all],
    [['base:allocation'], ['0 base:allocation']],
    [['base:'], ['0 base:allocation']],
    [['x-a:'], ['0 x-a:state', '0 x-a:other']],
    [['qemu:'], ['0 qemu:dirty-bitmap:state']],
    [['qemu:dirty-bitmap:'], ['0 qemu:dirty-bitmap:state']],
    [
      ['x-a:', 'x-a:other', 'base:', 'base:'],
      ['0 base:allocation', '0 x-a:state', '0 x-a:other'],
    ],
    [['nobody:', 'base:depth', 'x-a:stat', 'x-a', 'noColon', '', 'x-a:state:'], []],
  ] as const) {
    t.same(replies([list('one', ...queries)]), [...names, 'ACK'], JSON.stringify(queries));
  }
  t.same(replies([list('two')]), ['0 base:allocation', 'ACK']);
  t.same(replies([list('three')]), [UNKNOWN]);
  t.same(replies([list('')]), [UNKNOWN], 'no default among two');
});

t.test('SET_META_CONTEXT selects exact names, each under a number of its own', async (t) => {
  for (const [queries, names] of [
    [[], []],
    [['base:allocation'], ['1 base:allocation']],
    [
      ['x-a:other', 'base:allocation', 'x-a:other', 'no:such'],
      ['1 base:allocation', '2 x-a:other'],
    ],
    [['base:', 'x-a:', 'qemu:', 'qemu:dirty-bitmap:'], []],
  ] as const) {
    const answer = replies([STRUCTURED, set('one', ...queries)]);
    t.same(answer, ['ACK', ...names, 'ACK'], JSON.stringify(queries));
  }
  t.same(replies([set('one', 'base:allocation')]), [INVALID], 'not before structured replies');
  t.same(replies([EXTENDED, set('one', 'base:allocation')]), ['ACK', '1 base:allocation', 'ACK']);
  t.same(replies([STRUCTURED, set('three', 'base:allocation')]), ['ACK', UNKNOWN]);
});

t.test('many queries are walked, and their count is not believed', async (t) => {
  const many = Array.from({ length: 5000 }, (_, index) => `x:${index}`);
  t.same(replies([list('one', ...many, 'x-a:state')]), ['0 x-a:state', 'ACK']);
  const tooMany = list('one', ...Array.from({ length: 20_000 }, () => 'x:y'));
  t.same(replies([tooMany, list('two')]), ['0x80000009', '0 base:allocation', 'ACK'], 'TOO_BIG');
  const lying = wire.option(9, Buffer.from('00000000ffffffff', 'hex'));
  t.same(replies([lying, list('two')]), [INVALID, '0 base:allocation', 'ACK']);
});

/** Whether BLOCK_STATUS is answered after these options and GO of an export. */
function isSelected(options: readonly Buffer[], name: string): boolean {
  const session = new NbdSession({
    device,
    exports: [exports[0]!, { ...exports[1]!, name: 'two' }],
  });
  const client = session.connect();
  session.exchange(client, wire.clientFlags(), STRUCTURED, ...options, wire.go(name));
  const [reply] = wire.parseReplies(
    session.exchange(client, wire.request({ type: wire.BLOCK_STATUS, length: 512 })),
  );
  if (reply!.error !== 0 && reply!.error !== wire.EINVAL) throw new Error(`${reply!.error}`);
  return reply!.type === 5;
}

t.test('a selection counts for its export only, and until the next', async (t) => {
  const base = 'base:allocation';
  t.ok(isSelected([set('one', base)], 'one'));
  t.notOk(isSelected([], 'one'));
  t.notOk(isSelected([set('one', base)], 'two'), 'another export');
  t.notOk(isSelected([set('one', base), set('one')], 'one'), 'replaced by nothing');
  t.notOk(isSelected([set('one', base), set('two', base)], 'one'), 'replaced by that of another');
  t.ok(isSelected([set('two', base), set('one', base)], 'one'));
  t.notOk(isSelected([set('one', base), set('three', base)], 'one'), 'replaced by a failure');
  t.notOk(isSelected([set('one', base), wire.option(10, 'x')], 'one'), 'or a malformed one');
  const tooBig = wire.option(10, Buffer.alloc(65_537));
  t.notOk(isSelected([set('one', base), tooBig], 'one'), 'or one that is too big');
  t.ok(isSelected([set('one', base), list('one'), wire.option(99)], 'one'), 'others do not matter');
  const info = wire.option(6, wire.infoData('two'));
  t.ok(isSelected([set('one', base), info], 'one'), 'nor does INFO of another export');
});

t.test('two names of one export are one', async (t) => {
  const session = new NbdSession({ device, exports: [exports[0]!] });
  const client = session.connect();
  const options = [wire.clientFlags(), STRUCTURED, set('one', 'base:allocation'), wire.go('')];
  session.exchange(client, ...options);
  const status = wire.request({ type: wire.BLOCK_STATUS, length: 512 });
  t.equal(wire.parseReplies(session.exchange(client, status))[0]!.type, 5);
});

t.test(
  'EXTENDED_HEADERS takes precedence, and can be refused like the other features',
  async (t) => {
    const { ERR_EXT_HEADER_REQD, ERR_UNSUP } = wire;
    const hex = (type: number): string => `0x${type.toString(16)}`;
    t.same(replies([EXTENDED, STRUCTURED]), ['ACK', hex(ERR_EXT_HEADER_REQD)]);
    t.same(replies([STRUCTURED, EXTENDED, EXTENDED]), ['ACK', 'ACK', 'ACK']);
    t.same(replies([EXTENDED, wire.exportName('one')]), ['dropped']);
    const none = { ...ALL_FEATURES, structuredReplies: false, extendedHeaders: false };
    t.same(replies([STRUCTURED, EXTENDED, set('one', 'base:allocation'), list('two')], none), [
      hex(ERR_UNSUP),
      hex(ERR_UNSUP),
      INVALID,
      '0 base:allocation',
      'ACK',
    ]);
    const noExtended = { ...ALL_FEATURES, extendedHeaders: false };
    t.same(replies([EXTENDED, STRUCTURED], noExtended), [hex(ERR_UNSUP), 'ACK']);
  },
);

t.test('handshake flags that are not offered cannot be answered', async (t) => {
  for (const [mask, flags, isWelcome] of [
    [3, 3, true],
    [3, 1, true],
    [1, 1, true],
    [1, 3, false],
    [0, 0, true],
    [0, 1, false],
    [2, 2, true],
  ] as const) {
    const features = { ...ALL_FEATURES, handshakeFlags: mask };
    const session = new NbdSession({ device, features });
    const client = session.connect();
    const answer = session.exchange(client, wire.clientFlags(flags), wire.exportName(''));
    t.equal(answer.readUInt16BE(16), mask);
    t.equal(!client.destroyed, isWelcome, `${flags} answers ${mask}`);
    if (isWelcome) t.equal(answer.length, 18 + 10 + ((flags & 2) === 0 ? 124 : 0));
  }
});
