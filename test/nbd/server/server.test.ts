import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { silentLogger } from '../../../src/base/log.ts';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { NbdClient } from '../../../src/nbd/client/nbd-client.ts';
import { NbdServer, type NbdServerLimits } from '../../../src/nbd/server/server.ts';
import { RealClock } from '../../support/nbd-clock.ts';
import { NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';
import { ScriptedDevice } from '../../support/scripted-device.ts';
import { tempDir } from '../../support/temp-dir.ts';

const GRACE = { graceMs: 10_000 };

function newServer(
  t: Test,
  options: { device?: BlockDevice; limits?: NbdServerLimits } = {},
): NbdServer {
  const { device = new MemoryDevice({ sizeSectors: 2048 }), limits = {} } = options;
  const exports = [{ name: 'data', device }];
  const server = new NbdServer({ clock: new RealClock(), log: silentLogger, exports, limits });
  t.teardown(() => server.abort());
  return server;
}

/** As a server does that is killed. */
async function leaveSocket(path: string): Promise<void> {
  const listen = `.listen(${JSON.stringify(path)}, () => console.log(1))`;
  const program = `require('net').createServer()${listen}`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}

t.test('NbdServer.listenUnix() makes a socket for its owner only, and removes it', async (t) => {
  const server = newServer(t);
  const path = join(tempDir(t), 'm.sock');
  const umask = process.umask();
  t.same(await server.listenUnix(path), { kind: 'unix', path });
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(process.umask(), umask);
  await server.stop(GRACE);
  t.notOk(existsSync(path));
});

t.test('NbdServer.listenUnix() refuses what it cannot have, and says so', async (t) => {
  const server = newServer(t);
  const directory = tempDir(t);
  const live = join(directory, 'live');
  await newServer(t).listenUnix(live);
  const file = join(directory, 'file');
  writeFileSync(file, 'precious');
  for (const [path, code, message] of [
    [live, 'socket-in-use', /a server is listening there/],
    [file, 'socket-path-taken', /path is no socket/],
    [join(directory, 'x'.repeat(107)), 'socket-path-too-long', /must have 1 to 107/],
    ['', 'socket-path-too-long', /0 bytes/],
    [join(directory, 'none', 's'), 'listen-failed', /folder does not exist|permission/],
  ] as const) {
    await t.rejects(server.listenUnix(path), { name: 'UserError', code, message }, path);
  }
  t.ok(existsSync(file));
  t.same(server.addresses(), []);
  const client = await NbdClient.connect({ address: { kind: 'unix', path: live } });
  await client.disconnect();
});

t.test('NbdServer.listenUnix() takes over the socket of a server that was killed', async (t) => {
  const path = join(tempDir(t), 's');
  await leaveSocket(path);
  t.ok(existsSync(path), 'it left its socket behind');
  const server = newServer(t);
  await server.listenUnix(path);
  const client = await NbdClient.connect({ address: { kind: 'unix', path } });
  t.equal(client.size, 2 ** 20);
  await client.disconnect();
});

t.test('NbdServer.listenUnix() of two at once: one of them takes over', async (t) => {
  const path = join(tempDir(t), 's');
  await leaveSocket(path);
  const attempts = [1, 2, 3].map(() => newServer(t).listenUnix(path));
  const results = await Promise.allSettled(attempts);
  const failures = results.flatMap((result) =>
    result.status === 'rejected' ? [`${result.reason}`] : [],
  );
  t.equal(failures.length, 2);
  for (const failure of failures) t.match(failure, /a server is listening there|is in use/);
  const client = connect(path);
  await once(client, 'connect');
  client.destroy();
});

t.test('NbdServer.listenTcp() takes a free port for 0, and says why it fails', async (t) => {
  const server = newServer(t);
  const address = await server.listenTcp('127.0.0.1', 0);
  t.ok(address.kind === 'tcp' && address.port > 0);
  const client = await NbdClient.connect({ address });
  t.same(await client.read(0, 3), Buffer.alloc(3));
  await client.disconnect();
  const { port } = address as { port: number };
  const failed = { name: 'UserError', code: 'listen-failed' };
  await t.rejects(server.listenTcp('127.0.0.1', port), { ...failed, message: /in use/ });
  await t.rejects(server.listenTcp('192.0.2.1', 0), { ...failed, message: /no address of this/ });
  await t.rejects(server.listenTcp('127.0.0.1', 65_536), { code: 'port-invalid' });
});

t.test('NbdServer.listenFd() serves a socket that somebody else opened', async (t) => {
  const opened = createServer();
  await new Promise<void>((resolve) => opened.listen(0, '127.0.0.1', () => resolve()));
  const { port } = opened.address() as AddressInfo;
  const { fd } = (opened as unknown as { _handle: { fd: number } })._handle;
  const program = join(import.meta.dirname, '../../support/nbd-activated.ts');
  const child = spawn(process.execPath, ['--import=tsx', program], {
    stdio: ['ignore', 'inherit', 'pipe', fd],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stderr!, 'data');
  // From now on only the child accepts.
  opened.close();
  const client = await NbdClient.connect({ address: { kind: 'tcp', host: '127.0.0.1', port } });
  t.equal(client.negotiated.description, `port ${port}`, 'it knows where it listens');
  await client.disconnect();
  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  t.equal(code, 0);
});

t.test('NbdServer.stop() lets what is in flight end, then closes', async (t) => {
  const device = new ScriptedDevice({ name: 'disk', sectors: 64 });
  const server = newServer(t, { device });
  const address = await server.listenUnix(join(tempDir(t), 's'));
  const [idle, busy] = [await NbdClient.connect({ address }), await NbdClient.connect({ address })];
  device.hold();
  const written = busy.write(0, Buffer.alloc(512, 1));
  while (device.heldCount === 0) await new Promise(setImmediate);
  const stopped = server.stop(GRACE);
  await t.rejects(NbdClient.connect({ address }), { name: 'NbdConnectionError' });
  device.release();
  await written;
  await stopped;
  t.equal(device.bytes[0], 1);
  await t.rejects(idle.read(0, 1), { name: 'NbdConnectionError' });
});

t.test('NbdServer.stop() answers with ESHUTDOWN what outlives its grace', async (t) => {
  const device = new ScriptedDevice({ name: 'disk', sectors: 64 });
  const session = new NbdSession({ device });
  const [client, haggler] = [session.attach(), session.connect()];
  haggler.feed(wire.clientFlags());
  device.hold();
  client.feed(wire.write(0, Buffer.alloc(512), 1n));
  const stopped = session.server.stop({ graceMs: 500 });
  client.feed(wire.read(0, 1, 2n));
  session.settle(client, haggler);
  t.same(client.take(), wire.simpleReply(108, 2n), 'new requests are refused at once');
  haggler.take();
  haggler.feed(wire.option(3));
  haggler.feed(wire.go());
  const types = wire.parseOptionReplies(haggler.take()).map((reply) => reply.type);
  t.same(types, [wire.ERR_SHUTDOWN, wire.ERR_SHUTDOWN]);
  session.clock.advance(500);
  await Promise.resolve();
  session.settle(client);
  await new Promise(setImmediate);
  session.settle(client);
  t.same(client.take(), wire.simpleReply(108, 1n));
  t.ok(haggler.destroyed);
  client.feedEnd();
  await stopped;
  device.release();
  t.equal(session.server.connections.length, 0);
});

t.test('NbdServer.abort() sends not one byte more', async (t) => {
  const device = new ScriptedDevice({ name: 'disk', sectors: 64 });
  const session = new NbdSession({ device });
  const client = session.attach();
  device.hold();
  const unaligned = wire.write(7, Buffer.alloc(10), 2n);
  client.feed(Buffer.concat([wire.write(0, Buffer.alloc(512), 1n), unaligned]));
  await session.server.abort({ keepListeners: true });
  t.ok(client.destroyed);
  device.release();
  session.settle();
  t.same(client.take(), Buffer.alloc(0));
  t.notOk(session.attach().destroyed, 'the next client is served');
});

t.test('NbdServer.removeExport() fails what is in flight, and closes', async (t) => {
  const device = new ScriptedDevice({ name: 'disk', sectors: 64 });
  const other = new MemoryDevice({ sizeSectors: 64 });
  const exports = [
    { name: 'data', device },
    { name: 'other', device: other },
  ];
  const session = new NbdSession({ device, exports });
  const [client, bystander] = [session.attach({ name: 'data' }), session.attach({ name: 'other' })];
  device.hold();
  client.feed(wire.write(0, Buffer.alloc(512), 1n));
  let isRemoved = false;
  const removed = session.server.removeExport('data').then((found) => {
    isRemoved = found;
  });
  session.settle(client);
  t.same(client.take(), wire.simpleReply(5, 1n));
  t.ok(client.serverEnded);
  client.feedEnd();
  await new Promise(setImmediate);
  t.notOk(isRemoved, 'the device still holds a request');
  device.release();
  await removed;
  t.ok(isRemoved);
  t.same(session.exchange(bystander, wire.read(0, 1, 3n)), wire.simpleReply(0, 3n, Buffer.of(0)));
  t.equal(await session.server.removeExport('data'), false);
  const late = session.connect();
  const replies = session.exchange(late, wire.clientFlags(), wire.go('data')).subarray(18);
  t.equal(wire.parseOptionReplies(replies)[0]!.type, wire.ERR_UNKNOWN);
  session.server.addExport({ name: 'data', device });
  t.equal(wire.parseOptionReplies(session.exchange(late, wire.go('data'))).at(-1)!.type, wire.ACK);
});

t.test(
  'NbdServer keeps the size that a client was told, whatever becomes of the device',
  async (t) => {
    const device = new ScriptedDevice({ name: 'disk', sectors: 64 });
    const session = new NbdSession({ device });
    const client = session.attach();
    Object.defineProperty(device, 'sizeSectors', { value: 128 });
    t.same(session.exchange(client, wire.read(64 * 512, 1, 1n)), wire.simpleReply(22, 1n));
    Object.defineProperty(device, 'sizeSectors', { value: 32 });
    t.same(session.exchange(client, wire.read(32 * 512, 1, 2n)), wire.simpleReply(5, 2n));
    const newer = session.connect();
    const [info] = wire.parseOptionReplies(
      session.exchange(newer, wire.clientFlags(), wire.go()).subarray(18),
    );
    t.equal(info!.data.readBigUInt64BE(2), 32n * 512n);
  },
);

t.test('NbdServer has a most of connections, and frees their places', async (t) => {
  const session = new NbdSession({
    device: new MemoryDevice({ sizeSectors: 8 }),
    limits: { connectionsMax: 2 },
  });
  const clients = [session.attach(), session.connect()];
  t.ok(session.connect().destroyed);
  t.ok(session.connect().destroyed);
  t.equal(
    session.logged.filter((line) => line.includes('connection refused')).length,
    1,
    'logged once',
  );
  clients[1]!.vanish();
  t.notOk(session.connect().destroyed);
});

t.test('NbdServer shows a client that stops reading the end of its patience', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 64 * 2048 });
  const server = newServer(t, { device });
  const path = join(tempDir(t), 's');
  await server.listenUnix(path);
  const client = connect({ path });
  client.on('error', () => {});
  const reads = Array.from({ length: 500 }, () => wire.read(0, 2 ** 20));
  client.write(Buffer.concat([wire.clientFlags(), wire.exportName(), ...reads]));
  client.pause();
  let last = -1;
  // Goes on until nothing moves any more.
  for (let still = 0; still < 50; still++) {
    const now = server.connections[0]?.queuedBytes ?? 0;
    if (now !== last) still = 0;
    last = now;
    await new Promise(setImmediate);
  }
  t.ok(last > 0 && last <= 80 * 2 ** 20, `${last} bytes wait`);
  client.destroy();
});

t.test('NbdServer sends all replies to a client that has said that it is done', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 8 * 2048 });
  const server = newServer(t, { device });
  const path = join(tempDir(t), 's');
  await server.listenUnix(path);
  const client = connect({ path, allowHalfOpen: true });
  const reads = Array.from({ length: 6 }, () => wire.read(0, 2 ** 20));
  client.end(Buffer.concat([wire.clientFlags(), wire.exportName(), ...reads, wire.disc()]));
  // Longer than it takes to see the end: the replies do not fit into what the kernel holds.
  while (server.connections[0]?.status !== 'lingering') await new Promise(setImmediate);
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  let received = 0;
  for await (const bytes of client) received += (bytes as Buffer).length;
  t.equal(received, 18 + 10 + 6 * (16 + 2 ** 20));
});

t.test('NbdServer loses no byte when it stops and goes on reading a socket', async (t) => {
  const device = new ScriptedDevice({ name: 'disk', sectors: 16_384 });
  const server = newServer(t, { device });
  await server.listenUnix(join(tempDir(t), 's'));
  await server.listenTcp('127.0.0.1', 0);
  for (const address of server.addresses()) {
    const client = await NbdClient.connect({ address });
    const expected = Buffer.alloc(device.bytes.length);
    const writes: Promise<void>[] = [];
    for (let at = 0, turn = 1; at < expected.length; turn++) {
      const length = Math.min([512, 4096, 20_480, 512, 262_144][turn % 5]!, expected.length - at);
      const data = Buffer.alloc(length, turn);
      data.copy(expected, at);
      writes.push(client.write(at, data));
      at += length;
    }
    const all = Promise.all(writes);
    // All that may be in flight is held, then let go together: the server stops again and again.
    const connection = server.connections.at(-1)!;
    while (client.inFlight > 0) {
      device.hold();
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      t.ok(connection.unanswered <= 128);
      device.release();
      await new Promise(setImmediate);
    }
    await all;
    t.ok(expected.equals(device.bytes), `${writes.length} writes`);
    device.bytes.fill(0);
    await client.disconnect();
  }
});

t.test('NbdServer begins nothing of a killed client that it had not begun before', async (t) => {
  const device = new ScriptedDevice({ name: 'disk', sectors: 64 });
  const server = newServer(t, { device });
  const path = join(tempDir(t), 's');
  await server.listenUnix(path);
  device.hold();
  const client = connect({ path });
  const writes = Array.from({ length: 300 }, () => wire.write(0, Buffer.alloc(512)));
  client.write(Buffer.concat([wire.clientFlags(), wire.exportName(), ...writes]));
  while (device.heldCount < 128) await new Promise(setImmediate);
  client.destroy();
  await once(client, 'close');
  device.release();
  while (server.connections.length > 0) await new Promise(setImmediate);
  t.equal(device.seen.length, 128);
});
