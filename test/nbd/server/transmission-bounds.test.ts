import t from 'tap';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { HeldDevice } from '../../support/nbd-held-device.ts';
import { type MemoryTransport, NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';
import { errors, held, scripted } from '../../support/transmission-rig.ts';

const MIB = 2 ** 20;

t.test('Transmission has at most 128 requests in flight, then reads on', async (t) => {
  const { device, session } = held();
  const client = session.attach();
  const all = Array.from({ length: 200 }, (_, i) =>
    wire.write(i * 512, Buffer.alloc(512, i), BigInt(i)),
  );
  client.feed(Buffer.concat(all));
  client.feed(wire.read(0, 512, 1000n));
  session.settle(client);
  t.equal(device.held.length, 128);
  t.notOk(client.reading, 'the socket is not read');
  for (let i = 0; i < 201; i++) {
    device.finish();
    session.settle(client);
    t.ok(device.held.length <= 128);
  }
  t.ok(client.reading);
  t.equal(wire.parseReplies(client.take(), new Map([[1000n, 512]])).length, 201);
  t.equal(device.bytes[199 * 512], 199);
});

t.test('Transmission holds at most 64 MiB of payload, and a server its budget', async (t) => {
  const device = new HeldDevice(100 * 2048);
  const session = new NbdSession({ device, limits: { payloadBytesMax: 80 * MIB } });
  const [first, second] = [session.attach(), session.attach()];
  const data = Buffer.alloc(16 * MIB);
  const writes = Array.from({ length: 5 }, (_, i) => wire.write(i * 16 * MIB, data, BigInt(i)));
  first.feed(Buffer.concat(writes));
  session.settle(first);
  t.equal(device.held.length, 4, 'four of 16 MiB on one connection');
  second.feed(Buffer.concat(writes));
  session.settle(second);
  t.equal(device.held.length, 5, 'one more on the whole server');
  device.finish();
  session.settle(first, second);
  t.equal(device.held.length, 5, 'one ended, one began');
  first.vanish();
  while (device.held.length > 0) {
    device.finish();
    session.settle(second);
  }
  t.equal(wire.parseReplies(second.take()).length, 5, 'nobody is forgotten');
});

t.test('Transmission begins no READ for whose reply there is no room', async (t) => {
  const { device, session } = held(64 * 2048);
  const client = session.attach();
  client.clientReads = false;
  const reads = Array.from({ length: 40 }, (_, i) => wire.read(i * MIB, MIB, BigInt(i)));
  client.feed(Buffer.concat([...reads, wire.read(0, 32 * MIB, 40n)]));
  session.settle(client);
  t.equal(device.held.length, 8, 'as much as may be queued is read');
  while (device.held.length > 0) {
    device.finish();
    session.settle(client);
  }
  t.ok(session.server.memory.buffersTakenBytes < 12 * MIB, 'and nothing follows by itself');
  client.clientReads = true;
  for (let i = 0; i < 41; i++) {
    session.settle(client);
    if (device.held.length > 0) device.finish();
  }
  session.settle(client);
  const lengths = new Map(reads.map((_, i) => [BigInt(i), MIB])).set(40n, 32 * MIB);
  t.equal(wire.parseReplies(client.take(), lengths).length, 41, 'it takes them, and gets all');
});

t.test('Transmission stops reading while a client takes no replies', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 8 * 2048 });
  const session = new NbdSession({ device });
  const client = session.attach();
  client.clientReads = false;
  const count = 400;
  for (let i = 0; i < count; i++) {
    client.feed(wire.read(0, MIB / 4, BigInt(i)));
    session.settle(client);
  }
  t.ok(client.queuedBytes <= 8 * MIB + MIB, `${client.queuedBytes} bytes wait`);
  t.ok(client.unreadBytes > 300 * 28, 'the rest stays with the kernel');
  client.clientReads = true;
  while (client.queuedBytes > 0) session.settle(client);
  const lengths = new Map(Array.from({ length: count }, (_, i) => [BigInt(i), MIB / 4]));
  t.equal(wire.parseReplies(client.take(), lengths).length, count);
});

t.test(
  'Transmission finishes what came before DISC, and ignores what comes behind it',
  async (t) => {
    const { device, session } = held();
    const client = session.attach();
    client.feed(
      Buffer.concat([
        wire.write(0, Buffer.alloc(512, 7), 1n),
        wire.disc(),
        wire.write(512, Buffer.alloc(512, 8), 2n),
        Buffer.alloc(100_000),
      ]),
    );
    client.feedEnd();
    session.settle(client);
    t.notOk(client.serverEnded, 'a request is in progress');
    device.finish();
    session.settle(client);
    t.same(errors(client.take()), [[1n, 0]]);
    t.ok(client.serverEnded);
    t.equal(device.bytes[512], 0);
  },
);

t.test('Transmission answers held requests with EIO a while after DISC', async (t) => {
  const { device, session } = held();
  const client = session.attach();
  client.feed(Buffer.concat([wire.write(0, Buffer.alloc(512, 7), 1n), wire.disc()]));
  session.clock.advance(5_000);
  t.same(errors(client.take()), [[1n, 5]]);
  t.ok(client.serverEnded);
  session.settle(client);
  session.clock.advance(2_000);
  t.equal(session.server.connections.length, 0);
  device.finish();
  t.same(client.take(), Buffer.alloc(0), 'its end concerns nobody');
});

t.test(
  'Transmission applies a WRITE whole or not at all, wherever the client vanishes',
  async (t) => {
    const message = wire.write(0, Buffer.alloc(1024, 7), 1n);
    for (const end of ['vanish', 'feedEnd'] as const) {
      for (let cut = 0; cut <= message.length; cut++) {
        const { device, session } = scripted();
        const client = session.attach();
        client.feed(message.subarray(0, cut));
        client[end]();
        session.settle();
        const written = cut === message.length ? ['write 0+2'] : [];
        if (device.seen.join() !== written.join()) t.fail(`${end} at byte ${cut}: ${device.seen}`);
        session.clock.advance(60_000);
        if (session.server.connections.length !== 0) t.fail(`${end} at byte ${cut}: still open`);
      }
    }
    t.pass(`${message.length} places`);
  },
);

for (const end of ['vanish', 'feedEnd'] as const) {
  t.test(`Transmission drops what has not started when a client is gone (${end})`, async (t) => {
    const { device, session } = held();
    const client = session.attach();
    client.feed(
      Buffer.concat([
        wire.write(0, Buffer.alloc(512, 1)),
        wire.write(10, Buffer.alloc(4, 2)),
        ...Array.from({ length: 126 }, () => wire.write(4096, Buffer.alloc(512, 3))),
      ]),
    );
    client[end]();
    session.settle(client);
    const newer = session.attach();
    newer.feed(Buffer.concat([wire.write(0, Buffer.alloc(512, 9), 1n), wire.read(0, 1, 2n)]));
    t.equal(device.held.length, 1 + 126 + 1, 'the newer write waits for the abandoned one');
    while (device.held.length > 0) {
      device.finish(device.held.length - 1);
      session.settle(client, newer);
    }
    t.equal(device.bytes[0], 9, 'nothing old lands on top of it');
    t.notOk(device.seen.slice(1).includes('read 0+1'), 'the unaligned write never began');
    const replies = wire.parseReplies(newer.take(), new Map([[2n, 1]]));
    t.same(
      replies.map(({ cookie, error }) => [cookie, error]),
      [
        [2n, 0],
        [1n, 0],
      ],
    );
    session.clock.advance(60_000);
    t.equal(session.server.connections.length, 1);
  });

  t.test(
    `Transmission leaves the requests in its buffer alone after an end (${end})`,
    async (t) => {
      const { device, session } = held();
      const client = session.attach();
      client.feed(
        Buffer.concat(Array.from({ length: 200 }, () => wire.write(0, Buffer.alloc(512)))),
      );
      client[end]();
      for (let i = 0; i < 128; i++) device.finish();
      session.settle(client);
      // Without an end of stream the rest would be read now; a stopped reader has not seen it yet.
      t.equal(device.held.length, end === 'vanish' ? 0 : 72);
    },
  );
}

t.test('Transmission gives back the payload that a vanished client never sent', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 128 * 2048 });
  const session = new NbdSession({ device, limits: { payloadBytesMax: 64 * MIB } });
  for (const end of ['vanish', 'feedEnd'] as const) {
    const client = session.attach();
    client.feed(wire.request({ type: wire.WRITE, length: 60 * MIB }));
    client[end]();
    session.clock.advance(60_000);
  }
  const bytes = session.exchange(session.attach(), wire.read(0, 1, 1n), wire.read(0, 60 * MIB, 2n));
  t.equal(bytes.length, 16 + 1 + 16 + 60 * MIB);
});

t.test('Transmission begins no further slice for a client that is gone', async (t) => {
  const { device, session } = held(16 * 2048);
  const client = session.attach();
  client.feed(wire.request({ type: wire.WRITE_ZEROES, length: 8 * MIB }));
  device.finish();
  session.settle(client);
  client.vanish();
  device.finish();
  session.settle();
  t.equal(device.held.length, 0);
  t.equal(device.seen.length, 2);
});

/** Everything that reached the device, for garbage of any kind. */
function afterGarbage(bytes: Buffer, ends: boolean): MemoryTransport {
  const { session } = scripted();
  const client = session.connect();
  client.feed(bytes);
  if (ends) client.feedEnd();
  session.settle(client);
  session.clock.advance(60_000);
  return client;
}

t.test('Transmission drops garbage at the first wrong magic', async (t) => {
  const attach = Buffer.concat([wire.clientFlags(), wire.go()]);
  for (const garbage of [
    '',
    'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    '\0'.repeat(100),
    '\u00ff'.repeat(100),
  ]) {
    t.ok(afterGarbage(Buffer.from(garbage, 'latin1'), true).destroyed);
    t.equal(
      afterGarbage(Buffer.concat([attach, Buffer.from(garbage, 'latin1')]), false).destroyed,
      garbage !== '',
    );
  }
});

t.test('A client that sends thousands of requests ahead gets its share of each turn', (t) => {
  const device = new MemoryDevice({ sizeSectors: 8 });
  const session = new NbdSession({ device });
  const [flooder, other] = [session.attach(), session.attach()];
  const flood = Buffer.concat(Array.from({ length: 5000 }, (_, i) => wire.read(0, 1, BigInt(i))));
  const answered = (client: MemoryTransport): number => client.take().length / 17;

  session.exchange(flooder, wire.read(0, 1));
  session.clock.advance(1000);
  flooder.feed(flood);
  t.equal(answered(flooder), 5000, 'alone it may have whole turns');

  session.exchange(other, wire.read(0, 1));
  flooder.feed(flood);
  const first = answered(flooder);
  t.ok(first > 0 && first <= 16, `${first} before others have had their turn`);
  t.notOk(flooder.reading);
  other.feed(Buffer.concat(Array.from({ length: 16 }, () => wire.read(0, 1))));
  t.equal(answered(other), 16, 'the usual ones fit into one turn');
  session.settle(flooder, other);
  t.equal(answered(flooder), 5000 - first, 'nothing is forgotten');
  t.ok(flooder.reading);

  flooder.feed(flood);
  flooder.feed(wire.disc());
  flooder.feedEnd();
  other.feed(wire.read(0, 1));
  session.settle(flooder, other);
  t.equal(answered(flooder), 5000, 'nor by one that leaves in good order');
  t.ok(flooder.destroyed);

  const leaver = session.attach();
  session.exchange(other, wire.read(0, 1));
  leaver.feed(flood);
  leaver.vanish();
  session.settle(other);
  t.ok(answered(leaver) <= 16, 'what waited of one that vanished does not begin');
  t.equal(session.server.connections.length, 1);
  t.end();
});
