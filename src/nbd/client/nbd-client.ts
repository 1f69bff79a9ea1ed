/**
 * A small NBD client: any number of requests in flight, simple or structured replies, unix or TCP.
 *
 * Each request is a promise. An error reply rejects it with `NbdError`; a lost connection rejects
 * all that are in flight with `NbdConnectionError`, and then nobody knows whether they took
 * effect.
 */

import { assert } from '../../base/assert.ts';
import { BufferPool } from '../buffer-pool.ts';
import { FrameReader } from '../codec/frame-reader.ts';
import { encodeRequest } from '../codec/request-codec.ts';
import {
  COMMAND_FLAGS,
  COMMANDS,
  commandName,
  REQUEST_SIZE,
  TRANSMISSION_FLAGS,
} from '../constants.ts';
import { SocketTransport } from '../socket-transport.ts';
import type { ListenAddress, Transport } from '../transport.ts';
import { ClientHandshake, type ClientNegotiated } from './client-handshake.ts';
import { NbdConnectionError, NbdError } from './nbd-error.ts';
import { type AwaitedReply, ReplyReader } from './reply-reader.ts';

export interface NbdClientOptions {
  readonly address: ListenAddress;
  readonly exportName?: string;
  /** Asks for structured replies, which carry the text of errors; true by default. */
  readonly structuredReplies?: boolean;
}

interface InFlight extends AwaitedReply {
  readonly command: number;
  resolve(data: Buffer): void;
  reject(error: Error): void;
}

interface RequestOptions {
  readonly offset?: number;
  readonly length?: number;
  readonly flags?: number;
  readonly payload?: Uint8Array;
}

const NO_DATA = Buffer.alloc(0);

export class NbdClient {
  readonly #transport: Transport;
  readonly #reader = new FrameReader(new BufferPool());
  readonly #handshake: ClientHandshake;
  #replies: ReplyReader | null = null;
  readonly #inFlight = new Map<number, InFlight>();
  #lastCookie = 0;
  #lost: Error | null = null;
  #isClosed = false;
  #onReady: ((error: Error | null) => void) | null = null;
  readonly #closeWaiters: (() => void)[] = [];

  private constructor(options: NbdClientOptions, onReady: (error: Error | null) => void) {
    this.#onReady = onReady;
    const { address } = options;
    this.#transport = SocketTransport.connect(address, (error) => this.#lose(error));
    this.#handshake = new ClientHandshake({
      exportName: options.exportName ?? '',
      wantsStructured: options.structuredReplies ?? true,
      send: (bytes) => this.#transport.send(bytes, nothing),
    });
    this.#transport.start({
      window: () => this.#reader.window(),
      received: (size) => {
        this.#reader.received(size);
        return this.#advance();
      },
      receivedElsewhere: (bytes) => {
        this.#reader.append(bytes);
        return this.#advance();
      },
      ended: () => this.#lose(new NbdConnectionError('Server closed the connection')),
      closed: () => this.#closed(),
    });
  }

  /** @throws NbdConnectionError when nobody answers, or the server refuses. */
  static connect(options: NbdClientOptions): Promise<NbdClient> {
    return new Promise((resolve, reject) => {
      const client = new NbdClient(options, (error) => {
        if (error === null) resolve(client);
        else reject(error);
      });
    });
  }

  /** What was agreed: size, flags, block sizes. */
  get negotiated(): Readonly<ClientNegotiated> {
    return this.#handshake.negotiated;
  }

  get size(): number {
    return this.negotiated.size;
  }

  /** Requests without an answer. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#request(COMMANDS.READ, { offset, length });
  }

  async write(offset: number, data: Uint8Array, options?: { fua?: boolean }): Promise<void> {
    const flags = options?.fua === true ? COMMAND_FLAGS.FUA : 0;
    await this.#request(COMMANDS.WRITE, { offset, length: data.length, flags, payload: data });
  }

  async flush(): Promise<void> {
    await this.#request(COMMANDS.FLUSH, {});
  }

  async trim(offset: number, length: number, options?: { fua?: boolean }): Promise<void> {
    const flags = options?.fua === true ? COMMAND_FLAGS.FUA : 0;
    await this.#request(COMMANDS.TRIM, { offset, length, flags });
  }

  async writeZeroes(
    offset: number,
    length: number,
    options: { fua?: boolean; noHole?: boolean; fastZero?: boolean } = {},
  ): Promise<void> {
    const flags =
      (options.fua === true ? COMMAND_FLAGS.FUA : 0) |
      (options.noHole === true ? COMMAND_FLAGS.NO_HOLE : 0) |
      (options.fastZero === true ? COMMAND_FLAGS.FAST_ZERO : 0);
    await this.#request(COMMANDS.WRITE_ZEROES, { offset, length, flags });
  }

  async cache(offset: number, length: number): Promise<void> {
    await this.#request(COMMANDS.CACHE, { offset, length });
  }

  /** The server promised this (a bit of `TRANSMISSION_FLAGS`). */
  can(flag: keyof typeof TRANSMISSION_FLAGS): boolean {
    return (this.negotiated.transmissionFlags & TRANSMISSION_FLAGS[flag]) !== 0;
  }

  /** Sends DISC and waits until the server has answered all that is in flight and closed. */
  disconnect(): Promise<void> {
    if (this.#lost === null) {
      this.#send(COMMANDS.DISC, 0, {});
      this.#transport.end();
    }
    return this.#whenClosed();
  }

  /** Vanishes at once, without a word. */
  destroy(): Promise<void> {
    this.#transport.destroy();
    return this.#whenClosed();
  }

  #request(command: number, options: RequestOptions): Promise<Buffer> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    this.#lastCookie = (this.#lastCookie + 1) | 0;
    const cookie = this.#lastCookie;
    assert(!this.#inFlight.has(cookie), 'All cookies are in use');
    return new Promise((resolve, reject) => {
      const { offset = 0, length = 0 } = options;
      const data = command === COMMANDS.READ ? Buffer.allocUnsafe(length) : null;
      const reply = { offset, data, dataBytes: 0, error: 0, text: '' };
      this.#inFlight.set(cookie, { command, resolve, reject, ...reply });
      this.#send(command, cookie, options);
    });
  }

  #send(command: number, cookieLow: number, options: RequestOptions): void {
    const { flags = 0, offset = 0, length = 0, payload } = options;
    const header = Buffer.allocUnsafe(REQUEST_SIZE);
    const view = new DataView(header.buffer, header.byteOffset, REQUEST_SIZE);
    encodeRequest(view, 0, { flags, command, cookieHigh: 0, cookieLow, offset, length });
    this.#transport.cork();
    this.#transport.send(header, nothing);
    if (payload !== undefined && payload.length > 0) this.#transport.send(payload, nothing);
    this.#transport.uncork();
  }

  #advance(): boolean {
    try {
      if (this.#replies === null) {
        if (!this.#handshake.advance(this.#reader)) return true;
        this.#replies = new ReplyReader({
          structuredReplies: this.negotiated.structuredReplies,
          find: (_high, low) => this.#inFlight.get(low),
          done: (_high, low) => this.#finish(low),
        });
        this.#onReady?.(null);
        this.#onReady = null;
      }
      this.#replies.advance(this.#reader);
    } catch (error) {
      if (!(error instanceof NbdConnectionError)) throw error;
      this.#lose(error);
      this.#transport.destroy();
      return false;
    }
    return true;
  }

  #finish(cookie: number): void {
    const request = this.#inFlight.get(cookie)!;
    this.#inFlight.delete(cookie);
    const { command, data, dataBytes, error, text } = request;
    if (error !== 0) {
      request.reject(new NbdError(commandName(command), error, text));
    } else if (data !== null && dataBytes !== data.length) {
      const message = `Server answered READ with ${dataBytes} bytes, must be ${data.length}`;
      request.reject(new NbdConnectionError(message));
    } else {
      request.resolve(data ?? NO_DATA);
    }
  }

  #lose(error: Error): void {
    if (this.#lost !== null) return;
    this.#lost =
      error instanceof NbdConnectionError ? error : new NbdConnectionError(error.message);
    this.#onReady?.(this.#lost);
    this.#onReady = null;
    for (const request of this.#inFlight.values()) request.reject(this.#lost);
    this.#inFlight.clear();
    // Half an end is the whole end here: nobody sends without wanting answers.
    this.#transport.end();
  }

  #closed(): void {
    this.#lose(new NbdConnectionError('Connection was lost'));
    this.#isClosed = true;
    for (const waiter of this.#closeWaiters.splice(0)) waiter();
  }

  #whenClosed(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => this.#closeWaiters.push(resolve));
  }
}

function nothing(): void {}
