import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type NetConnectOpts } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { silentLogger } from '../../../src/base/log.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { NbdServer } from '../../../src/nbd/server/server.ts';
import { byEffort } from '../../support/effort.ts';
import { RealClock } from '../../support/nbd-clock.ts';
import { NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** The client's side of a golden conversation. */
function clientBytes(name: string): Buffer {
  const text = readFileSync(join(import.meta.dirname, '../../golden/nbd', name), 'utf8');
  const tokens = text
    .split('\n')
    .filter((line) => line.startsWith('C '))
    .flatMap((line) => line.slice(2).split(' '));
  return Buffer.concat(
    tokens.map((token) => {
      const [hex = '', count = '1'] = token.split('*');
      return Buffer.from(hex.repeat(Number(count)), 'hex');
    }),
  );
}

const CONVERSATIONS = ['nbdinfo.txt', 'kernel-client.txt', 'haggling.txt', 'export-name.txt'];

t.test('a client may vanish at any byte, in any way, and others do not notice', async (t) => {
  for (const name of CONVERSATIONS) {
    const bytes = clientBytes(name);
    for (const end of ['vanish', 'feedEnd'] as const) {
      const session = new NbdSession({ device: new MemoryDevice({ sizeSectors: 128 }) });
      const witness = session.attach();
      for (let cut = 0; cut <= bytes.length; cut++) {
        const client = session.connect();
        client.feed(bytes.subarray(0, cut));
        if (!client.destroyed) client[end]();
        session.clock.run();
        const reply = session.exchange(witness, wire.read(0, 1, BigInt(cut)));
        if (!reply.equals(wire.simpleReply(0, BigInt(cut), Buffer.of(0)))) t.fail(`byte ${cut}`);
      }
      session.clock.advance(60_000);
      t.equal(session.server.connections.length, 1, `${name}, ${end}: every place is free again`);
    }
  }
});

t.test(
  'bytes turned into others end in replies or in a closed connection, and nothing else',
  async () => {
    const conversations = CONVERSATIONS.map(clientBytes);
    const change = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) });
    const cuts = fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.constantFrom(...conversations),
        fc.array(change, { minLength: 1, maxLength: 5 }),
        cuts,
        (original, changes, sizes) => {
          const bytes = Buffer.from(original);
          for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
          const session = new NbdSession({ device: new MemoryDevice({ sizeSectors: 128 }) });
          const client = session.connect();
          for (let at = 0, turn = 0; at < bytes.length && !client.destroyed; turn++) {
            const size = sizes[turn % sizes.length]!;
            client.feed(bytes.subarray(at, at + size));
            session.settle(client);
            at += size;
          }
          if (!client.destroyed) client.vanish();
          session.settle(client);
          session.clock.advance(60_000);
          return session.server.connections.length === 0 && session.clock.pending === 0;
        },
      ),
      { numRuns: byEffort({ quick: 200, standard: 600, full: 20_000 }) },
    );
  },
);

t.test('a server on sockets survives what killed its peers', async (t) => {
  const device = new MemoryDevice({ sizeSectors: 8 * 2048 });
  const clock = new RealClock();
  const server = new NbdServer({ clock, log: silentLogger, exports: [{ name: '', device }] });
  const path = join(tempDir(t), 's');
  await server.listenUnix(path);
  const tcp = await server.listenTcp('127.0.0.1', 0);
  if (tcp.kind !== 'tcp') throw new Error('No TCP address');
  const places = [{ path }, { host: tcp.host, port: tcp.port, path: undefined }];
  const attach = Buffer.concat([wire.clientFlags(), wire.exportName()]);

  const bigReads = Buffer.concat(Array.from({ length: 64 }, () => wire.read(0, 4 * 2 ** 20)));
  for (const place of places) {
    // EXPORT_NAME of the default export, gone at once.
    for (let round = 0; round < 20; round++) {
      const client = connect(place as NetConnectOpts);
      client.on('error', () => {});
      await once(client, 'connect');
      client.write(attach);
      // A reset exists on TCP only.
      if (round % 2 === 0 || place.path !== undefined) client.destroy();
      else client.resetAndDestroy();
    }
    // Gone in the middle of large reads.
    for (let round = 0; round < 10; round++) {
      const client = connect(place as NetConnectOpts);
      client.on('error', () => {});
      await once(client, 'connect');
      client.write(Buffer.concat([attach, bigReads]));
      let received = 0;
      await new Promise<void>((resolve) => {
        client.on('data', (bytes) => {
          received += bytes.length;
          if (received > round * 2 ** 20) resolve();
        });
      });
      client.destroy();
    }
  }
  const witness = connect({ path });
  witness.write(Buffer.concat([attach, wire.read(0, 1, 77n)]));
  let bytes = Buffer.alloc(0);
  const expected = 18 + 10 + 17;
  for await (const piece of witness) {
    bytes = Buffer.concat([bytes, piece as Buffer]);
    if (bytes.length >= expected) break;
  }
  t.same(bytes.subarray(28), wire.simpleReply(0, 77n, Buffer.of(0)));
  await server.stop({ graceMs: 1000 });
  t.equal(server.connections.length, 0);
});
