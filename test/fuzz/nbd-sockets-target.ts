/**
 * The server as it runs: a process, real sockets, real TLS. The same conversations as those of
 * `nbd-server`, a hundred times as dear; judged by the same observers, and from outside.
 */

import { NBD_HANDSHAKE_MS_MAX, NBD_OPTIONS_MAX } from '../../src/base/limits.ts';
import { NbdClient } from '../../src/nbd/client/nbd-client.ts';
import { drawEpisode } from './draw-episode.ts';
import { type Episode, readEpisode, type Step, writeEpisode } from './episode.ts';
import type { FuzzCase, FuzzTarget } from './fuzz-case.ts';
import { type ClientWorld, FuzzedClient } from './fuzzed-client.ts';
import { smallerEpisodes } from './nbd-server-target.ts';
import { recordedMessages } from './recorded-messages.ts';
import { PATIENCE_MS, type ServerUnderFuzz, SharedServer } from './server-under-fuzz.ts';
import { SocketEnd } from './socket-end.ts';

const SECTORS = 256;
const HOLLOW_SECTORS = 2 ** 31;
const LEGS = '2 memory:a,size=128K 0 memory:b,size=128K 0';
const DEVICES = [
  { name: 'data', table: `0 ${SECTORS} mirror core 1 8 ${LEGS}` },
  { name: 'hollow', table: `0 ${HOLLOW_SECTORS} zero` },
  { name: 'honest', table: '0 8 linear memory:honest,size=4K 0' },
];
const EXPORTS = [
  { name: 'data', size: SECTORS * 512, tlsOnly: false },
  { name: 'hollow', size: HOLLOW_SECTORS * 512, tlsOnly: false },
  { name: 'honest', size: 4096, tlsOnly: false },
];
/** What goes on in the server, and in time, is not ours to say. */
const KINDS: readonly Step['kind'][] = [
  'connect',
  'send',
  'hello',
  'end',
  'break',
  'stall',
  'read',
];
const STRANGE_ERROR = 'strange-error';
const KEPT_DESCRIPTOR = 'kept-descriptor';
const CANARY_PATIENCE_MS = 300;

type RealClient = FuzzedClient<SocketEnd>;

const shared = new SharedServer(DEVICES);

export const NBD_SOCKETS_TARGET: FuzzTarget = {
  name: 'nbd-sockets',
  about: 'the same clients with a real server process, over sockets and TLS',
  canaries: [STRANGE_ERROR, KEPT_DESCRIPTOR],
  cost: 20,
  plays: 3,
  draw: (seed) => {
    const fixed = { sectors: SECTORS, isDefault: false, readOnly: false, tls: 'on' } as const;
    const { episode, messages, mutated } = drawEpisode(seed, recordedMessages(), fixed);
    const steps = episode.steps.filter(({ kind }) => KINDS.includes(kind));
    return socketsCase({ setup: episode.setup, steps }, messages, mutated);
  },
  read: (text) => socketsCase(readEpisode(text), 0, 0),
  close: () => shared.close(),
};

function socketsCase(episode: Episode, messages: number, mutated: number): FuzzCase {
  return {
    messages,
    mutated,
    play: async (canary) => playOnSockets(episode, await shared.get(), canary),
    smaller: () => smallerEpisodes(episode, socketsCase),
    write: (about) => writeEpisode(episode, about),
  };
}

async function playOnSockets(
  { steps }: Episode,
  server: ServerUnderFuzz,
  canary: string | null,
): Promise<void> {
  const player = new SocketsPlayer(server, canary);
  let kept: NbdClient | null = null;
  try {
    if (canary === KEPT_DESCRIPTOR) kept = await attachHonestly(server);
    for (const step of steps) await player.step(step);
    await player.end();
    await exchangeHonestly(server);
    await server.check(canary === null ? PATIENCE_MS : CANARY_PATIENCE_MS);
  } finally {
    player.breakAll();
    await kept?.disconnect();
  }
}

class SocketsPlayer {
  readonly #server: ServerUnderFuzz;
  readonly #received: ((bytes: Buffer) => Buffer) | undefined;
  /**
   * A planted mistake is to show in every play. What a server has said last is lost when it or its
   * client closes a socket with something unread, so that nothing is sent before the answer to
   * what went before is there.
   */
  readonly #isPatient: boolean;
  readonly #clients = new Map<number, RealClient>();
  readonly #all: RealClient[] = [];
  /** Called whenever bytes or an end came; a mistake that is seen then is told at the next step. */
  readonly #waiters = new Set<() => void>();
  #mistake: unknown = null;

  constructor(server: ServerUnderFuzz, canary: string | null) {
    this.#server = server;
    this.#received = canary === STRANGE_ERROR ? makeStrange : undefined;
    this.#isPatient = canary !== null;
  }

  async step(step: Step): Promise<void> {
    if (!('client' in step)) return;
    if (this.#isPatient) await this.#served(step.client);
    if (step.kind === 'connect') this.#connect(step.client);
    const client = this.#clients.get(step.client);
    if (client === undefined) return;
    if (step.kind === 'send') client.send(step.bytes);
    else if (step.kind === 'end' || step.kind === 'break') client[step.kind]();
    else if (step.kind !== 'connect' && step.kind !== 'hello') {
      client.transport.clientReads = step.kind === 'read';
    } else if (step.kind === 'hello') {
      client.transport.clientReads = true;
      this.#observe();
      await this.#until(
        'an answer to an option',
        () => client.transport.broken || !client.isHaggling,
      );
      client.hello();
    }
    this.#observe();
    if (this.#mistake !== null) throw this.#mistake;
  }

  /** All that was asked is answered, and what must end ends. */
  async end(): Promise<void> {
    for (const { transport } of this.#all) transport.clientReads = true;
    this.#observe();
    await this.#until('what clients are owed', () => this.#all.every((one) => one.isSettled));
    this.breakAll();
    await this.#until('the end', () => this.#all.every(({ transport }) => transport.broken));
    this.#observe();
    if (this.#mistake !== null) throw this.#mistake;
  }

  breakAll(): void {
    for (const client of this.#all) client.break();
  }

  async #served(number: number): Promise<void> {
    const client = this.#clients.get(number);
    if (!client?.transport.clientReads) return;
    await this.#until('what a client is owed', () => client.isSettled);
  }

  #connect(number: number): void {
    this.#clients.get(number)?.break();
    const connect = (onBytes: (bytes: Buffer) => void): SocketEnd => {
      return new SocketEnd(this.#server.socket, onBytes, () => this.#changed());
    };
    const client = new FuzzedClient(WORLD, { connect, refused: false, received: this.#received });
    this.#clients.set(number, client);
    this.#all.push(client);
  }

  #changed(): void {
    this.#observe();
    for (const waiter of [...this.#waiters]) waiter();
  }

  #observe(): void {
    try {
      for (const client of this.#all) client.observe();
    } catch (error) {
      this.#mistake ??= error;
    }
  }

  #until(what: string, condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.#mistake === null && !condition()) return;
        clearTimeout(timer);
        this.#waiters.delete(look);
        if (this.#mistake === null) resolve();
        else reject(this.#mistake as Error);
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(look);
        reject(new Error(`a connection is stuck: waited in vain for ${what}`));
      }, PATIENCE_MS);
      this.#waiters.add(look);
      look();
    });
  }
}

const WORLD: ClientWorld = {
  haggling: {
    tls: 'on',
    exports: EXPORTS,
    optionsMax: NBD_OPTIONS_MAX * (1 + EXPORTS.length),
    refusesAll: () => false,
  },
  handshakeMsMax: NBD_HANDSHAKE_MS_MAX,
  now: () => performance.now(),
  endsAll: () => false,
  transmission: () => ({ model: null, deviceErrors: () => [] }),
};

/** An error that no server sends, where a simple reply comes first. */
function makeStrange(bytes: Buffer): Buffer {
  if (bytes.length >= 16 && bytes.readUInt32BE(0) === 0x67446698) bytes.writeUInt32BE(2, 4);
  return bytes;
}

/** @throws Error when a good client is not served, or gets anything else than it has written. */
async function exchangeHonestly(server: ServerUnderFuzz): Promise<void> {
  const client = await attachHonestly(server);
  const data = Buffer.from(`${performance.now()}`.padEnd(4096));
  await client.write(0, data);
  const back = await client.read(0, 4096);
  await client.disconnect();
  if (!back.equals(data)) throw new Error('the honest client reads something else');
}

function attachHonestly({ socket }: ServerUnderFuzz): Promise<NbdClient> {
  return NbdClient.connect({ address: { kind: 'unix', path: socket }, exportName: 'honest' });
}
