import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Sector, SectorCount } from '../../../src/base/units.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { runBio } from '../../../src/block/run-bio.ts';
import { type MemoryTransport, NbdSession } from '../../support/nbd-session.ts';

const DIRECTORY = join(import.meta.dirname, '../../golden/nbd');
const SECTORS = 128;
const SPARSE_SECTORS = 2048;

interface Conversation {
  readonly client: Buffer;
  readonly server: Buffer;
  readonly end: 'E' | 'D';
  readonly sparse: boolean;
}

function readConversation(name: string): Conversation {
  const parts = { C: [] as Buffer[], S: [] as Buffer[] };
  let end: string | undefined;
  let sparse = false;
  for (const line of readFileSync(join(DIRECTORY, name), 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [who, ...tokens] = line.split(' ');
    if (line === 'X sparse') sparse = true;
    else if (who === 'C' || who === 'S') parts[who].push(...tokens.map(tokenBytes));
    else end = who;
  }
  if (end !== 'E' && end !== 'D') throw new Error(`${name} has no end`);
  return { client: Buffer.concat(parts.C), server: Buffer.concat(parts.S), end, sparse };
}

function tokenBytes(token: string): Buffer {
  const [hex = '', count = '1'] = token.split('*');
  return Buffer.concat(Array.from({ length: Number(count) }, () => Buffer.from(hex, 'hex')));
}

/** Plays the client's side in the given pieces; what the server sent in all, and how it ended. */
function replay(pieces: readonly Buffer[], sparse: boolean): { sent: Buffer; end: string } {
  const device = new MemoryDevice({ sizeSectors: sparse ? SPARSE_SECTORS : SECTORS, sparse });
  const bytes = Buffer.alloc(SECTORS * 512);
  for (let sector = 0; sector < SECTORS; sector++) {
    bytes.fill(sector, sector * 512, (sector + 1) * 512);
  }
  const range = { sector: 0 as Sector, count: SECTORS as SectorCount };
  void runBio(device, { op: 'write', ...range, data: bytes });
  const exports = [{ name: 'data', description: 'sixteen pages', device }];
  const session = new NbdSession({ device, exports });
  const transport = session.connect();
  for (const piece of pieces) {
    if (!transport.destroyed) transport.feed(piece);
    session.settle(transport);
  }
  return { sent: transport.take(), end: endOf(transport) };
}

function endOf(transport: MemoryTransport): string {
  if (transport.destroyed) return 'D';
  return transport.serverEnded ? 'E' : 'still open';
}

for (const name of readdirSync(DIRECTORY).filter((one) => one.endsWith('.txt'))) {
  const { client, server, end, sparse } = readConversation(name);
  const expected = { sent: server.toString('hex'), end };
  const outcome = (pieces: readonly Buffer[]) => {
    const result = replay(pieces, sparse);
    return { sent: result.sent.toString('hex'), end: result.end };
  };

  t.test(`conversation ${name}: all at once`, async (t) => {
    t.same(outcome([client]), expected);
  });

  t.test(`conversation ${name}: byte by byte`, async (t) => {
    t.same(outcome([...client].map((byte) => Buffer.of(byte))), expected);
  });

  t.test(`conversation ${name}: cut in two at every place`, async (t) => {
    const wrong: number[] = [];
    for (let cut = 1; cut < client.length; cut++) {
      const result = outcome([client.subarray(0, cut), client.subarray(cut)]);
      if (result.sent !== expected.sent || result.end !== expected.end) wrong.push(cut);
    }
    t.same(wrong, [], 'no cut changes anything');
  });
}
