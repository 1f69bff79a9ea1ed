/**
 * The process is stopped and goes on, clients vanish in the middle of what is large, and end one
 * side of their connection: nothing that was promised is lost, and nothing is held for the gone.
 */

import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Prng } from '../../src/base/prng.ts';
import { AcknowledgedWrites } from '../support/acknowledged-writes.ts';
import { byEffort } from '../support/effort.ts';
import { KIB, MIB, MirrorFiles } from '../support/mirror-files.ts';
import * as wire from '../support/nbd-wire.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { waitUntil } from '../support/wait-until.ts';

const ROUNDS = byEffort({ quick: 2, standard: 8, full: 100 });
const SIZE = 64 * MIB;
const WRITERS = 3;
const GREETING_SIZE = 18;
const EXPORT_REPLY_SIZE = 10;

function newMirror(test: Test, sizeBytes: number): MirrorFiles {
  return new MirrorFiles(test, { sizeBytes, regionBytes: 64 * KIB });
}

/** A client by hand, past its handshake. */
async function attach({ socket }: ServerProcess): Promise<Socket> {
  const client = connect({ path: socket, allowHalfOpen: true });
  client.on('error', () => {});
  client.write(Buffer.concat([wire.clientFlags(), wire.exportName()]));
  await readBytes(client, GREETING_SIZE + EXPORT_REPLY_SIZE);
  return client;
}

/** All that comes until `size` bytes are there, or the end. */
async function readBytes(client: Socket, size: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of client.iterator({ destroyOnReturn: false })) {
    pieces.push(piece as Buffer);
    length += pieces.at(-1)!.length;
    if (length >= size) break;
  }
  return Buffer.concat(pieces);
}

function stateOf({ pid }: ServerProcess): string {
  return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] ?? '';
}

function descriptorsOf({ pid }: ServerProcess): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

t.test('A server that is stopped and goes on keeps all its promises', async (t) => {
  const mirror = newMirror(t, 16 * MIB);
  const server = await mirror.serve();
  const prng = new Prng('stopped');
  const writers = await Promise.all(
    Array.from({ length: WRITERS }, async (_, index) => {
      const owns = (block: number): boolean => block % WRITERS === index;
      const writes = new AcknowledgedWrites({ sizeBytes: mirror.sizeBytes, prng, owns });
      return { writes, client: await server.connect() };
    }),
  );
  const before = descriptorsOf(server);
  for (let round = 0; round < ROUNDS; round++) {
    let isOver = false;
    const busy = Promise.all(
      writers.map(({ writes, client }) => {
        const options = { inFlight: 8, onEnd: () => {}, isOver: () => isOver };
        return writes.writeUntilLost(client, options);
      }),
    );
    const leavers = await Promise.all([1, 2, 3, 4].map(() => attach(server)));
    process.kill(server.pid, 'SIGSTOP');
    await waitUntil('the server to stop', () => stateOf(server) === 'T');
    const [gone, ended, polite, mute] = leavers;
    const reads = Buffer.concat(Array.from({ length: 64 }, (_, i) => wire.read(0, 512, BigInt(i))));
    for (const client of leavers) client.write(reads);
    gone!.destroy();
    ended!.end();
    polite!.end(wire.disc());
    mute!.pause();
    const late = connect({ path: server.socket });
    await once(late, 'connect');
    process.kill(server.pid, 'SIGCONT');
    t.equal(
      (await readBytes(polite!, 64 * 528)).length,
      64 * 528,
      'all that was asked is answered',
    );
    await readBytes(late, GREETING_SIZE);
    ended!.resume();
    await once(ended!, 'end');
    for (const client of [...leavers, late]) client.destroy();
    isOver = true;
    await busy;
  }
  await waitUntil('those who left to be forgotten', () => descriptorsOf(server) <= before);
  for (const { writes, client } of writers) {
    t.ok(writes.acknowledged > 0);
    t.same(await writes.broken(client), []);
    await client.close();
  }
  await server.stop();
  t.same(mirror.differing(), []);
});

t.test('A client that vanishes amid large reads and writes leaves nothing behind', async (t) => {
  const mirror = newMirror(t, SIZE);
  const server = await mirror.serve();
  const witness = await server.connect();
  const before = descriptorsOf(server);
  const content = Buffer.alloc(MIB, 7);
  for (let at = 0; at < SIZE; at += MIB) await witness.write(at, content);
  for (const share of [0, 0.001, 0.5, 0.999]) {
    for (const length of [MIB, 32 * MIB]) {
      const client = await attach(server);
      const message = wire.write(0, Buffer.alloc(length, 9), 1n);
      const cut = Math.max(28, Math.floor(message.length * share));
      await new Promise((resolve) => client.write(message.subarray(0, cut), resolve));
      t.equal((await witness.read(0, 512))[0], 7, `${cut} of ${message.length} bytes: not applied`);
      client.destroy();
    }
    const reader = await attach(server);
    const reads = Array.from({ length: 8 }, (_, i) => wire.read(0, 32 * MIB, BigInt(i)));
    reader.write(Buffer.concat(reads));
    await readBytes(reader, Math.floor(64 * MIB * share) + 1);
    reader.destroy();
    t.ok((await witness.read(SIZE - 512, 512)).every((byte) => byte === 7));
  }
  await waitUntil('the gone to be forgotten', () => descriptorsOf(server) <= before);
  for (let at = 0; at < SIZE; at += MIB) {
    if (!(await witness.read(at, MIB)).equals(content)) t.fail(`the content at ${at} has changed`);
  }
  await witness.close();
  await server.stop();
  t.same(mirror.differing(), []);
});

t.test('A half-closed connection is answered with DISC, and ended without', async (t) => {
  const mirror = newMirror(t, SIZE);
  const server = await mirror.serve();
  const witness = await server.connect();
  const before = descriptorsOf(server);
  for (const length of [512, 32 * MIB]) {
    const polite = await attach(server);
    polite.end(Buffer.concat([wire.read(0, length, 1n), wire.read(0, length, 2n), wire.disc()]));
    const bytes = await readBytes(polite, Number.POSITIVE_INFINITY);
    t.equal(bytes.length, 2 * (16 + length), `${length} bytes: all that was asked, and the end`);
    polite.destroy();
    const rude = await attach(server);
    rude.end(Buffer.concat([wire.read(0, length, 1n), wire.write(0, Buffer.alloc(length, 1), 2n)]));
    rude.resume();
    await once(rude, 'end');
    rude.destroy();
    // In the handshake, and with half a request.
    for (const words of [wire.clientFlags(), wire.clientFlags().subarray(2), Buffer.alloc(0)]) {
      const haggler = connect({ path: server.socket, allowHalfOpen: true });
      haggler.end(words);
      haggler.resume();
      await once(haggler, 'end');
      haggler.destroy();
    }
    const half = await attach(server);
    half.end(wire.write(0, Buffer.alloc(length, 3), 1n).subarray(0, 28 + length / 2));
    half.resume();
    await once(half, 'end');
    half.destroy();
    t.not((await witness.read(0, 512))[0], 3);
  }
  await waitUntil('all of them to be forgotten', () => descriptorsOf(server) <= before);
  await witness.close();
  await server.stop();
});
