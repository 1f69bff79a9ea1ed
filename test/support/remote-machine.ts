/**
 * A machine that serves a disk with a write cache over NBD, and that can lose its power, its server
 * process or its network; a device of ours that stands on it; and a clock in the test's hands.
 */

import { silentLogger } from '../../src/base/log.ts';
import type { Prng } from '../../src/base/prng.ts';
import { toSectorCount } from '../../src/base/units.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { PowerDomain } from '../../src/fault/power-domain.ts';
import { VolatileCache } from '../../src/fault/volatile-cache.ts';
import { NbdDevice } from '../../src/nbd/client/nbd-device.ts';
import { RemoteLink } from '../../src/nbd/client/remote-link.ts';
import { NbdServer } from '../../src/nbd/server/server.ts';
import { HandClock } from './nbd-clock.ts';
import { TransportPair } from './transport-pair.ts';

/** Longer than any test. */
const HANG_MS = 1e9;

export interface RemoteMachineOptions {
  readonly sectors: number;
  readonly prng: Prng;
  readonly connections?: number;
  readonly reconnectMs?: number;
  readonly timeoutMs?: number;
  readonly unflushedBytesMax?: number;
  /** How long the disk takes for each request, at most. */
  readonly diskMs?: number;
}

export class RemoteMachine {
  readonly clock = new HandClock();
  readonly medium: MemoryDevice;
  readonly #options: RemoteMachineOptions;
  readonly #power = new PowerDomain();
  readonly #cache: VolatileCache;
  #server: NbdServer | null = null;
  #wires: TransportPair[] = [];
  #name = 'data';
  #size: number;
  #hangs = false;

  constructor(options: RemoteMachineOptions) {
    this.#options = options;
    this.#size = options.sectors;
    this.medium = new MemoryDevice({ sizeSectors: options.sectors });
    const { prng, diskMs = 3 } = options;
    const delayMs = () => (this.#hangs ? HANG_MS : prng.between(0, diskMs));
    const timing = { clock: this.clock, delayMs };
    this.#cache = new VolatileCache(this.medium, { power: this.#power, timing });
    this.boot();
  }

  boot(): void {
    this.#power.restore();
    const device = this.#size === this.medium.sizeSectors ? this.#cache : this.#smaller();
    const exports = [{ name: this.#name, device }];
    this.#server = new NbdServer({ clock: this.clock, log: silentLogger, exports });
  }

  /** The process dies: what it has written is still in the cache. */
  kill(): void {
    void this.#server?.abort();
    this.#server = null;
    this.cutWires();
  }

  /** Each unflushed write is kept, lost or torn. */
  async cutPower(): Promise<void> {
    this.#power.cut();
    this.kill();
    const { prng } = this.#options;
    await this.#cache.crash(({ count }) => {
      const fate = prng.pick(['kept', 'lost', 'torn'] as const);
      if (fate !== 'torn') return fate;
      return Array.from({ length: count }, () => prng.chance(1, 2));
    });
  }

  /** The disk does not answer any more; connections live. */
  hang(): void {
    this.#hangs = true;
  }

  /** The connections break; both ends live. */
  cutWires(): void {
    for (const wire of this.#wires.splice(0)) wire.cut();
  }

  /** Clients that are past their handshake. */
  get connections(): number {
    return this.#server?.connections.filter(({ status }) => status === 'transmission').length ?? 0;
  }

  /** What is exported from the next boot on. */
  rename(name: string): void {
    this.#name = name;
  }

  resize(sectors: number): void {
    this.#size = sectors;
  }

  async open(): Promise<NbdDevice> {
    const { connections = 1, reconnectMs = 60_000, timeoutMs = 0 } = this.#options;
    const opening = RemoteLink.open({
      name: 'nbd://remote/data',
      connect: (onError) => {
        const pair = new TransportPair(this.clock);
        this.#wires.push(pair);
        if (this.#server !== null) this.#server.attach(pair.server);
        else this.clock.defer(() => onError(new Error('connect ECONNREFUSED')));
        return pair.client;
      },
      tls: null,
      exportName: 'data',
      form: 'structured',
      contexts: ['base:allocation'],
      connections,
      handshakeMsMax: 1000,
      reconnectMs,
      timeoutMs,
      clock: this.clock,
      log: silentLogger,
    });
    await this.pass(5);
    const { unflushedBytesMax } = this.#options;
    return new NbdDevice({
      name: 'nbd://remote/data',
      identity: 'remote',
      link: await opening,
      connections,
      readOnly: false,
      reconnects: reconnectMs > 0,
      ...(unflushedBytesMax === undefined ? {} : { unflushedBytesMax }),
    });
  }

  /** Time passes, and everything that happens in it. */
  async pass(ms: number): Promise<void> {
    for (let one = 0; one < ms; one++) {
      this.clock.advance(1);
      await Promise.resolve();
      await Promise.resolve();
      this.clock.run();
    }
  }

  /** Until something is so; @throws when that takes longer than any delay. */
  async until(what: string, condition: () => boolean): Promise<void> {
    for (let ms = 0; !condition(); ms++) {
      if (ms > 200_000) throw new Error(`${what}: not within 200 s of the test's clock`);
      await this.pass(1);
    }
  }

  #smaller(): MemoryDevice {
    return new MemoryDevice({ sizeSectors: toSectorCount(this.#size) });
  }
}
