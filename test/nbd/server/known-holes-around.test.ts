/**
 * What has gone wrong around the protocol in other NBD servers: who may come, what signals do, and
 * what is believed before TLS (NBD protocol, 15.2). The protocol's own are in
 * `known-holes.test.ts`.
 */

import t from 'tap';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { AddressFilter } from '../../../src/nbd/server/address-filter.ts';
import { KIB, MIB, MirrorFiles } from '../../support/mirror-files.ts';
import { MemoryTransport, NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';

const GREETING_SIZE = 18;
/** Signals that mean nothing to the server, or should not. */
const NOISE = ['SIGPIPE', 'SIGCHLD', 'SIGWINCH', 'SIGCONT', 'SIGURG'] as const;

t.test('CVE-2013-6410: an allow list was matched by the beginning of its text', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 8 });
  const isLetIn = (filter: AddressFilter, address: string): boolean => {
    const session = new NbdSession({ device, limits: { filter } });
    const client = Object.assign(new MemoryTransport(), { address });
    session.server.attach(client);
    session.settle(client);
    return client.take().length === GREETING_SIZE && !client.destroyed;
  };
  for (const [allowed, address, expected] of [
    ['192.168.0.1', '192.168.0.1', true],
    ['192.168.0.1', '192.168.0.10', false],
    ['192.168.0.1', '192.168.0.100', false],
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '100.0.0.0', false],
    ['1.2.3.0/24', '1.2.30.4', false],
    ['fd00::1', 'fd00::1', true],
    ['fd00::1', 'fd00::10', false],
    ['192.168.0.1', '::ffff:192.168.0.1', true],
    ['192.168.0.1', '::ffff:192.168.0.10', false],
  ] as const) {
    const what = `${address} where ${allowed} may come`;
    t.equal(isLetIn(new AddressFilter([allowed], []), address), expected, what);
    const denied = `${address} where ${allowed} may not`;
    t.equal(isLetIn(new AddressFilter([], [allowed]), address), !expected, denied);
  }
});

t.test('CVE-2015-0847: a signal in the middle of work ended the server', async (t) => {
  const mirror = new MirrorFiles(t, { sizeBytes: 4 * MIB, regionBytes: 64 * KIB });
  const server = await mirror.serve();
  const client = await server.connect();
  const block = Buffer.alloc(64 * KIB, 0x5a);
  for (let offset = 0; offset < mirror.sizeBytes; offset += block.length) {
    const written = client.write(offset, block);
    for (const signal of NOISE) process.kill(server.pid, signal);
    await written;
  }
  await client.flush();
  const reads = Array.from({ length: 8 }, (_, i) => client.read(i * block.length, block.length));
  for (const data of await Promise.all(reads)) t.ok(data.equals(block));
  const last = client.write(0, block);
  await server.stop();
  await last.catch(() => {});
  t.same(mirror.differing(), [], 'and the one that counts is obeyed in good order');
});

t.test('CVE-2021-3716: what was said before TLS counted behind it', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 8 });
  const injected = [
    wire.option(8),
    wire.option(11),
    Buffer.concat([wire.option(8), wire.contexts(10, 'data', 'base:allocation')]),
  ];
  for (const [index, words] of injected.entries()) {
    const session = new NbdSession({ device, tlsMode: 'on' });
    const client = session.connect();
    session.exchange(client, wire.clientFlags(), words, wire.option(5));
    session.exchange(client, wire.exportName('data'));
    const read = session.exchange(client, wire.read(0, 512, 7n));
    t.same(read, wire.simpleReply(0, 7n, Buffer.alloc(512)), `words ${index}: a simple reply`);
    const status = { type: wire.BLOCK_STATUS, offset: 0, length: 512, cookie: 8n };
    const refusal = session.exchange(client, wire.request(status));
    t.same(refusal, wire.simpleReply(22, 8n), `words ${index}: no context is selected`);
  }
  for (const words of injected) {
    const session = new NbdSession({ device, tlsMode: 'on' });
    const client = session.connect();
    session.exchange(client, wire.clientFlags());
    client.feed(Buffer.concat([wire.option(5), words]));
    session.settle(client);
    t.ok(client.destroyed, 'nor is anything read that stands behind STARTTLS in the clear');
  }
});
