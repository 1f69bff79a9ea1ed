/** A server and one client of it without sockets: bytes in as the test cuts them, all bytes out. */

import { type LogFields, type Logger, silentLogger } from '../../src/base/log.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import type { ExportOptions } from '../../src/nbd/server/export.ts';
import { ALL_FEATURES, type HandshakeFeatures } from '../../src/nbd/server/handshake-features.ts';
import { NbdServer, type NbdServerLimits } from '../../src/nbd/server/server.ts';
import type { TlsMode, TlsUpgrade } from '../../src/nbd/tls.ts';
import type { Transport, TransportSink } from '../../src/nbd/transport.ts';
import { HandClock } from './nbd-clock.ts';
import * as wire from './nbd-wire.ts';

/** The byte stream of a client that the test plays. Reads like a socket: one window at a time. */
export class MemoryTransport implements Transport {
  readonly peer = 'memory';
  /** Everything the server has sent. */
  readonly #sent: Buffer[] = [];
  /** Each write to the transport, by its size; corked ones count as one. */
  readonly writes: number[] = [];
  /** The client reads nothing: what is sent stays queued. */
  clientReads = true;
  serverEnded = false;
  destroyed = false;
  #sink: TransportSink | null = null;
  #reading = true;
  #parked = true;
  #pending: Buffer = Buffer.alloc(0);
  #clientEnded = false;
  /** The server knows that the client has ended. */
  #sawEnd = false;
  #queued: { readonly size: number; readonly onSent: () => void }[] = [];
  #corked: number | null = null;
  #feeding = false;

  get broken(): boolean {
    return this.destroyed;
  }

  get queuedBytes(): number {
    return this.#queued.reduce((sum, { size }) => sum + size, 0);
  }

  /** False while the server has stopped reading. */
  get reading(): boolean {
    return this.#reading;
  }

  /** Bytes of the client that the server has not taken. */
  get unreadBytes(): number {
    return this.#pending.length;
  }

  start(sink: TransportSink): void {
    this.#sink = sink;
  }

  sendNow(): number {
    return 0;
  }

  send(bytes: Uint8Array, onSent: () => void): void {
    if (this.destroyed) throw new Error('Bytes were sent on a destroyed transport');
    if (this.serverEnded) throw new Error('Bytes were sent behind the end');
    this.#sent.push(Buffer.from(bytes));
    if (this.#corked === null) this.writes.push(bytes.length);
    else this.#corked += bytes.length;
    this.#queued.push({ size: bytes.length, onSent });
  }

  cork(): void {
    this.#corked = 0;
  }

  uncork(): void {
    this.writes.push(this.#corked!);
    this.#corked = null;
  }

  resume(): void {
    this.#reading = true;
    this.#pump();
  }

  /** What follows counts as encrypted. */
  encrypt(_upgrade: TlsUpgrade, done: (failure: string | null) => void): void {
    this.onEncrypt(done);
  }

  /** The test decides how the TLS handshake ends. */
  onEncrypt = (done: (failure: string | null) => void): void => done(null);

  end(): void {
    this.serverEnded = true;
    this.#closeIfEnded();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#sink?.closed();
  }

  /** The client sends bytes. */
  feed(bytes: Uint8Array): void {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    this.#pump();
  }

  /** The client ends its side, and vanishes, respectively. */
  feedEnd(): void {
    this.#clientEnded = true;
    this.#pump();
  }

  vanish(): void {
    this.destroy();
  }

  /** What was sent so far leaves, if the client reads. */
  drain(): void {
    if (!this.clientReads) return;
    for (const { onSent } of this.#queued.splice(0)) onSent();
    this.#closeIfEnded();
  }

  /** Everything the server has sent since the last call. */
  take(): Buffer {
    return Buffer.concat(this.#sent.splice(0));
  }

  #pump(): void {
    if (this.#feeding) return;
    this.#feeding = true;
    while (this.#reading && this.#pending.length > 0 && !this.destroyed) this.#readOnce();
    this.#feeding = false;
    if (this.#clientEnded && this.#pending.length === 0 && this.#reading && !this.destroyed) {
      this.#clientEnded = false;
      this.#sawEnd = true;
      this.#sink!.ended();
      this.#closeIfEnded();
    }
  }

  #closeIfEnded(): void {
    if (this.#sawEnd && this.serverEnded && this.#queued.length === 0) this.destroy();
  }

  #readOnce(): void {
    let more: boolean;
    if (this.#parked) {
      const bytes = this.#pending.subarray(0, 4096);
      this.#pending = this.#pending.subarray(bytes.length);
      more = this.#sink!.receivedElsewhere(bytes);
    } else {
      const window = this.#sink!.window();
      if (window.length === 0) throw new Error('A window of no bytes');
      const size = Math.min(window.length, this.#pending.length);
      window.set(this.#pending.subarray(0, size));
      this.#pending = this.#pending.subarray(size);
      more = this.#sink!.received(size);
    }
    this.#parked = !more;
    if (!more) this.#reading = false;
  }
}

export interface SessionOptions {
  readonly device: BlockDevice;
  readonly exports?: readonly ExportOptions[];
  readonly limits?: NbdServerLimits;
  readonly features?: HandshakeFeatures;
  readonly tlsMode?: TlsMode;
}

export class NbdSession {
  readonly clock = new HandClock();
  readonly server: NbdServer;
  readonly logged: string[] = [];

  constructor(options: SessionOptions) {
    const exports = options.exports ?? [{ name: 'data', device: options.device }];
    const { limits = {}, features = ALL_FEATURES, tlsMode = 'off' } = options;
    const upgrade = tlsMode === 'off' ? null : { start: () => {} };
    this.server = new NbdServer({
      ...{ clock: this.clock, log: this.#logger(), exports, limits, features },
      tls: { mode: tlsMode, upgrade },
    });
  }

  /** A new client that has sent nothing yet. */
  connect(options: { canUpgrade?: boolean } = {}): MemoryTransport {
    const transport = new MemoryTransport();
    // As for a stream that is no socket.
    if (options.canUpgrade === false) Object.assign(transport, { encrypt: undefined });
    this.server.attach(transport);
    return transport;
  }

  /** A new client in transmission, with nothing left to take. */
  attach(
    options: {
      readonly structured?: boolean;
      readonly extended?: boolean;
      readonly contexts?: readonly string[];
      readonly name?: string;
    } = {},
  ): MemoryTransport {
    const { name = '', contexts = [] } = options;
    const transport = this.connect();
    transport.feed(wire.clientFlags());
    if (options.structured === true) transport.feed(wire.option(8));
    if (options.extended === true) transport.feed(wire.option(11));
    if (contexts.length > 0) transport.feed(wire.contexts(10, name, ...contexts));
    transport.feed(wire.go(name));
    this.settle(transport);
    transport.take();
    return transport;
  }

  /** Runs all that can run now. */
  settle(...transports: MemoryTransport[]): void {
    this.clock.run();
    for (const transport of transports) transport.drain();
    this.clock.run();
  }

  /** Sends requests, lets everything run, and gives the bytes that came back. */
  exchange(transport: MemoryTransport, ...messages: Uint8Array[]): Buffer {
    transport.feed(Buffer.concat(messages));
    this.settle(transport);
    return transport.take();
  }

  #logger(): Logger {
    const note = (level: string) => (message: string, fields?: LogFields) => {
      this.logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
    };
    return { ...silentLogger, debug: note('debug'), warn: note('warn'), error: note('error') };
  }
}
