import t from 'tap';
import { EIO } from '../../../src/base/errno.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';
import { errors, held, scripted } from '../../support/transmission-rig.ts';

const MIB = 2 ** 20;

t.test(
  'Transmission answers in the order in which the device ends, with the right cookie',
  async (t) => {
    const { device, session } = held();
    const client = session.attach();
    device.bytes.fill(1, 0, 512).fill(2, 512, 1024).fill(3, 1024, 1536);
    const cookies = [0xffffffffffffffffn, 0x8000000000000000n, 1n];
    client.feed(Buffer.concat(cookies.map((cookie, i) => wire.read(i * 512, 512, cookie))));
    session.settle(client);
    t.equal(device.held.length, 3, 'all are at the device together');
    for (const index of [2, 0, 0]) device.finish(index);
    session.settle(client);
    const lengths = new Map(cookies.map((cookie) => [cookie, 512]));
    const replies = wire.parseReplies(client.take(), lengths);
    t.same(
      replies.map(({ cookie, data }) => [cookie, data[0], data[511]]),
      [
        [1n, 3, 3],
        [0xffffffffffffffffn, 1, 1],
        [0x8000000000000000n, 2, 2],
      ],
    );
  },
);

t.test(
  'Transmission answers two requests of one cookie, and goes on past one that is held',
  async (t) => {
    const { device, session } = held();
    const client = session.attach();
    client.feed(
      Buffer.concat([wire.write(0, Buffer.alloc(512), 5n), wire.write(512, Buffer.alloc(512), 5n)]),
    );
    for (let round = 0; round < 300; round++) {
      client.feed(wire.read(4096, 1, 9n));
      device.finish(2);
      session.settle(client);
    }
    t.equal(wire.parseReplies(client.take(), new Map([[9n, 1]])).length, 300);
    device.finish();
    device.finish();
    session.settle(client);
    t.same(errors(client.take()), [
      [5n, 0],
      [5n, 0],
    ]);
  },
);

t.test('Transmission sends all that ended in one turn as one write', async (t) => {
  const { session } = scripted();
  const client = session.attach();
  client.writes.length = 0;
  const messages = Array.from({ length: 20 }, (_, i) =>
    i % 2 === 0
      ? wire.read(i * 512, 512, BigInt(i))
      : wire.write(i * 512, Buffer.alloc(512), BigInt(i)),
  );
  session.exchange(client, ...messages);
  t.equal(client.writes.length, 1);
  const { device, session: later } = held();
  const second = later.attach();
  second.writes.length = 0;
  second.feed(Buffer.concat(messages));
  while (device.held.length > 0) device.finish(device.held.length >> 1);
  later.settle(second);
  t.equal(second.writes.length, 1);
});

t.test('Transmission carries FUA, and flushes as an empty flush', async (t) => {
  const { device, session } = scripted();
  const client = session.attach();
  session.exchange(
    client,
    wire.write(0, Buffer.alloc(512), 1n, wire.FUA),
    wire.write(0, Buffer.alloc(512), 2n),
    wire.request({ type: wire.FLUSH }),
    wire.request({ type: wire.TRIM, offset: 512, length: 1024, flags: wire.FUA }),
    wire.read(0, 512, 3n, wire.FUA),
  );
  const expected = ['write 0+1 fua', 'write 0+1', 'flush', 'discard 1+2 fua', 'read 0+1'];
  t.same(device.seen, expected);
});

t.test(
  'Transmission writes zeroes in slices where a device has no better way, each with FUA',
  async (t) => {
    const { device, session } = scripted(3 * 2048 + 8);
    device.bytes.fill(9);
    const client = session.attach();
    const [offset, length] = [100, 3 * MIB];
    const zeroes = wire.request({
      type: wire.WRITE_ZEROES,
      offset,
      length,
      cookie: 1n,
      flags: wire.FUA,
    });
    t.same(errors(session.exchange(client, zeroes)), [[1n, 0]]);
    t.same(device.seen, [
      'read 0+1',
      'write 0+1 fua',
      'write 1+2048 fua',
      'write 2049+2048 fua',
      'write 4097+2047 fua',
      'read 6144+1',
      'write 6144+1 fua',
    ]);
    const rest = device.bytes.filter((byte) => byte === 9).length;
    t.equal(device.bytes.length - rest, length);
    t.ok(device.bytes.subarray(offset, offset + length).every((byte) => byte === 0));
  },
);

t.test('Transmission lets other requests pass between the slices of a long one', async (t) => {
  const { session } = scripted(4 * 2048);
  const client = session.attach();
  const zeroes = wire.request({ type: wire.WRITE_ZEROES, length: 4 * MIB, cookie: 1n });
  client.feed(Buffer.concat([zeroes, wire.read(0, 1, 2n)]));
  session.settle(client);
  const order = wire.parseReplies(client.take(), new Map([[2n, 1]])).map((reply) => reply.cookie);
  t.same(order, [2n, 1n]);
});

t.test('Transmission zeroes by the device, unless NO_HOLE asks for space', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 8 });
  const ops: string[] = [];
  const submit = device.submit.bind(device);
  device.submit = (bio) => {
    ops.push(bio.op);
    submit(bio);
  };
  const session = new NbdSession({ device });
  const client = session.attach();
  session.exchange(client, wire.request({ type: wire.WRITE_ZEROES, length: 4096 }));
  session.exchange(
    client,
    wire.request({ type: wire.WRITE_ZEROES, length: 4096, flags: wire.NO_HOLE }),
  );
  t.same(ops, ['write-zeroes', 'write']);
});

t.test('Transmission carries out discards of nearly 4 GiB, in slices', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 2 ** 33, sparse: true });
  const seen: number[] = [];
  device.submit = (bio) => {
    seen.push(bio.count);
    bio.end(0);
  };
  const session = new NbdSession({ device });
  const trim = wire.request({ type: wire.TRIM, offset: 512, length: 0xfffffe00, cookie: 1n });
  t.same(errors(session.exchange(session.attach(), trim)), [[1n, 0]]);
  t.equal(seen.length, 16);
  t.equal(
    seen.reduce((sum, one) => sum + one, 0),
    0xfffffe00 / 512,
  );
});

t.test(
  'Transmission succeeds with requests of no bytes, without touching the device',
  async (t) => {
    const { device, session } = scripted();
    const types = [wire.READ, wire.WRITE, wire.TRIM, wire.CACHE, wire.WRITE_ZEROES];
    for (const structured of [false, true]) {
      const client = session.attach({ structured });
      const bytes = session.exchange(
        client,
        ...types.map((type) => wire.request({ type, length: 0 })),
      );
      const replies = wire.parseReplies(bytes);
      t.same(
        replies.map((reply) => reply.error),
        [0, 0, 0, 0, 0],
      );
      t.same(replies[0]!.form, structured ? 'chunk' : 'simple');
      const status = session.exchange(client, wire.request({ type: wire.BLOCK_STATUS, length: 0 }));
      t.equal(wire.parseReplies(status)[0]!.error, 22);
    }
    t.same(device.seen, []);
  },
);

t.test('Transmission tells in words what went wrong, where replies are structured', async (t) => {
  const { device, session } = held();
  const client = session.attach({ structured: true });
  client.feed(wire.read(0, 512, 1n));
  device.fail(EIO, 'Leg "a.img"\nis on fire');
  session.settle(client);
  const [reply] = wire.parseReplies(client.take());
  t.match(reply, { form: 'chunk', type: 0x8001, done: true, error: 5, cookie: 1n });
  t.equal(reply!.text, 'Leg "a.img" is on fire');
  client.feed(wire.write(0, Buffer.alloc(512), 2n));
  device.fail(EIO, 'x'.repeat(10_000));
  session.settle(client);
  t.equal(wire.parseReplies(client.take())[0]!.text.length, 512);
});

t.test('Transmission sends no data with an error, and none of an earlier request', async (t) => {
  const { device, session } = held();
  const client = session.attach();
  device.bytes.fill(0x5e);
  client.feed(wire.read(0, 4096, 1n));
  device.finish();
  client.feed(wire.read(0, 4096, 2n));
  device.fail(EIO, 'no');
  session.settle(client);
  const replies = wire.parseReplies(client.take(), new Map([[1n, 4096]]));
  t.same(
    replies.map(({ error, data }) => [error, data.length]),
    [
      [0, 4096],
      [5, 0],
    ],
  );
});

t.test('Transmission reads 64 MiB, in chunks of at most 32 MiB', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 130 * 2048 });
  const session = new NbdSession({ device });
  const [offset, length] = [1, 64 * MIB];
  for (let at = 0; at < device.bytes.length; at += 4096) device.bytes[at + 1] = at / 4096;
  const expected = Buffer.from(device.bytes.subarray(offset, offset + length));
  const simple = session.exchange(session.attach(), wire.read(offset, length, 1n));
  t.ok(wire.parseReplies(simple, new Map([[1n, length]]))[0]!.data.equals(expected));
  const structured = session.attach({ structured: true });
  const chunks = wire.parseReplies(session.exchange(structured, wire.read(offset, length, 1n)));
  t.same(
    chunks.map((chunk) => [chunk.offset, chunk.data.length, chunk.done]),
    [
      [1n, 32 * MIB, false],
      [BigInt(1 + 32 * MIB), 32 * MIB, true],
    ],
  );
  t.ok(Buffer.concat(chunks.map((chunk) => chunk.data)).equals(expected));
});

t.test('Transmission writes 64 MiB at once; a byte more ends the connection', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 130 * 2048 });
  const session = new NbdSession({ device });
  const client = session.attach();
  const payload = Buffer.alloc(64 * MIB, 'payload');
  t.same(errors(session.exchange(client, wire.write(3, payload, 1n))), [[1n, 0]]);
  t.ok(payload.equals(device.bytes.subarray(3, 3 + payload.length)));
  client.feed(wire.request({ type: wire.WRITE, length: 64 * MIB + 1 }));
  t.ok(client.destroyed);
});
