/**
 * Plays an episode on a fresh server over transports and a clock of our own, and judges it:
 * connections by their observers; the device's content by a model; and when all clients are gone,
 * that nothing of them is left: no buffer, no budget, no timer, no place. An honest client beside
 * them gets right answers at any time.
 */

import { EACCES, EINVAL, EIO, ENOSPC, EOPNOTSUPP, EPERM, EROFS } from '../../src/base/errno.ts';
import { NBD_HANDSHAKE_MS_MAX, NBD_OPTIONS_MAX } from '../../src/base/limits.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Prng } from '../../src/base/prng.ts';
import type { ExportOptions } from '../../src/nbd/server/export.ts';
import { ExtentList, type MetaContext } from '../../src/nbd/server/meta-context.ts';
import { NbdServer, type NbdServerLimits } from '../../src/nbd/server/server.ts';
import type { TlsMode, TlsUpgrade } from '../../src/nbd/tls.ts';
import type { Canary } from './canaries.ts';
import { ContentModel } from './content-model.ts';
import type { Episode, Setup, Step } from './episode.ts';
import { FuzzClock } from './fuzz-clock.ts';
import { FuzzDevice } from './fuzz-device.ts';
import { FuzzTransport } from './fuzz-transport.ts';
import { type ClientWorld, FuzzedClient } from './fuzzed-client.ts';
import { HonestClient } from './honest-client.ts';

/** More turns than this without anything new to do: something goes round in circles. */
const TURNS_MAX = 100_000;
/** All timers of a server are due within this. */
const LONG_MS = 60_000;
const SECTOR = 512;
export const HOLLOW_SECTORS = 2 ** 31;

export interface EpisodeResult {
  readonly requests: number;
  readonly replies: number;
}

/** @throws Error saying what the server did wrong. */
export async function playEpisode(episode: Episode, canary?: Canary): Promise<EpisodeResult> {
  return new EpisodePlayer(episode, canary).play();
}

type DeviceStep = Extract<Step, { kind: 'hold' | 'release' | 'mend' | 'fail' }>;

class EpisodePlayer {
  readonly #steps: readonly Step[];
  readonly #canary: Canary | undefined;
  readonly #clock = new FuzzClock();
  readonly #device: FuzzDevice;
  readonly #model: ContentModel;
  readonly #server: NbdServer;
  readonly #exports: readonly ExportOptions[];
  readonly #connectionsMax: number;
  readonly #tls: TlsMode;
  readonly #honest: HonestClient;
  readonly #clients = new Map<number, FuzzedClient<FuzzTransport>>();
  readonly #all: FuzzedClient<FuzzTransport>[] = [];
  readonly #errors = new Set<number>();
  readonly #endings: Promise<unknown>[] = [];
  readonly #world: ClientWorld;
  #stopping = false;
  #removed = false;

  constructor({ setup, steps }: Episode, canary: Canary | undefined) {
    this.#steps = steps;
    this.#canary = canary;
    const prng = new Prng(setup.seed);
    const device = new FuzzDevice({ ...setup, name: 'data', hollow: false }, prng);
    this.#device = device;
    this.#model = new ContentModel(setup.sectors * SECTOR);
    canary?.onDevice?.(device);
    this.#exports = exportsOf(setup, device, prng);
    this.#tls = setup.tls;
    this.#connectionsMax = setup.connectionsMax ?? 100;
    this.#server = new NbdServer({
      clock: this.#clock,
      log: silentLogger,
      exports: this.#exports,
      limits: limitsOf(setup),
      tls: { mode: setup.tls, upgrade: setup.tls === 'off' ? null : UPGRADE },
    });
    this.#world = this.#makeWorld();
    this.#honest = new HonestClient('honest', setup.tls === 'require');
    this.#server.attach(this.#honest.transport);
  }

  async play(): Promise<EpisodeResult> {
    this.#honest.start(() => this.#settle());
    const { buffersTakenBytes } = this.#server.memory;
    for (let at = 0; at < this.#steps.length; at++) {
      this.#step(this.#steps[at]!);
      this.#settle();
      if (this.#endings.length > 0) await turnOfPromises();
      this.#observe();
      // Not by the number of the step: a case would change with every step that is left out.
      if (this.#steps[at]!.kind !== 'send') this.#serveHonest();
    }
    this.#checkAnswered();
    this.#serveHonest();
    this.#endAll();
    if (!this.#stopping) this.#checkLeft(buffersTakenBytes);
    this.#honest.transport.break();
    this.#wait(LONG_MS);
    await Promise.all(this.#endings);
    if (this.#server.memory.buffersTakenBytes !== 0) throw new Error('buffers are left behind');
    if (this.#clock.pending > 0) throw new Error(`${this.#clock.pending} timers are left behind`);
    const wrong = this.#model.compare(this.#device.bytes);
    if (wrong !== null) throw new Error(`the device's content is wrong: ${wrong}`);
    return {
      requests: this.#all.reduce((sum, { requests }) => sum + requests, 0),
      replies: this.#all.reduce((sum, { replies }) => sum + replies, 0),
    };
  }

  #step(step: Step): void {
    switch (step.kind) {
      case 'connect':
        this.#connect(step.client, step.value);
        break;
      case 'send':
        this.#clients.get(step.client)?.send(step.bytes);
        break;
      case 'hello':
      case 'end':
      case 'break':
        this.#clients.get(step.client)?.[step.kind]();
        break;
      case 'stall':
      case 'read': {
        const client = this.#clients.get(step.client);
        if (client !== undefined) client.transport.clientReads = step.kind === 'read';
        break;
      }
      case 'wait':
        this.#wait(step.value);
        break;
      case 'stop':
        if (this.#stopping) break;
        this.#stopping = true;
        this.#endings.push(this.#server.stop({ graceMs: step.value }));
        break;
      case 'remove':
        this.#removed = true;
        this.#endings.push(this.#server.removeExport(this.#exports[0]!.name));
        break;
      default:
        this.#deviceStep(step);
    }
  }

  #deviceStep(step: DeviceStep): void {
    const device = this.#device;
    if (step.kind === 'hold') device.holding = true;
    else if (step.kind === 'release') device.release(step.value);
    else if (step.kind === 'mend') device.mend();
    else if (step.kind === 'fail') {
      device.failures = step.value;
      device.errno = step.errno;
      this.#errors.add(nbdError(step.errno));
    }
  }

  #connect(number: number, readBytesMax: number): void {
    this.#clients.get(number)?.break();
    const refused = this.#stopping || this.#server.connections.length >= this.#connectionsMax;
    const received = this.#canary?.onReceived;
    const isGullible = this.#canary?.isGullible === true;
    const connect = (onBytes: (bytes: Buffer) => void): FuzzTransport => {
      return new FuzzTransport({ readBytesMax, onBytes, isGullible });
    };
    const client = new FuzzedClient(this.#world, { connect, refused, received });
    this.#clients.set(number, client);
    this.#all.push(client);
    this.#server.attach(client.transport);
  }

  /** Lets everything happen that can happen without time. */
  #settle(): void {
    for (let turns = 0; ; turns++) {
      if (turns > TURNS_MAX) throw new Error('the server never comes to rest');
      const before = this.#activity();
      this.#clock.run();
      for (const client of this.#all) client.transport.turn();
      this.#honest.transport.turn();
      if (this.#activity() === before) break;
    }
    if (this.#device.heldCount === 0) this.#model.settled();
  }

  #activity(): number {
    let sum = this.#clock.ran + this.#honest.transport.activity;
    for (const { transport } of this.#all) sum += transport.activity;
    return sum;
  }

  #observe(): void {
    for (const client of this.#all) client.observe();
  }

  #wait(ms: number): void {
    const until = this.#clock.now() + ms;
    while (this.#clock.step(until)) {
      this.#settle();
      this.#observe();
    }
    this.#settle();
  }

  #serveHonest(): void {
    if (!this.#stopping) this.#honest.exchange(() => this.#settle());
  }

  /** With a device that works, and nobody in the way, all that was asked is answered. */
  #checkAnswered(): void {
    this.#device.mend();
    for (const client of this.#all) {
      client.transport.clientReads = true;
      // Half a WRITE holds memory that others may wait for.
      if (client.isIncomplete) client.break();
    }
    this.#settle();
    this.#observe();
    if (this.#stopping || this.#removed) return;
    for (const client of this.#all) client.checkAnswered();
  }

  #endAll(): void {
    for (const client of this.#all) client.break();
    this.#settle();
    this.#wait(LONG_MS);
    this.#observe();
  }

  /** Nothing of the fuzzed clients is left. */
  #checkLeft(buffersTakenBytes: number): void {
    const { memory, connections, exports } = this.#server;
    const left = {
      connections: connections.length - 1,
      'bytes of payload': memory.payloadBytes,
      'bytes of buffers': memory.buffersTakenBytes - buffersTakenBytes,
      'requests at the device': exports.reduce((sum, one) => sum + one.bytes.inFlight, 0),
      attachments: exports.reduce((sum, one) => sum + one.connectionCount, 0) - 1,
    };
    for (const [what, count] of Object.entries(left)) {
      if (count !== 0) throw new Error(`left behind: ${count} ${what}`);
    }
  }

  #makeWorld(): ClientWorld {
    const exports = this.#exports.map(({ name, device, tlsOnly = false }) => {
      return { name, size: device.sizeSectors * SECTOR, tlsOnly };
    });
    const endsAll = (): boolean => this.#stopping || this.#removed;
    return {
      haggling: {
        tls: this.#tls,
        exports,
        optionsMax: NBD_OPTIONS_MAX * (1 + exports.length),
        refusesAll: endsAll,
      },
      handshakeMsMax: NBD_HANDSHAKE_MS_MAX,
      now: () => this.#clock.now(),
      endsAll,
      transmission: (exportName) => ({
        model: exportName === this.#exports[0]!.name ? this.#model : null,
        deviceErrors: () => (endsAll() ? [...this.#errors, 5, 108] : [...this.#errors]),
      }),
    };
  }
}

/** The transport plays both sides of it. */
const UPGRADE: TlsUpgrade = { start: () => {} };

/** Contexts beside the one that every export has: of every size and status. */
const CONTEXTS: readonly MetaContext[] = [
  {
    name: 'x-dm-mirror:region-state',
    status: ({ offset, length, extentsMax }) => {
      const list = new ExtentList(extentsMax);
      for (let at = offset; at < offset + length; ) {
        const size = Math.min(offset + length - at, 700 - (at % 700));
        if (!list.add(size, Math.floor(at / 700) % 5)) break;
        at += size;
      }
      return list.extents;
    },
  },
  {
    name: 'qemu:dirty-bitmap:region-state',
    status: ({ length }) => [{ length, status: 1 }],
  },
];

/** The one under fuzzing first; "hollow" is as large as lengths may get; "honest" is left alone. */
function exportsOf(setup: Setup, device: FuzzDevice, prng: Prng): ExportOptions[] {
  const hollow = new FuzzDevice(
    {
      name: 'hollow',
      sectors: HOLLOW_SECTORS,
      blockSize: 512,
      readOnly: false,
      discard: true,
      writeZeroes: true,
      hollow: true,
    },
    prng,
  );
  return [
    { name: setup.isDefault ? '' : 'data', description: 'fuzzed', device, contexts: CONTEXTS },
    { name: 'hollow', device: hollow, tlsOnly: setup.hasSecret && setup.tls !== 'off' },
    { name: 'honest', device: HonestClient.device() },
  ];
}

function limitsOf(setup: Setup): NbdServerLimits {
  const { payloadBytesMax, connectionsMax } = setup;
  return {
    ...(payloadBytesMax === null ? {} : { payloadBytesMax }),
    ...(connectionsMax === null ? {} : { connectionsMax }),
  };
}

function nbdError(errno: number): number {
  const known = new Map<number, number>([
    [EPERM, 1],
    [EACCES, 1],
    [EROFS, 1],
    [EINVAL, 22],
    [EOPNOTSUPP, 22],
    [ENOSPC, 28],
    [EIO, 5],
  ]);
  return known.get(errno) ?? 5;
}

function turnOfPromises(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
