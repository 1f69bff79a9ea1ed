/**
 * An NBD client with promises, for tools and tests: all options and commands, any number of
 * requests in flight on one connection. `nbd-device.ts` is the one for a hot path.
 *
 * An error reply rejects its request with `NbdError`; a lost connection rejects all that are in
 * flight with `NbdConnectionError`, and then nobody knows whether they took effect.
 */

import type { Clock } from '../../base/clock.ts';
import type { ContextStatus } from '../codec/status-codec.ts';
import { COMMAND_FLAGS, COMMANDS, commandName, TRANSMISSION_FLAGS } from '../constants.ts';
import { SocketTransport } from '../socket-transport.ts';
import type { TlsUpgrade } from '../tls.ts';
import type { ListenAddress, Transport } from '../transport.ts';
import { ClientConnection } from './client-connection.ts';
import { ClientRequest } from './client-request.ts';
import { NbdConnectionError, NbdError } from './nbd-error.ts';
import {
  type ClientNegotiated,
  type ExportFacts,
  type ListedExport,
  type Negotiation,
  negotiateContexts,
  negotiateInfo,
  negotiateList,
  negotiateTransmission,
  type ReplyForm,
  thenAbort,
} from './negotiation.ts';

export interface NbdServerPlace {
  readonly address: ListenAddress;
  /** How to connect where there is no socket. */
  readonly connect?: (onError: (error: Error) => void) => Transport;
  readonly tls?: TlsUpgrade | null;
  /** Without it requests leave as soon as the caller has ended, and nobody waits in vain. */
  readonly clock?: Clock;
  /** For the handshake, with a clock; 0, the default, for no limit. */
  readonly handshakeMsMax?: number;
}

export interface NbdClientOptions extends NbdServerPlace {
  readonly exportName?: string;
  /** What to ask for; the server may have less. Structured by default, for the text of errors. */
  readonly form?: ReplyForm;
  /** Metadata contexts that BLOCK_STATUS is to tell of. */
  readonly contexts?: readonly string[];
}

/** Flags of a command, by their names in the protocol. */
export interface CommandOptions {
  readonly fua?: boolean;
  readonly noHole?: boolean;
  readonly fastZero?: boolean;
  readonly df?: boolean;
  readonly reqOne?: boolean;
}

interface Waiter {
  resolve(request: ClientRequest): void;
  reject(error: Error): void;
}

const IMMEDIATE: Clock = {
  now: () => 0,
  defer: (task) => void Promise.resolve().then(task),
  after: () => ({ cancel: () => {} }),
};

export class NbdClient {
  readonly #connection: ClientConnection;
  #negotiated: ClientNegotiated | null = null;
  #lost: NbdConnectionError | null = null;
  #isClosed = false;
  readonly #closeWaiters: (() => void)[] = [];

  private constructor(options: NbdClientOptions, onReady: (error: Error | null) => void) {
    const { exportName = '', form = 'structured', contexts = [] } = options;
    this.#connection = new ClientConnection({
      ...placeOf(options),
      negotiation: negotiateTransmission({ exportName, form, contexts }),
      onReady: (negotiated) => {
        this.#negotiated = negotiated;
        onReady(null);
      },
      onLost: (error, unanswered) => {
        this.#lost = error;
        onReady(error);
        for (const request of unanswered) (request.context as Waiter).reject(error);
      },
      onClosed: () => {
        this.#isClosed = true;
        for (const waiter of this.#closeWaiters.splice(0)) waiter();
      },
    });
  }

  /** @throws NbdConnectionError when nobody answers; NbdRefusal when the server does not want. */
  static connect(options: NbdClientOptions): Promise<NbdClient> {
    return new Promise((resolve, reject) => {
      const client = new NbdClient(options, (error) => {
        if (error === null) resolve(client);
        else reject(error);
      });
    });
  }

  /** The exports that a server shows. @throws as `connect`. */
  static list(place: NbdServerPlace): Promise<ListedExport[]> {
    return haggle(place, negotiateList());
  }

  /** What a server says of an export. @throws as `connect`. */
  static info(place: NbdServerPlace, exportName: string): Promise<ExportFacts> {
    return haggle(place, negotiateInfo(exportName));
  }

  /** The metadata contexts of an export that match `queries`; without any, all. @throws as above */
  static listContexts(
    place: NbdServerPlace,
    exportName: string,
    queries: readonly string[] = [],
  ): Promise<string[]> {
    return haggle(place, negotiateContexts(exportName, queries));
  }

  /** What was agreed: size, flags, block sizes. */
  get negotiated(): ClientNegotiated {
    return this.#negotiated!;
  }

  get size(): number {
    return this.negotiated.size;
  }

  /** Requests without an answer. */
  get inFlight(): number {
    return this.#connection.inFlight;
  }

  /** The server promised this (a bit of `TRANSMISSION_FLAGS`). */
  can(flag: keyof typeof TRANSMISSION_FLAGS): boolean {
    return (this.negotiated.transmissionFlags & TRANSMISSION_FLAGS[flag]) !== 0;
  }

  async read(offset: number, length: number, options: CommandOptions = {}): Promise<Buffer> {
    const data = Buffer.allocUnsafe(length);
    await this.#request(COMMANDS.READ, { offset, length, data, options });
    return data;
  }

  async write(offset: number, data: Uint8Array, options: CommandOptions = {}): Promise<void> {
    await this.#request(COMMANDS.WRITE, { offset, length: data.length, data, options });
  }

  async flush(): Promise<void> {
    await this.#request(COMMANDS.FLUSH, {});
  }

  async trim(offset: number, length: number, options: CommandOptions = {}): Promise<void> {
    await this.#request(COMMANDS.TRIM, { offset, length, options });
  }

  async writeZeroes(offset: number, length: number, options: CommandOptions = {}): Promise<void> {
    await this.#request(COMMANDS.WRITE_ZEROES, { offset, length, options });
  }

  async cache(offset: number, length: number, options: CommandOptions = {}): Promise<void> {
    await this.#request(COMMANDS.CACHE, { offset, length, options });
  }

  /** By the names of the selected contexts. */
  async blockStatus(
    offset: number,
    length: number,
    options: CommandOptions = {},
  ): Promise<Map<string, ContextStatus['extents']>> {
    const request = await this.#request(COMMANDS.BLOCK_STATUS, { offset, length, options });
    const byName = new Map<string, ContextStatus['extents']>();
    for (const { contextId, extents } of request.statuses) {
      const name = this.negotiated.contexts.get(contextId);
      if (name === undefined) {
        throw new NbdConnectionError(
          `Server told the status of context ${contextId}, not selected`,
        );
      }
      byName.set(name, extents);
    }
    return byName;
  }

  /** Sends DISC and waits until the server has answered all that is in flight and closed. */
  disconnect(): Promise<void> {
    this.#connection.disconnect();
    return this.#whenClosed();
  }

  /** Vanishes at once, without a word. */
  destroy(): Promise<void> {
    this.#connection.destroy();
    return this.#whenClosed();
  }

  #request(
    command: number,
    fields: {
      readonly offset?: number;
      readonly length?: number;
      readonly data?: Uint8Array;
      readonly options?: CommandOptions;
    },
  ): Promise<ClientRequest> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      const request = new ClientRequest(settle);
      request.context = { resolve, reject } satisfies Waiter;
      request.command = command;
      request.offset = fields.offset ?? 0;
      request.length = fields.length ?? 0;
      request.data = fields.data ?? null;
      request.flags = flagsOf(fields.options ?? {});
      this.#connection.submit(request);
    });
  }

  #whenClosed(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => this.#closeWaiters.push(resolve));
  }
}

function settle(request: ClientRequest): void {
  const { command, error, text } = request;
  const { resolve, reject } = request.context as Waiter;
  if (error === 0) resolve(request);
  else reject(new NbdError(commandName(command), error, text));
}

function flagsOf({ fua, noHole, fastZero, df, reqOne }: CommandOptions): number {
  return (
    (fua === true ? COMMAND_FLAGS.FUA : 0) |
    (noHole === true ? COMMAND_FLAGS.NO_HOLE : 0) |
    (fastZero === true ? COMMAND_FLAGS.FAST_ZERO : 0) |
    (df === true ? COMMAND_FLAGS.DF : 0) |
    (reqOne === true ? COMMAND_FLAGS.REQ_ONE : 0)
  );
}

function placeOf(place: NbdServerPlace): {
  connect: (onError: (error: Error) => void) => Transport;
  tls: TlsUpgrade | null;
  clock: Clock;
  handshakeMsMax: number;
} {
  return {
    connect: place.connect ?? ((onError) => SocketTransport.connect(place.address, onError)),
    tls: place.tls ?? null,
    clock: place.clock ?? IMMEDIATE,
    handshakeMsMax: place.handshakeMsMax ?? 0,
  };
}

/** A conversation that does not lead to the transmission phase, and ends with ABORT. */
function haggle<T>(place: NbdServerPlace, negotiation: Negotiation<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const connection: ClientConnection<null> = new ClientConnection({
      ...placeOf(place),
      negotiation: thenAbort(negotiation, resolve),
      onReady: () => connection.destroy(),
      onLost: (error) => reject(error),
    });
  });
}
