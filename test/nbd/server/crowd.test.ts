/**
 * A hundred clients that stall in their handshake, some that read no replies and one that floods:
 * an honest one beside them gets on, and memory stays below what docs/memory.md says.
 */

import t from 'tap';
import {
  NBD_BYTES_IN_FLIGHT_MAX,
  NBD_CONNECTION_BYTES_GUARANTEED,
  NBD_REPLY_BYTES_QUEUED_MAX,
  NBD_SERVER_BYTES_IN_FLIGHT_MAX,
} from '../../../src/base/limits.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { type MemoryTransport, NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';

const MIB = 2 ** 20;
const STALLED = 100;
/** Each is worth ten megabytes of replies: with a hundred of them the test would only be slow. */
const DEAF = 12;
/** What every connection holds to receive into and to reply from. */
const CONNECTION_BYTES = 2 * (2 ** 18 + 4096);

function crowd(session: NbdSession): MemoryTransport[] {
  const stalled = Array.from({ length: STALLED }, (_, i) => {
    const client = session.connect();
    client.feed(Buffer.concat([wire.clientFlags(), wire.go()]).subarray(0, 1 + (i % 25)));
    return client;
  });
  const deaf = Array.from({ length: DEAF }, () => {
    const client = session.attach();
    client.clientReads = false;
    for (let i = 0; i < 20; i++) client.feed(wire.read(0, MIB, BigInt(i)));
    return client;
  });
  session.settle();
  return [...stalled, ...deaf];
}

t.test('an honest client gets on beside a crowd that does not, within the bounds', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 8 * 2048 });
  const session = new NbdSession({ device, limits: { connectionsMax: STALLED + DEAF + 2 } });
  const honest = session.attach();
  const others = crowd(session);
  const flood = session.attach();
  t.equal(others.filter((client) => client.destroyed).length, 0);

  const data = Buffer.alloc(65_536);
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 200; i++) flood.feed(wire.read(0, 4096, BigInt(i)));
    data.fill(round);
    const cookie = BigInt(round);
    const replies = session.exchange(
      honest,
      wire.write(MIB, data, cookie),
      wire.read(MIB, data.length, cookie),
    );
    const expected = [wire.simpleReply(0, cookie), wire.simpleReply(0, cookie, data)];
    if (!replies.equals(Buffer.concat(expected))) t.fail(`round ${round}`);
    flood.drain();
    flood.take();
  }

  const { memory } = session.server;
  const connections = STALLED + DEAF + 2;
  // A connection stops behind the reply that exceeds its bound.
  const deafBytes = DEAF * (NBD_REPLY_BYTES_QUEUED_MAX + 2 * (MIB + 4096));
  const bound = connections * CONNECTION_BYTES + deafBytes;
  t.ok(memory.buffersTakenBytes <= bound, `${memory.buffersTakenBytes} of ${bound} bytes`);
  t.equal(memory.payloadBytes, 0, 'what is answered is in no budget');
  for (const client of others) client.vanish();
  session.settle();
  t.ok(session.server.memory.buffersTakenBytes <= 4 * CONNECTION_BYTES);
});

t.test('payload in progress stays below its bound, however many ask for it', async (t) => {
  const sizeSectors = 128 * 2048;
  const device = new MemoryDevice({ sizeSectors, sparse: true });
  const session = new NbdSession({ device });
  const clients = Array.from({ length: 99 }, () => session.attach());
  for (const client of clients) {
    client.feed(wire.request({ type: wire.WRITE, length: 48 * MIB }));
    client.feed(Buffer.alloc(1000));
  }
  const bound = NBD_SERVER_BYTES_IN_FLIGHT_MAX + clients.length * NBD_CONNECTION_BYTES_GUARANTEED;
  const { memory } = session.server;
  t.ok(memory.payloadBytes <= bound, `${memory.payloadBytes} of ${bound} bytes`);
  t.ok(memory.payloadBytes > NBD_SERVER_BYTES_IN_FLIGHT_MAX / 2);
  t.ok(memory.payloadBytes % (48 * MIB) === 0 && 48 * MIB <= NBD_BYTES_IN_FLIGHT_MAX);
  // The buffers for payload are powers of two.
  const buffers = 2 * bound + clients.length * CONNECTION_BYTES;
  t.ok(memory.buffersTakenBytes <= buffers, `${memory.buffersTakenBytes} of ${buffers} bytes`);
  const reply = session.exchange(session.attach(), wire.read(0, 65_536, 1n));
  t.equal(reply.length, 16 + 65_536);
  for (const client of clients) client.vanish();
  t.equal(session.server.memory.payloadBytes, 0);
});
