/**
 * What has gone wrong in other NBD servers and clients, each with its story and a test that it does
 * not here (NBD protocol, 15.2).
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { silentLogger } from '../../../src/base/log.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { NbdServer } from '../../../src/nbd/server/server.ts';
import { recordedConversations } from '../../fuzz/recorded-messages.ts';
import { RealClock } from '../../support/nbd-clock.ts';
import { exportInfo, Impostor, u64 } from '../../support/nbd-impostor.ts';
import { type MemoryTransport, NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';
import { ScriptedDevice } from '../../support/scripted-device.ts';
import { tempDir } from '../../support/temp-dir.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const NAME_MAX = 4096;

interface KnownHole {
  readonly ids: string;
  readonly story: string;
  run(t: Test): Promise<void> | void;
}

const HOLES: readonly KnownHole[] = [
  {
    ids: 'CVE-2005-3534, CVE-2011-0530',
    story: 'a request buffer had no room for the header that stands before the payload',
    run: (t) => {
      const device = new MemoryDevice({ sizeSectors: 4 * 2048 });
      const session = new NbdSession({ device });
      const client = session.attach();
      // Sizes around every power of two, where buffers are exactly full.
      for (let power = 2 ** 12; power <= MIB; power *= 2) {
        for (const size of [-29, -28, -27, -1, 0, 1, 27, 28].map((more) => power + more)) {
          const data = Buffer.alloc(size, size % 251);
          session.exchange(client, wire.write(0, data), wire.write(size, Buffer.of(7)));
          t.ok(data.equals(device.bytes.subarray(0, size)) && device.bytes[size] === 7, `${size}`);
        }
      }
    },
  },
  {
    ids: 'CVE-2011-1925, CVE-2013-7441',
    story: 'a client that asked for an unknown export ended the process that listens',
    run: (t) => {
      const session = newSession();
      const witness = session.attach();
      for (const ask of [wire.exportName('nope'), wire.go('nope'), wire.option(6, 'x')]) {
        haggle(session, ask).client.vanish();
        t.ok(isServed(session, witness));
        t.ok(isServed(session, session.attach()), 'and so is a new client');
      }
    },
  },
  {
    ids: 'CVE-2017-7539, CVE-2017-9524',
    story: 'a client that left in the middle of its handshake ended the server',
    run: (t) => {
      const session = newSession();
      const witness = session.attach();
      for (const { name, client } of recordedConversations()) {
        const bytes = Buffer.concat(client);
        for (let cut = 0; cut <= bytes.length; cut++) {
          const leaver = session.connect();
          leaver.feed(bytes.subarray(0, cut));
          if (!leaver.destroyed) leaver[cut % 2 === 0 ? 'vanish' : 'feedEnd']();
          session.settle(leaver);
          if (!isServed(session, witness)) t.fail(`${name} at byte ${cut}`);
        }
      }
      session.clock.advance(60_000);
      t.equal(session.server.connections.length, 1);
    },
  },
  {
    ids: 'CVE-2017-10664',
    story: 'a reply to a client that was gone ended the server by SIGPIPE',
    run: async (t) => {
      const { server, path } = await listening(t);
      for (let round = 0; round < 50; round++) {
        const client = await connected(path);
        const reads = Array.from({ length: 32 }, () => wire.read(0, MIB));
        client.write(Buffer.concat([wire.clientFlags(), wire.exportName(), ...reads]));
        // Gone with none, some or many of the replies on their way.
        if (round % 3 > 0) await once(client, 'readable');
        client.destroy();
      }
      const witness = await connected(path);
      witness.write(Buffer.concat([wire.clientFlags(), wire.exportName(), wire.read(0, 1, 9n)]));
      const bytes = await readBytes(witness, 18 + 10 + 17);
      t.same(bytes.subarray(28), wire.simpleReply(0, 9n, Buffer.of(0)));
      witness.destroy();
      await server.stop({ graceMs: 1000 });
    },
  },
  {
    ids: 'CVE-2017-15118',
    story: 'an export name of more than 256 bytes was copied to the stack',
    run: (t) => {
      for (const length of [255, 256, 257, NAME_MAX]) {
        const name = 'n'.repeat(length);
        t.equal(haggle(newSession(), wire.go(name)).last, wire.ERR_UNKNOWN);
        t.equal(haggle(newSession(), wire.option(6, wire.infoData(name))).last, wire.ERR_UNKNOWN);
        t.ok(haggle(newSession(), wire.exportName(name)).client.destroyed);
      }
      const tooLong = 'n'.repeat(NAME_MAX + 1);
      t.equal(haggle(newSession(), wire.go(tooLong)).last, wire.ERR_INVALID);
      t.ok(haggle(newSession(), wire.exportName(tooLong)).client.destroyed);
    },
  },
  {
    ids: 'CVE-2017-15119',
    story: 'option data of up to 4 GiB were read to the end, by whom nobody knew',
    run: (t) => {
      const session = newSession();
      const client = session.connect();
      client.feed(wire.clientFlags());
      const before = session.server.memory.buffersTakenBytes;
      const header = wire.option(3);
      header.writeUInt32BE(32 * MIB, 12);
      client.feed(header);
      for (let sent = 0; sent < 32; sent++) client.feed(Buffer.alloc(MIB));
      t.notOk(client.destroyed);
      t.equal(session.server.memory.buffersTakenBytes, before, 'nothing of it is kept');
      header.writeUInt32BE(0xffff_ffff, 12);
      client.feed(header);
      t.ok(client.destroyed, 'beyond that, at once');
    },
  },
  {
    ids: 'CVE-2019-14850, CVE-2019-14851',
    story: 'the back end was opened before the client had a right to it, and in any order',
    run: (t) => {
      const device = new ScriptedDevice({ name: 'disk', sectors: 64 });
      let attached = 0;
      const onAttached = (): void => {
        attached += 1;
      };
      const one = { name: 'data', device, onAttached };
      const session = new NbdSession({ device, exports: [one] });
      const info = wire.option(6, wire.infoData('data'));
      const options = [wire.option(8), info, info, wire.option(3), wire.option(5), info];
      const { client } = haggle(session, Buffer.concat(options));
      t.equal(attached, 0);
      t.same(device.seen, []);
      client.feed(wire.go('data'));
      session.settle(client);
      t.equal(attached, 1);
    },
  },
  {
    ids: 'CVE-2020-10761',
    story: 'the text of an error quoted a name of 4096 bytes, and was itself too long for a string',
    run: (t) => {
      for (const name of [
        'n'.repeat(NAME_MAX),
        '\u0416'.repeat(NAME_MAX / 2),
        '\n'.repeat(NAME_MAX),
      ]) {
        const { reply } = haggle(newSession(), wire.go(name));
        t.ok(reply!.data.length < 1024, `${reply!.data.length} bytes`);
        t.notOk(
          reply!.data.some((byte) => byte < 0x20),
          'on one line',
        );
      }
    },
  },
  {
    ids: 'CVE-2022-26495',
    story: 'a name length of 2^32 - 1 became 0 when one was added for a NUL',
    run: (t) => {
      const { ERR_INVALID } = wire;
      for (const length of [0xffff_ffff, 0xffff_fffe, 0xffff_fffa, 2 ** 31]) {
        const data = wire.infoData('data', [], { nameLength: length });
        t.equal(haggle(newSession(), wire.option(6, data)).last, ERR_INVALID);
        t.equal(haggle(newSession(), wire.option(7, data)).last, ERR_INVALID);
        const meta = Buffer.concat([wire.u32(length), Buffer.from('data'), wire.u32(0)]);
        t.equal(haggle(newSession(), wire.option(9, meta)).last, ERR_INVALID);
        const query = Buffer.concat([
          wire.u32(4),
          Buffer.from('data'),
          wire.u32(1),
          wire.u32(length),
        ]);
        t.equal(haggle(newSession(), wire.option(9, query)).last, ERR_INVALID);
        const many = Buffer.concat([wire.u32(4), Buffer.from('data'), wire.u32(length)]);
        t.equal(haggle(newSession(), wire.option(9, many)).last, ERR_INVALID);
      }
    },
  },
  {
    ids: 'CVE-2022-26496',
    story: 'surplus data of INFO and GO were read into a buffer of a kibibyte',
    run: (t) => {
      for (const surplus of [1, 1023, 1024, 1025, 60_000]) {
        const data = Buffer.concat([wire.infoData('data'), Buffer.alloc(surplus, 0xff)]);
        const { client, last } = haggle(newSession(), wire.option(6, data));
        t.equal(last, wire.ERR_INVALID);
        t.notOk(client.destroyed, 'the next option is understood');
      }
    },
  },
  {
    ids: 'CVE-2024-7409',
    story: 'clients that never finish their handshake piled up, and a stop used what was freed',
    run: async (t) => {
      const session = newSession();
      const stalled = Array.from({ length: 100 }, () => session.connect());
      for (const [i, client] of stalled.entries()) client.feed(wire.clientFlags().subarray(i % 5));
      t.ok(session.connect().destroyed, 'there is a most of them');
      session.clock.advance(10_000);
      t.ok(
        stalled.every((client) => client.destroyed),
        'and they have a time',
      );
      const late = Array.from({ length: 10 }, () => session.connect());
      await session.server.stop({ graceMs: 60_000 });
      t.ok(
        late.every((client) => client.destroyed),
        'a stop does not wait for them',
      );
      t.equal(session.clock.pending, 0);
    },
  },
  {
    ids: 'CVE-2025-47711, CVE-2025-47712',
    story: 'the status of nearly 4 GiB was answered with an extent that did not fit into 32 bits',
    run: (t) => {
      const device = new MemoryDevice({ sizeSectors: (16 * GIB) / 512, sparse: true });
      const session = new NbdSession({ device });
      const context = Buffer.from('base:allocation');
      const set = [
        wire.u32(4),
        Buffer.from('data'),
        wire.u32(1),
        wire.u32(context.length),
        context,
      ];
      const client = session.connect();
      client.feed(Buffer.concat([wire.clientFlags(), wire.option(8)]));
      client.feed(Buffer.concat([wire.option(10, Buffer.concat(set)), wire.go('data')]));
      session.settle(client);
      client.take();
      for (const length of [0xffff_ffff, 0xffff_fe00, 0xffff_fe01, 2 ** 31]) {
        for (const [offset, flags] of [0, 1, 511, 4096, 12 * GIB].flatMap((at) => [
          [at, 0],
          [at, 8],
        ])) {
          const fields = { type: wire.BLOCK_STATUS, offset: offset!, length, flags: flags! };
          const [reply] = wire.parseReplies(session.exchange(client, wire.request(fields)));
          const sum = sumOfExtents(reply!.data);
          t.ok(sum > 0 && sum <= length, `${offset}+${length} with ${flags}: ${sum}`);
        }
      }
    },
  },
  {
    ids: 'CVE-2023-5215',
    story: 'a client took a size of 2^63 and more for a negative number',
    run: (t) => {
      for (const size of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
        const server = new Impostor({ form: 'simple' });
        server.say(wire.GREETING, wire.optionReply(7, 3, exportInfo(size)));
        server.say(wire.optionReply(7, wire.ACK));
        t.match(server.lost, /bytes, must be < 2\^53/);
      }
    },
  },
  {
    ids: 'CVE-2023-5871',
    story: 'a client trusted the lengths of structured replies',
    run: (t) => {
      for (const [offset, length, said] of [
        [0, 512, 2 ** 31],
        [512, 512, 520],
        [-1n, 1, 9],
        [0, 0, 7],
      ] as const) {
        const server = Impostor.ready({ form: 'structured' });
        const room = Buffer.alloc(1024, 0xee);
        const data = room.subarray(0, 512);
        const { cookie } = server.ask({ command: 0, offset: 0, length: 512, data });
        const place = u64(BigInt.asUintN(64, BigInt(offset)));
        const head = [wire.u32(0x668e33ef), Buffer.from([0, 1, 0, 1]), cookie, wire.u32(said)];
        server.say(Buffer.concat([...head, place, Buffer.alloc(length, 7)]));
        t.not(server.lost, null, `${offset}+${length}, said to be ${said}`);
        t.ok(
          room.subarray(512).every((byte) => byte === 0xee),
          'nothing behind the data',
        );
      }
    },
  },
  {
    ids: 'CVE-2017-2630',
    story: 'a client had no room for what it did not want to know of a list of exports',
    run: (t) => {
      const device = new MemoryDevice({ sizeSectors: 8 });
      const long = { name: 'n'.repeat(256), device };
      t.throws(() => new NbdSession({ device, exports: [long] }), /must have at most 255/);
      const verbose = { name: 'n', description: 'd'.repeat(256), device };
      t.throws(() => new NbdSession({ device, exports: [verbose] }), /must have at most 255/);
      const server = new Impostor();
      const description = Buffer.concat([Buffer.from([0, 2]), Buffer.alloc(20_000, 0x64)]);
      server.say(wire.GREETING, wire.optionReply(7, 3, description));
      t.match(server.lost, /malformed option reply/);
    },
  },
];

for (const { ids, story, run } of HOLES) {
  t.test(`${ids}: ${story}`, async (t) => run(t));
}

function newSession(): NbdSession {
  return new NbdSession({ device: new MemoryDevice({ sizeSectors: 128 }) });
}

interface Haggled {
  readonly client: MemoryTransport;
  /** The last reply, and its type. */
  readonly reply: wire.OptionReplyFields | undefined;
  readonly last: number | undefined;
}

/** A new client that says its flags and these options. */
function haggle(session: NbdSession, options: Buffer): Haggled {
  const client = session.connect();
  client.feed(wire.clientFlags());
  session.settle(client);
  client.take();
  client.feed(options);
  session.settle(client);
  const reply = client.destroyed ? undefined : wire.parseOptionReplies(client.take()).at(-1);
  return { client, reply, last: reply?.type };
}

function isServed(session: NbdSession, client: MemoryTransport): boolean {
  const reply = session.exchange(client, wire.read(0, 1, 5n));
  return reply.equals(wire.simpleReply(0, 5n, Buffer.of(0)));
}

/** Of a status chunk behind its context. */
function sumOfExtents(payload: Buffer): number {
  let sum = 0;
  for (let at = 4; at < payload.length; at += 8) sum += payload.readUInt32BE(at);
  return sum;
}

async function listening(t: Test): Promise<{ server: NbdServer; path: string }> {
  const device = new MemoryDevice({ sizeSectors: 4 * 2048 });
  const exports = [{ name: '', device }];
  const server = new NbdServer({ clock: new RealClock(), log: silentLogger, exports });
  const path = join(tempDir(t), 's');
  await server.listenUnix(path);
  return { server, path };
}

async function connected(path: string): Promise<Socket> {
  const client = connect({ path });
  client.on('error', () => {});
  await once(client, 'connect');
  return client;
}

async function readBytes(socket: Socket, size: number): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < size) {
    const piece = socket.read() as Buffer | null;
    if (piece === null) await once(socket, 'readable');
    else bytes = Buffer.concat([bytes, piece]);
  }
  return bytes;
}
