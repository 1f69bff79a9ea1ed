/** The limits that keep one client from what belongs to all, each at its edge: n and n + 1. */

import t from 'tap';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { HeldDevice } from '../../support/nbd-held-device.ts';
import { NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';

const MIB = 2 ** 20;
const device = new MemoryDevice({ sizeSectors: 128 });

/** The only answer to one option of a client in its handshake; null when it was dropped. */
function answer(option: Buffer): wire.OptionReplyFields | null {
  const session = new NbdSession({ device });
  const client = session.connect();
  client.feed(wire.clientFlags());
  session.settle(client);
  client.take();
  client.feed(option);
  session.settle(client);
  return client.destroyed ? null : wire.parseOptionReplies(client.take())[0]!;
}

t.test('option data are looked at up to 64 KiB, skipped up to 32 MiB, and no more', async (t) => {
  const { ERR_UNSUP, ERR_TOO_BIG } = wire;
  t.equal(answer(wire.option(99, Buffer.alloc(65_536)))!.type, ERR_UNSUP);
  t.equal(answer(wire.option(99, Buffer.alloc(65_537)))!.type, ERR_TOO_BIG);
  t.equal(answer(wire.option(99, Buffer.alloc(32 * MIB)))!.type, ERR_TOO_BIG);
  const header = wire.option(99);
  header.writeUInt32BE(32 * MIB + 1, 12);
  t.equal(answer(header), null, 'at once: nothing of it is waited for');
});

t.test('a string has 4096 bytes at most', async (t) => {
  const { ERR_UNKNOWN, ERR_INVALID } = wire;
  t.equal(answer(wire.go('x'.repeat(4096)))!.type, ERR_UNKNOWN);
  t.equal(answer(wire.go('x'.repeat(4097)))!.type, ERR_INVALID);
});

t.test('a handshake has 32 options, and 32 more for each export', async (t) => {
  for (const exports of [1, 3]) {
    const names = Array.from({ length: exports }, (_, i) => ({ name: `e${i}`, device }));
    for (const [count, dropped] of [
      [32 * (1 + exports), false],
      [32 * (1 + exports) + 1, true],
    ] as const) {
      const session = new NbdSession({ device, exports: names });
      const client = session.connect();
      client.feed(wire.clientFlags());
      for (let i = 0; i < count; i++) client.feed(wire.option(3));
      t.equal(client.destroyed, dropped, `${exports} exports, ${count} options`);
    }
  }
});

t.test('a handshake lasts ten seconds at most; an idle client stays for ever', async (t) => {
  const session = new NbdSession({ device });
  const [haggling, idle] = [session.connect(), session.attach()];
  haggling.feed(wire.clientFlags());
  session.clock.advance(9_999);
  t.notOk(haggling.destroyed);
  session.clock.advance(1);
  t.ok(haggling.destroyed);
  session.clock.advance(30 * 86_400_000);
  t.notOk(idle.destroyed);
  const reply = session.exchange(idle, wire.read(0, 1, 7n));
  t.same(reply, wire.simpleReply(0, 7n, Buffer.of(0)));
});

t.test('a server has so many connections, says once in a while that it is full', async (t) => {
  const session = new NbdSession({ device, limits: { connectionsMax: 3 } });
  const clients = Array.from({ length: 3 }, () => session.connect());
  t.notOk(clients.some((client) => client.destroyed));
  for (let i = 0; i < 50; i++) t.ok(session.connect().destroyed);
  const refusals = (): number => session.logged.filter((line) => line.includes('refused')).length;
  t.equal(refusals(), 1);
  session.clock.advance(10_000);
  for (let i = 0; i < 3; i++) session.connect();
  t.notOk(
    clients.some((client) => !client.destroyed),
    'their handshakes have taken too long',
  );
  for (let i = 0; i < 50; i++) session.connect();
  t.equal(refusals(), 2);
});

t.test('a client that takes no answers in its handshake gets no more of them', async (t) => {
  const name = (i: number): string => `${i}`.padEnd(255, 'n');
  const description = 'd'.repeat(255);
  const exports = Array.from({ length: 500 }, (_, i) => ({ name: name(i), description, device }));
  const session = new NbdSession({ device, exports });
  const client = session.connect();
  client.clientReads = false;
  client.feed(wire.clientFlags());
  const asked = 200;
  for (let i = 0; i < asked; i++) client.feed(wire.option(3));
  const listBytes = 500 * (20 + 4 + 255 + 255) + 20;
  t.ok(client.queuedBytes <= 8 * MIB + listBytes, `${client.queuedBytes} bytes wait`);
  t.notOk(client.reading, 'the socket is not read');
  t.notOk(client.destroyed);
  client.clientReads = true;
  while (client.queuedBytes > 0) session.settle(client);
  const sent = client.take();
  t.equal(sent.length, wire.GREETING.length + asked * listBytes, 'then it gets all of them');
});

t.test('what others hold leaves each connection a mebibyte of payload', async (t) => {
  const slow = new HeldDevice(128 * 2048);
  const exports = [
    { name: 'slow', device: slow },
    { name: 'data', device },
  ];
  const limits = { payloadBytesMax: 32 * MIB };
  const session = new NbdSession({ device, exports, limits });
  for (let i = 0; i < 3; i++) session.attach({ name: 'slow' }).feed(wire.read(0, 16 * MIB, 0n));
  t.equal(slow.held.length, 2, 'the budget is in use');
  t.equal(session.server.memory.payloadBytes, 32 * MIB);

  const honest = session.attach({ name: 'slow' });
  honest.feed(wire.read(0, MIB, 1n));
  t.equal(slow.held.length, 3, 'a mebibyte');
  honest.feed(wire.read(0, 1, 2n));
  t.equal(slow.held.length, 3, 'and not a byte more');
  const other = session.attach({ name: 'data' });
  const reply = session.exchange(other, wire.read(0, 65_536, 3n));
  t.equal(reply.length, 16 + 65_536, 'another device is not concerned at all');
  t.equal(session.server.memory.payloadBytes, 33 * MIB);
});

t.test('a WRITE that does not go on gives way when others wait for memory', async (t) => {
  const big = new MemoryDevice({ sizeSectors: 128 * 2048 });
  const limits = { payloadBytesMax: 64 * MIB };
  const session = new NbdSession({ device: big, limits });
  const stalled = session.attach();
  stalled.feed(wire.request({ type: wire.WRITE, length: 60 * MIB }));
  session.clock.advance(86_400_000);
  t.notOk(stalled.destroyed, 'nobody waits: it may take its time');

  const slow = session.attach();
  slow.feed(wire.request({ type: wire.WRITE, length: 2 * MIB, cookie: 5n }));
  const honest = session.attach();
  honest.feed(wire.read(0, 8 * MIB, 1n));
  session.settle(honest);
  t.equal(honest.take().length, 0);
  stalled.feed(Buffer.alloc(1000));
  for (let seconds = 0; seconds < 10; seconds++) {
    slow.feed(Buffer.alloc(100));
    session.clock.advance(1000);
  }
  t.notOk(stalled.destroyed, 'it has gone on since the others began to wait');
  slow.feed(Buffer.alloc(100));
  session.clock.advance(10_000);
  session.settle(honest);
  t.ok(stalled.destroyed);
  t.notOk(slow.destroyed, 'a slow one is none that stalls');
  t.equal(honest.take().length, 16 + 8 * MIB);
  session.clock.advance(86_400_000);
  t.notOk(slow.destroyed, 'nobody waits any more');
  t.equal(session.server.memory.payloadBytes, 2 * MIB);
  slow.vanish();
  honest.vanish();
  t.equal(session.server.memory.payloadBytes, 0);
  t.equal(session.clock.pending, 0);
});
