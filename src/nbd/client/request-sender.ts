/**
 * Requests on their way out: collected while a turn runs, encoded and sent together when it ends.
 * Headers and small payloads are put next to each other, large payloads are sent from where they
 * are.
 */

import type { Clock } from '../../base/clock.ts';
import { encodeExtendedRequest, encodeRequest } from '../codec/request-codec.ts';
import { COMMAND_FLAGS, COMMANDS, EXTENDED_REQUEST_SIZE, REQUEST_SIZE } from '../constants.ts';
import type { Transport } from '../transport.ts';
import type { ClientRequest } from './client-request.ts';

/** A payload below this costs less to copy than to send as a piece of its own. */
const COPIED_BYTES_MAX = 2 ** 14;
/** Pieces are gathered up to so many bytes in one buffer. */
const GATHERED_BYTES_MAX = 2 ** 17;

export interface RequestSenderOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly extended: boolean;
  /** Some bytes have left, see `sentThrough`. */
  readonly onSent: () => void;
}

export class RequestSender {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #extended: boolean;
  readonly #headerSize: number;
  readonly #onSent: () => void;
  #waiting: ClientRequest[] = [];
  #isScheduled = false;
  #isClosed = false;
  /** Bytes given to the transport, and of these, bytes that have left. */
  #given = 0;
  #sentThrough = 0;
  /** Pieces that have not left, by size, in order. */
  readonly #leaving: number[] = [];

  readonly #flushDeferred = (): void => {
    this.#isScheduled = false;
    this.#flush();
  };
  readonly #pieceSent = (): void => {
    this.#sentThrough += this.#leaving.shift() ?? 0;
    if (!this.#isClosed) this.#onSent();
  };

  constructor(options: RequestSenderOptions) {
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#extended = options.extended;
    this.#headerSize = options.extended ? EXTENDED_REQUEST_SIZE : REQUEST_SIZE;
    this.#onSent = options.onSent;
  }

  /** A request has left when its `sentThrough` is no more than this. */
  get sentThrough(): number {
    return this.#sentThrough;
  }

  push(request: ClientRequest): void {
    // Until it is encoded nothing of it has left, whatever the server says.
    request.sentThrough = Number.POSITIVE_INFINITY;
    this.#waiting.push(request);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.defer(this.#flushDeferred);
  }

  /** Sends what waits and DISC behind it; nothing may be pushed afterwards. */
  disconnect(): void {
    this.#flush();
    const header = Buffer.alloc(this.#headerSize);
    this.#encode(new DataView(header.buffer, header.byteOffset), 0, {
      command: COMMANDS.DISC,
      flags: 0,
      offset: 0,
      length: 0,
      generation: 0,
      slot: 0,
    });
    this.#give(header);
  }

  /** Nothing leaves any more. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }

  #flush(): void {
    const requests = this.#waiting;
    if (this.#isClosed || requests.length === 0) return;
    this.#waiting = [];
    this.#transport.cork();
    for (let first = 0; first < requests.length; ) first = this.#sendRun(requests, first);
    this.#transport.uncork();
    this.#onSent();
  }

  /** Sends requests from `first` on that fit into one piece; gives the next one. */
  #sendRun(requests: readonly ClientRequest[], first: number): number {
    let end = first;
    let size = 0;
    let large: Uint8Array | null = null;
    while (end < requests.length && size < GATHERED_BYTES_MAX && large === null) {
      const payload = payloadOf(requests[end]!);
      size += this.#headerSize;
      if (payload !== null && payload.length > COPIED_BYTES_MAX) large = payload;
      else size += payload?.length ?? 0;
      end += 1;
    }
    const piece = Buffer.allocUnsafeSlow(size);
    const view = new DataView(piece.buffer, piece.byteOffset, size);
    let at = 0;
    for (let index = first; index < end; index++) {
      const request = requests[index]!;
      this.#encode(view, at, request);
      at += this.#headerSize;
      const payload = payloadOf(request);
      if (payload !== null && payload !== large) {
        piece.set(payload, at);
        at += payload.length;
      }
      // A copied payload is its owner's again as soon as it is copied.
      request.sentThrough = 0;
    }
    this.#give(piece);
    if (large !== null) {
      this.#give(large);
      requests[end - 1]!.sentThrough = this.#given;
    }
    return end;
  }

  /** Most pieces leave at once, for the price of one system call. */
  #give(bytes: Uint8Array): void {
    this.#given += bytes.length;
    const sent = this.#leaving.length === 0 ? this.#transport.sendNow(bytes) : 0;
    this.#sentThrough += sent;
    if (sent === bytes.length) return;
    this.#leaving.push(bytes.length - sent);
    this.#transport.send(bytes.subarray(sent), this.#pieceSent);
  }

  #encode(
    view: DataView,
    at: number,
    request: Pick<ClientRequest, 'command' | 'flags' | 'offset' | 'length' | 'generation' | 'slot'>,
  ): void {
    const { command, flags, offset, length, generation: cookieHigh, slot: cookieLow } = request;
    const fields = { flags, command, cookieHigh, cookieLow, offset, length };
    if (!this.#extended) {
      encodeRequest(view, at, fields);
      return;
    }
    if (command === COMMANDS.WRITE) fields.flags |= COMMAND_FLAGS.PAYLOAD_LEN;
    encodeExtendedRequest(view, at, fields);
  }
}

function payloadOf({ command, data }: ClientRequest): Uint8Array | null {
  return command === COMMANDS.WRITE ? data : null;
}
