/**
 * The NBD server: listeners, the connections that they bring, the exports that these attach to,
 * and an end in good order, or at once.
 */

import type { Clock, Timer } from '../../base/clock.ts';
import { UserError } from '../../base/failure.ts';
import {
  NBD_CONNECTIONS_MAX,
  NBD_HANDSHAKE_MS_MAX,
  NBD_LINGER_MS_MAX,
  NBD_PAYLOAD_STALL_MS_MAX,
  NBD_SERVER_BYTES_IN_FLIGHT_MAX,
} from '../../base/limits.ts';
import type { LogFields, Logger } from '../../base/log.ts';
import { printable } from '../../base/printable.ts';
import { BufferPool } from '../buffer-pool.ts';
import { NBD_ERRORS } from '../constants.ts';
import { NO_TLS, type TlsPolicy } from '../tls.ts';
import type { ListenAddress, Transport } from '../transport.ts';
import type { AddressFilter } from './address-filter.ts';
import { Connection, type ConnectionContext } from './connection.ts';
import type { Export, ExportOptions } from './export.ts';
import { ExportList } from './export-list.ts';
import { ALL_FEATURES, type HandshakeFeatures } from './handshake-features.ts';
import { Listener } from './listener.ts';
import { PayloadBudget } from './payload-budget.ts';
import { Turns } from './turn-share.ts';

export interface NbdServerLimits {
  readonly connectionsMax?: number;
  /** From the connect to GO; 0 for no limit. */
  readonly handshakeMsMax?: number;
  /** Peers of other addresses are refused; all are welcome by default. */
  readonly filter?: AddressFilter;
  readonly payloadBytesMax?: number;
}

/** Memory on behalf of clients, in bytes. */
export interface NbdServerMemory {
  /** Payload of requests in progress. */
  readonly payloadBytes: number;
  /** Buffers that connections hold, with what they received and what they are to send. */
  readonly buffersTakenBytes: number;
  /** Buffers that wait for their next use. */
  readonly buffersKeptBytes: number;
}

export interface NbdServerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly exports?: readonly ExportOptions[];
  readonly limits?: NbdServerLimits;
  /** All by default. */
  readonly features?: HandshakeFeatures;
  /** Some client has sent requests, which are about to be served. */
  readonly onRequests?: () => void;
  /** None by default. */
  readonly tls?: TlsPolicy;
}

/** What clients can cause is logged once per so many milliseconds, each kind for itself. */
const CLIENT_LOG_MS = 10_000;

export class NbdServer {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #exports = new ExportList();
  readonly #connectionsMax: number;
  readonly #filter: AddressFilter | null;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<Connection>();
  readonly #context: ConnectionContext;
  readonly #pool = new BufferPool();
  #connectionCount = 0;
  #stopping = false;
  #payloadWatch: Timer | null = null;
  /** By message. */
  readonly #loggedAt = new Map<string, number>();
  /** Called when a connection has closed; those that wait look for themselves. */
  readonly #closeWaiters = new Set<() => void>();

  readonly #onTransport = (transport: Transport): void => this.attach(transport);

  /** @throws UserError for an export that cannot be served. */
  constructor(options: NbdServerOptions) {
    const { clock, log, limits = {} } = options;
    this.#clock = clock;
    this.#log = log;
    this.#connectionsMax = limits.connectionsMax ?? NBD_CONNECTIONS_MAX;
    this.#filter = limits.filter ?? null;
    this.#context = {
      clock,
      log,
      exports: this.#exports,
      features: options.features ?? ALL_FEATURES,
      pool: this.#pool,
      turns: new Turns(clock),
      budget: new PayloadBudget(limits.payloadBytesMax ?? NBD_SERVER_BYTES_IN_FLIGHT_MAX, () =>
        this.#watchPayloads(),
      ),
      handshakeMsMax: limits.handshakeMsMax ?? NBD_HANDSHAKE_MS_MAX,
      stopping: () => this.#stopping,
      onRequests: options.onRequests ?? (() => {}),
      tls: options.tls ?? NO_TLS,
      onClosed: (connection) => this.#closed(connection),
      onTlsFailure: ({ peer }, reason) => this.#warnSometimes('TLS failed', { peer, reason }),
    };
    for (const one of options.exports ?? []) this.addExport(one);
  }

  /** @throws UserError, see `Listener.unix`. */
  async listenUnix(path: string): Promise<ListenAddress> {
    return this.#keep(await Listener.unix(path, this.#onTransport));
  }

  /** @throws UserError, see `Listener.tcp`. */
  async listenTcp(host: string, port: number): Promise<ListenAddress> {
    return this.#keep(await Listener.tcp(host, port, this.#onTransport));
  }

  /** @throws UserError when `fd` is no listening socket. */
  async listenFd(fd: number): Promise<ListenAddress> {
    return this.#keep(await Listener.fd(fd, this.#onTransport));
  }

  /** Where clients can connect, in the order of the calls. */
  addresses(): ListenAddress[] {
    return this.#listeners.map((listener) => listener.address);
  }

  get exports(): readonly Export[] {
    return this.#exports.all;
  }

  get connections(): readonly Connection[] {
    return [...this.#connections];
  }

  get memory(): NbdServerMemory {
    return {
      payloadBytes: this.#context.budget.bytes,
      buffersTakenBytes: this.#pool.takenBytes,
      buffersKeptBytes: this.#pool.keptBytes,
    };
  }

  /** @throws UserError for a name that is taken, or that cannot be served. */
  addExport(options: ExportOptions): Export {
    if (options.tlsOnly === true && this.#context.tls.mode === 'off') {
      const where = `Cannot export "${printable(options.name)}" with TLS only`;
      throw new UserError('export-needs-tls', `${where}: TLS is off, must be on`);
    }
    return this.#exports.add(options);
  }

  /** Clients stay. @throws UserError for a name that is taken, or that cannot be served. */
  renameExport(from: string, to: string): void {
    this.#exports.rename(from, to);
  }

  /**
   * Takes an export away from its clients: what is in flight is answered with EIO, connections
   * close. Ends when its device has given back every request; false when there is no such export.
   */
  async removeExport(name: string): Promise<boolean> {
    const removed = this.#exports.remove(name);
    if (removed === undefined) return false;
    const attached = this.connections.filter((connection) => connection.export === removed);
    for (const connection of attached) {
      connection.fail(NBD_ERRORS.EIO, `export "${removed.name}" was removed`);
    }
    await this.#whenClosed(() =>
      attached.every((connection) => !this.#connections.has(connection)),
    );
    await removed.drained();
    return true;
  }

  /** Serves a client on a byte stream of any kind. */
  attach(transport: Transport): void {
    const reason = this.#whyRefused(transport);
    if (reason !== null) {
      if (!this.#stopping) this.#warnSometimes(reason, { peer: transport.peer });
      transport.destroy();
      return;
    }
    this.#connectionCount += 1;
    this.#connections.add(new Connection(this.#connectionCount, transport, this.#context));
  }

  /**
   * Accepts no more, lets what is in flight end for at most `graceMs`, answers the rest with
   * ESHUTDOWN, and ends when the last connection has closed. Clients in their handshake do not
   * delay it.
   */
  async stop(options: { readonly graceMs: number }): Promise<void> {
    this.#stopping = true;
    const closing = this.#closeListeners();
    for (const connection of this.#connections) connection.stopWhenIdle();
    let graceOver = false;
    const timer = this.#clock.after(options.graceMs, () => {
      graceOver = true;
      this.#wakeCloseWaiters();
    });
    const onlyHaggling = (): boolean => {
      return this.connections.every((connection) => connection.status === 'handshake');
    };
    await this.#whenClosed(() => graceOver || onlyHaggling());
    timer.cancel();
    for (const connection of this.#connections) {
      connection.fail(NBD_ERRORS.ESHUTDOWN, 'server is stopping');
    }
    // The last replies get a moment to leave; a client that takes none of them does not stop us.
    const lastCall = this.#clock.after(NBD_LINGER_MS_MAX, () => {
      for (const connection of this.#connections) connection.abort();
    });
    await this.#whenClosed(() => this.#connections.size === 0);
    lastCall.cancel();
    await closing;
  }

  /** Every socket is gone at once and not one more byte leaves, as when the power fails. */
  async abort(options: { readonly keepListeners?: boolean } = {}): Promise<void> {
    for (const connection of this.#connections) connection.abort();
    if (options.keepListeners !== true) {
      this.#stopping = true;
      await this.#closeListeners();
    }
  }

  #keep(listener: Listener): ListenAddress {
    this.#listeners.push(listener);
    return listener.address;
  }

  async #closeListeners(): Promise<void> {
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
  }

  /** While a connection waits for memory, those that hold some must go on with what it is for. */
  #watchPayloads(): void {
    if (this.#payloadWatch !== null) return;
    for (const connection of this.#connections) connection.notePayload();
    const look = (): void => {
      this.#payloadWatch = null;
      for (const connection of this.connections) connection.dropStalledPayload();
      if (this.#context.budget.contended) arm();
    };
    const arm = (): void => {
      this.#payloadWatch ??= this.#clock.after(NBD_PAYLOAD_STALL_MS_MAX, look);
    };
    arm();
  }

  #endPayloadWatch(): void {
    this.#payloadWatch?.cancel();
    this.#payloadWatch = null;
  }

  #whyRefused({ address = null }: Transport): string | null {
    if (this.#stopping) return 'connection refused: server is stopping';
    if (this.#filter?.admits(address) === false) {
      return 'connection refused: its address is not allowed';
    }
    if (this.#connections.size < this.#connectionsMax) return null;
    return `connection refused: ${this.#connections.size} are open, its most`;
  }

  #warnSometimes(message: string, fields: LogFields): void {
    const now = this.#clock.now();
    if (now - (this.#loggedAt.get(message) ?? Number.NEGATIVE_INFINITY) < CLIENT_LOG_MS) return;
    this.#loggedAt.set(message, now);
    this.#log.warn(message, fields);
  }

  #closed(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) {
      this.#pool.trim();
      this.#endPayloadWatch();
    }
    this.#wakeCloseWaiters();
  }

  #wakeCloseWaiters(): void {
    for (const waiter of [...this.#closeWaiters]) waiter();
  }

  /** Ends when `condition` holds; looked at whenever a connection has closed. */
  #whenClosed(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.#closeWaiters.delete(look);
        resolve();
      };
      this.#closeWaiters.add(look);
    });
  }
}
