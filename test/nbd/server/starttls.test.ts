/** STARTTLS and what may be done without it, byte for byte; real TLS is in `tls.test.ts`. */

import t from 'tap';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import type { TlsMode } from '../../../src/nbd/tls.ts';
import { type MemoryTransport, NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';

const device = new MemoryDevice({ sizeSectors: 8 });
const EXPORTS = [
  { name: 'open', device },
  { name: 'secret', device, tlsOnly: true },
];
const STARTTLS = wire.option(5);
const STRUCTURED_REPLY = wire.option(8);
const [INFO, SERVER] = [3, 2];
const { ACK, ERR_INVALID, ERR_PLATFORM, ERR_POLICY, ERR_TLS_REQD, ERR_UNKNOWN } = wire;

function start(
  tlsMode: TlsMode,
  exports: typeof EXPORTS = EXPORTS,
): { session: NbdSession; client: MemoryTransport } {
  const session = new NbdSession({ device, exports, tlsMode });
  const client = session.connect();
  session.exchange(client, wire.clientFlags());
  return { session, client };
}

/** The types of the replies to one option; `dropped` for none. */
function answer(session: NbdSession, client: MemoryTransport, message: Buffer): unknown {
  const bytes = session.exchange(client, message);
  if (client.destroyed) return 'dropped';
  return wire.parseOptionReplies(bytes).map(({ type }) => type);
}

t.test(
  'a server that requires TLS answers STARTTLS and ABORT before it, and no more',
  async (t) => {
    for (const [what, message, expected] of [
      ['LIST', wire.option(3), [ERR_TLS_REQD]],
      ['LIST with data', wire.option(3, 'x'), [ERR_TLS_REQD]],
      ['an unknown option', wire.option(99, 'x'), [ERR_TLS_REQD]],
      ['INFO', wire.option(6, wire.infoData('open')), [ERR_TLS_REQD]],
      ['INFO of nothing', wire.option(6, wire.infoData('none')), [ERR_TLS_REQD]],
      ['malformed INFO', wire.option(6), [ERR_TLS_REQD]],
      ['GO', wire.go('open'), [ERR_TLS_REQD]],
      ['STRUCTURED_REPLY', STRUCTURED_REPLY, [ERR_TLS_REQD]],
      ['too much data', wire.option(3, Buffer.alloc(70_000)), [ERR_TLS_REQD]],
      ['STARTTLS with data', wire.option(5, 'x'), [ERR_INVALID]],
      ['EXPORT_NAME', wire.exportName('open'), 'dropped'],
      ['ABORT', wire.option(2), [ACK]],
      ['STARTTLS', STARTTLS, [ACK]],
    ] as const) {
      const { session, client } = start('require');
      t.same(answer(session, client, message), expected, what);
      if (what === 'STARTTLS') {
        t.same(
          answer(session, client, wire.option(3)),
          [SERVER, SERVER, ACK],
          'all works behind it',
        );
      }
    }
  },
);

t.test('a server that leaves TLS to the client hides what needs it', async (t) => {
  for (const [what, message, before, behind] of [
    ['LIST', wire.option(3), [SERVER, ACK], [SERVER, SERVER, ACK]],
    ['GO, open', wire.go('open'), [INFO, INFO, ACK], [INFO, INFO, ACK]],
    ['GO, secret', wire.go('secret'), [ERR_TLS_REQD], [INFO, INFO, ACK]],
    ['INFO, secret', wire.option(6, wire.infoData('secret')), [ERR_TLS_REQD], [INFO, INFO, ACK]],
    ['GO, none', wire.go('none'), [ERR_UNKNOWN], [ERR_UNKNOWN]],
  ] as const) {
    const plain = start('on');
    t.same(answer(plain.session, plain.client, message), before, `${what}, in the clear`);
    const { session, client } = start('on');
    t.same(answer(session, client, STARTTLS), [ACK]);
    t.same(answer(session, client, message), behind, `${what}, encrypted`);
  }
  const dropped = start('on');
  t.equal(answer(dropped.session, dropped.client, wire.exportName('secret')), 'dropped');
  const sole = start('on', EXPORTS.slice(1));
  t.same(answer(sole.session, sole.client, wire.go('')), [ERR_TLS_REQD], 'as the default export');
});

t.test('a server refuses STARTTLS where it cannot be', async (t) => {
  const off = start('off', EXPORTS.slice(0, 1));
  t.same(answer(off.session, off.client, STARTTLS), [ERR_POLICY]);
  t.same(answer(off.session, off.client, wire.option(3)), [SERVER, ACK], 'and goes on');
  t.throws(() => start('off'), { code: 'export-needs-tls', message: /TLS is off/ });

  const twice = start('require');
  t.same(answer(twice.session, twice.client, STARTTLS), [ACK]);
  t.same(answer(twice.session, twice.client, STARTTLS), [ERR_INVALID]);
  t.same(answer(twice.session, twice.client, wire.go('open')), [INFO, INFO, ACK]);

  const session = new NbdSession({ device, exports: EXPORTS, tlsMode: 'on' });
  const pipe = session.connect({ canUpgrade: false });
  session.exchange(pipe, wire.clientFlags());
  t.same(answer(session, pipe, STARTTLS), [ERR_PLATFORM], 'no socket');
});

t.test('nothing that was agreed in the clear counts behind STARTTLS', async (t) => {
  const { session, client } = start('on');
  t.same(answer(session, client, STRUCTURED_REPLY), [ACK]);
  t.same(answer(session, client, STARTTLS), [ACK]);
  t.same(answer(session, client, wire.go('open')), [INFO, INFO, ACK]);
  const reply = session.exchange(client, wire.read(0, 1, 7n));
  t.same(reply, wire.simpleReply(0, 7n, Buffer.of(0)), 'no chunk');
});

t.test('what comes in the clear behind STARTTLS belongs to nobody', async (t) => {
  for (const injected of [STRUCTURED_REPLY, wire.go('open'), STARTTLS, Buffer.of(0)]) {
    const { session, client } = start('on');
    t.equal(answer(session, client, Buffer.concat([STARTTLS, injected])), 'dropped');
  }
  // Also when it comes while the TLS handshake runs, though a socket would not even be read then.
  const { session, client } = start('on');
  let finish = (_failure: string | null): void => {};
  client.onEncrypt = (done) => {
    finish = done;
  };
  session.exchange(client, STARTTLS);
  t.notOk(client.reading);
  client.resume();
  client.feed(STRUCTURED_REPLY);
  finish(null);
  t.ok(client.destroyed);
});

t.test('the TLS handshake counts in the deadline, and may fail at any time', async (t) => {
  for (const end of ['deadline', 'failure', 'stop', 'vanish'] as const) {
    const session = new NbdSession({ device, exports: EXPORTS, tlsMode: 'require' });
    const client = session.connect();
    let finish = (_failure: string | null): void => {};
    client.onEncrypt = (done) => {
      finish = done;
    };
    session.exchange(client, wire.clientFlags());
    session.clock.advance(6000);
    session.exchange(client, STARTTLS);
    t.notOk(client.destroyed);
    if (end === 'deadline') session.clock.advance(4001);
    if (end === 'failure') finish('bad certificate');
    if (end === 'stop') await session.server.stop({ graceMs: 1000 });
    if (end === 'vanish') client.vanish();
    t.ok(client.destroyed, end);
    t.equal(session.server.connections.length, 0);
    finish(null);
    t.same(client.take(), Buffer.alloc(0), 'too late');
    const warnings = session.logged.filter((line) => line.startsWith('warn'));
    t.equal(warnings.length, end === 'failure' ? 1 : 0);
  }
});

t.test('a TLS failure is logged once in a while', async (t) => {
  const session = new NbdSession({ device, exports: EXPORTS, tlsMode: 'require' });
  const fail = (): void => {
    const client = session.connect();
    client.onEncrypt = (done) => done('wrong key');
    session.exchange(client, Buffer.concat([wire.clientFlags(), STARTTLS]));
    t.ok(client.destroyed);
  };
  const warnings = (): string[] => session.logged.filter((line) => line.startsWith('warn'));
  for (let count = 0; count < 100; count++) fail();
  t.match(warnings(), [/^warn TLS failed .*wrong key/]);
  t.equal(warnings().length, 1);
  session.clock.advance(10_001);
  fail();
  t.equal(warnings().length, 2);
});
