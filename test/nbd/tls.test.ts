/** TLS on sockets: who gets in, who does not, and that the stream behind it loses nothing. */

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import t, { type Test } from 'tap';
import type { Logger } from '../../src/base/log.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { NbdServer, type NbdServerLimits } from '../../src/nbd/server/server.ts';
import {
  createServerUpgrade,
  type TlsCredentials,
  type X509Credentials,
} from '../../src/nbd/tls.ts';
import { makeCertificates, pskClient, TlsTestClient, x509Client } from '../support/certificates.ts';
import { RealClock } from '../support/nbd-clock.ts';
import * as wire from '../support/nbd-wire.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const SIZE = 32 * 2 ** 20;
const pki = await makeCertificates(t);

function x509(changes: Partial<X509Credentials> = {}): X509Credentials {
  const read = (name: string): string => readFileSync(join(pki!, name), 'utf8');
  return {
    kind: 'x509',
    certificate: read('server-cert.pem'),
    key: read('server-key.pem'),
    authority: read('ca-cert.pem'),
    revoked: read('ca-crl.pem'),
    verifyPeer: true,
    authorizedSubjects: [],
    ...changes,
  };
}

function psk(): TlsCredentials {
  const [user = '', hex = ''] = readFileSync(join(pki!, 'keys.psk'), 'utf8').trim().split(':');
  return { kind: 'psk', keys: new Map([[user, Buffer.from(hex, 'hex')]]) };
}

interface Served {
  readonly server: NbdServer;
  readonly device: MemoryDevice;
  readonly place: NetConnectOpts;
  readonly warnings: string[];
}

async function serve(
  t: Test,
  credentials: TlsCredentials,
  options: { limits?: NbdServerLimits; tcp?: boolean } = {},
): Promise<Served> {
  const device = new MemoryDevice({ sizeSectors: SIZE / 512 });
  const warnings: string[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (message, fields) => void warnings.push(`${message} ${JSON.stringify(fields)}`),
  };
  const server = new NbdServer({
    clock: new RealClock(),
    log,
    exports: [{ name: '', device }],
    tls: { mode: 'require', upgrade: createServerUpgrade(credentials) },
    limits: options.limits ?? {},
  });
  t.teardown(() => server.abort());
  if (options.tcp === true) {
    const address = await server.listenTcp('127.0.0.1', 0);
    const { port } = address as { port: number };
    return { server, device, place: { host: '127.0.0.1', port }, warnings };
  }
  const path = join(tempDir(t), 's');
  await server.listenUnix(path);
  return { server, device, place: { path }, warnings };
}

async function attach(place: NetConnectOpts, options: ConnectionOptions): Promise<TlsTestClient> {
  const client = await TlsTestClient.connect(place);
  await client.startTls(options);
  const replies = await client.ask(wire.go());
  if (replies.at(-1)!.type !== wire.ACK) throw new Error('GO was refused');
  return client;
}

/** Writes, reads back, and says goodbye; true when the server does so as well. */
async function use(place: NetConnectOpts, options: ConnectionOptions): Promise<boolean> {
  const client = await attach(place, options);
  const data = randomBytes(5000);
  client.send(wire.write(123, data, 1n), wire.read(123, 5000, 2n));
  const replies = await client.receive(16 + 16 + 5000);
  const isRight = replies.equals(
    Buffer.concat([wire.simpleReply(0, 1n), wire.simpleReply(0, 2n, data)]),
  );
  client.send(wire.disc());
  return isRight && (await client.ended());
}

t.test('clients with the right credentials get in, whatever they speak', async (t) => {
  if (pki === null) return;
  for (const tcp of [false, true]) {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const versions = { minVersion: version, maxVersion: version };
      const certified = await serve(t, x509(), { tcp });
      t.ok(await use(certified.place, { ...x509Client(pki), ...versions }), `X.509, ${version}`);
      const keyed = await serve(t, psk(), { tcp });
      t.ok(await use(keyed.place, { ...pskClient(pki), ...versions }), `PSK, ${version}`);
      t.strictSame([...certified.warnings, ...keyed.warnings], []);
    }
  }
  const open = await serve(t, x509({ verifyPeer: false }));
  t.ok(await use(open.place, x509Client(join(pki, 'none'))), 'no certificate is asked for');
  const old = await TlsTestClient.connect(open.place);
  const versions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' } as const;
  await t.rejects(old.startTls({ ...x509Client(pki), ...versions }), 'TLS 1.1 is too old');
});

t.test('others do not get in; the log says why, and nobody else notices', async (t) => {
  if (pki === null) return;
  const folder = (name: string): string => join(pki, name);
  const onlyAlice = x509({ authorizedSubjects: ['CN=alice,*'] });
  for (const [what, credentials, options, reason] of [
    ['no certificate', x509(), x509Client(folder('none')), /certificate/],
    ['expired', x509(), x509Client(folder('expired')), /CERT_HAS_EXPIRED/],
    ['revoked', x509(), x509Client(folder('revoked')), /CERT_REVOKED/],
    ['stranger', x509(), x509Client(folder('stranger'), pki), /refused: UNABLE|SELF_SIGNED/],
    ['mallory', onlyAlice, x509Client(folder('mallory')), /CN=mallory,O=nbd-mirror\\" is not auth/],
    // It leaves without an alert, behind a handshake that is complete.
    ['disbelief', x509(), x509Client(pki, folder('stranger')), null],
    ['a key', x509(), pskClient(pki), /no shared cipher|certificate|client left/],
    ['wrong key', psk(), pskClient(folder('wrong-psk')), /binder|decrypt|bad record|digest/],
    ['unknown user', psk(), pskClient(folder('unknown-user')), /user \\"mallory\\" is unknown/],
    ['a certificate', psk(), x509Client(pki), /no shared cipher|no suitable/],
  ] as const) {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { place, warnings, server } = await serve(t, credentials);
      const good = credentials.kind === 'psk' ? pskClient(pki) : x509Client(pki);
      const witness = await attach(place, good);
      const bounds = { minVersion: version, maxVersion: version };
      // In TLS 1.3 the client is through before the server has seen its certificate.
      await t.rejects(attach(place, { ...options, ...bounds }), `${what}, ${version}`);
      await waitUntil('it is gone', () => server.connections.length === 1);
      t.match(warnings, reason === null ? [] : [reason], `${what}, ${version}`);
      witness.send(wire.read(0, 1, 5n));
      t.same(await witness.receive(17), wire.simpleReply(0, 5n, Buffer.of(0)));
      witness.destroy();
    }
  }
});

t.test('what is no TLS is dropped', async (t) => {
  if (pki === null) return;
  const { place, server, warnings } = await serve(t, x509(), { tcp: true });
  const injector = await TlsTestClient.connect(place);
  injector.send(wire.option(5), wire.option(8));
  await injector.ended();
  const talker = await TlsTestClient.connect(place);
  await talker.ask(wire.option(5));
  talker.send(wire.go());
  await talker.ended();
  await waitUntil('both are gone', () => server.connections.length === 0);
  t.match(warnings, [/TLS failed .*wrong version number|http request|packet/]);
});

t.test('the connection survives what its peers do in the TLS handshake', async (t) => {
  if (pki === null) return;
  const { place, server } = await serve(t, x509(), { tcp: true, limits: { handshakeMsMax: 2000 } });
  const witness = await attach(place, x509Client(pki));
  // Cuts what the client sends behind so many bytes; the client's second flight ends near 1500.
  for (const end of ['destroy', 'resetAndDestroy', 'end', 'stall'] as const) {
    for (let cut = 36; cut < 2200; cut += end === 'stall' ? 180 : 61) {
      await sendCut(t, place, cut, end);
      if (end !== 'stall')
        await waitUntil(`${end} at ${cut}`, () => server.connections.length === 1);
    }
    witness.send(wire.read(0, 1, 5n));
    t.same(await witness.receive(17), wire.simpleReply(0, 5n, Buffer.of(0)), end);
  }
  await waitUntil('the deadline has passed', () => server.connections.length === 1);
});

/** A whole client through a wire that carries `cut` of its bytes. */
async function sendCut(
  t: Test,
  place: NetConnectOpts,
  cut: number,
  end: 'destroy' | 'resetAndDestroy' | 'end' | 'stall',
): Promise<void> {
  const wireServer = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => wireServer.listen(0, '127.0.0.1', () => resolve()));
  const { port } = wireServer.address() as { port: number };
  let onCut = (): void => {};
  const isCut = new Promise<void>((resolve) => {
    onCut = resolve;
  });
  wireServer.on('connection', (near: Socket) => {
    const far = connect({ ...place, allowHalfOpen: true } as NetConnectOpts);
    for (const socket of [near, far]) socket.on('error', () => {});
    far.on('close', () => near.destroy());
    near.on('close', () => far.destroy());
    far.on('data', (bytes) => near.write(bytes));
    t.teardown(() => far.destroy());
    let left = cut;
    near.on('data', (bytes) => {
      far.write(bytes.subarray(0, left));
      left -= Math.min(left, bytes.length);
      if (left > 0) return;
      near.removeAllListeners('data').pause();
      if (end !== 'stall') far[end]();
      onCut();
    });
    near.on('end', () => {
      if (left > 0) far.destroy();
      onCut();
    });
  });
  const client = await TlsTestClient.connect({ host: '127.0.0.1', port });
  const done = client.startTls(x509Client(pki!)).then(
    () => client.ask(wire.go()).catch(() => {}),
    () => {},
  );
  await Promise.race([isCut, done]);
  client.destroy();
  wireServer.close();
}

t.test(
  'large requests and replies go through whole, with a client that stops reading',
  async (t) => {
    if (pki === null) return;
    for (const tcp of [false, true]) {
      const { place, device, server } = await serve(t, x509(), { tcp });
      const client = await attach(place, x509Client(pki));
      const image = randomBytes(SIZE);
      const piece = 2 ** 20 + 512;
      let count = 0;
      for (let at = 0; at < SIZE; at += piece, count++) {
        client.send(wire.write(at, image.subarray(at, at + piece), BigInt(at)));
      }
      await client.receive(16 * count);
      t.ok(image.equals(device.bytes));
      client.socket.pause();
      for (let round = 0; round < 4; round++) {
        for (let at = 0; at < SIZE; at += 2 ** 20) client.send(wire.read(at, 2 ** 20, BigInt(at)));
      }
      const [connection] = server.connections;
      let last = -1;
      for (let still = 0; still < 50; still++) {
        const now = connection!.queuedBytes;
        if (now !== last) still = 0;
        last = now;
        await new Promise(setImmediate);
      }
      t.ok(last > 0 && last <= 80 * 2 ** 20, `${last} bytes wait for a client that does not read`);
      client.socket.resume();
      for (let round = 0; round < 4; round++) {
        const seen = new Set<bigint>();
        for (let at = 0; at < SIZE; at += 2 ** 20) {
          const cookie = (await client.receive(16)).readBigUInt64BE(8);
          const data = await client.receive(2 ** 20);
          seen.add(cookie);
          if (!data.equals(image.subarray(Number(cookie), Number(cookie) + 2 ** 20)))
            t.fail('data');
        }
        if (round === 3) t.ok(seen.size > 0);
      }
      // Half-open: the client says that it is done, and still gets every reply.
      client.send(wire.read(0, 2 ** 20, 1n), wire.read(5, 4, 2n), wire.disc());
      client.socket.end();
      await client.receive(16 + 2 ** 20 + 20);
      t.ok(await client.ended(), 'with a goodbye');
      await waitUntil('it is gone', () => server.connections.length === 0);
    }
  },
);

t.test('a stop says goodbye, a power cut does not', async (t) => {
  if (pki === null) return;
  for (const how of ['stop', 'abort'] as const) {
    const { place, server } = await serve(t, psk());
    const wireClient = await attach(place, pskClient(pki));
    const { bytesOnWire } = wireClient;
    const over = how === 'stop' ? server.stop({ graceMs: 1000 }) : server.abort();
    await wireClient.ended();
    t.equal(wireClient.bytesOnWire > bytesOnWire, how === 'stop', how);
    wireClient.destroy();
    await over;
    t.equal(server.connections.length, 0);
  }
});

t.test('a client may haggle in the clear for as long as it likes before STARTTLS', async (t) => {
  if (pki === null) return;
  for (const tcp of [false, true]) {
    const { device, place } = await serve(t, x509(), { tcp });
    device.bytes.fill(9, 0, 512);
    const client = await TlsTestClient.connect(place);
    for (let round = 0; round < 3; round++) {
      const replies = await client.ask(wire.option(3));
      t.match(replies.at(-1), { type: wire.ERR_TLS_REQD });
    }
    await client.startTls(x509Client(pki));
    await client.ask(wire.go());
    client.send(wire.read(0, 512));
    t.ok((await client.receive(16 + 512)).subarray(16).every((byte) => byte === 9));
    client.socket.destroy();
  }
});
