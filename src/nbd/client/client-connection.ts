/**
 * One connection to a server, from the first byte to the last: the handshake, then requests with
 * answers in any order. Bytes come through a `Transport`; nothing here knows of sockets.
 *
 * Requests of one turn leave together. There is no promise and no closure per request: a request
 * comes back in its `onEnd` when it was answered, or in `onLost` with all others when it never will
 * be. A request whose bytes have not all left comes back only when they have: its data would
 * otherwise be changed, or shown to the server, after the submitter has taken them back.
 */

import { assert } from '../../base/assert.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { EXTENDED, STRUCTURED } from '../codec/reply-codec.ts';
import type { TlsUpgrade } from '../tls.ts';
import type { Transport } from '../transport.ts';
import { ClientHandshake } from './client-handshake.ts';
import type { ClientRequest } from './client-request.ts';
import { Inbox } from './inbox.ts';
import { NbdConnectionError } from './nbd-error.ts';
import type { ClientNegotiated, Negotiation } from './negotiation.ts';
import { ReplyReader } from './reply-reader.ts';
import { RequestSender } from './request-sender.ts';
import { RequestSlots } from './request-slots.ts';

export interface ClientConnectionOptions<T> {
  /** Begins to connect; `onError` tells later why it failed. */
  readonly connect: (onError: (error: Error) => void) => Transport;
  /** Nothing is said in the clear but STARTTLS; null: everything is. */
  readonly tls?: TlsUpgrade | null;
  readonly negotiation: Negotiation<T>;
  readonly clock: Clock;
  /** From the first step of connecting to the end of the handshake; 0 for no limit. */
  readonly handshakeMsMax: number;
  readonly onReady: (result: T) => void;
  /**
   * The connection is over; the last call. `unanswered` are the requests that will not come back
   * otherwise, in the order in which they were submitted: nobody knows whether they took effect.
   */
  readonly onLost: (error: NbdConnectionError, unanswered: ClientRequest[]) => void;
  /** Nothing of it is left, after `onLost`. */
  readonly onClosed?: () => void;
}

export class ClientConnection<T = ClientNegotiated> {
  readonly #options: ClientConnectionOptions<T>;
  readonly #transport: Transport;
  readonly #inbox = new Inbox();
  readonly #handshake: ClientHandshake<T>;
  #deadline: Timer | null;
  readonly #slots = new RequestSlots();
  #replies: ReplyReader | null = null;
  #sender: RequestSender | null = null;
  /** Requests whose answers are complete while the transport still has bytes of them. */
  #answeredEarly = 0;
  #answers = 0;
  /** Between the clear and TLS: nothing is read. */
  #isEncrypting = false;
  #isLost = false;
  #isClosed = false;

  constructor(options: ClientConnectionOptions<T>) {
    this.#options = options;
    this.#transport = options.connect((error) => this.lose(error));
    const transport = this.#transport;
    this.#handshake = new ClientHandshake<T>({
      negotiation: options.negotiation,
      send: (bytes) => transport.send(bytes, nothing),
      startTls: options.tls ? () => this.#startTls(options.tls!) : null,
    });
    const { clock, handshakeMsMax: limit } = options;
    const late = `Server has not answered within ${limit / 1000} s`;
    this.#deadline =
      limit === 0 ? null : clock.after(limit, () => this.lose(new NbdConnectionError(late)));
    transport.start({
      window: () => this.#window(),
      received: (size) => this.#received(size),
      receivedElsewhere: (bytes) => this.#receivedElsewhere(bytes),
      ended: () => this.lose(new NbdConnectionError('Server closed the connection')),
      closed: () => this.#closed(),
    });
  }

  /** Requests without an answer. */
  get inFlight(): number {
    return this.#slots.count;
  }

  /** How many answers have come. */
  get answers(): number {
    return this.#answers;
  }

  /** What has been submitted so far, as a mark for `hasUnanswered`. */
  get mark(): number {
    return this.#slots.mark;
  }

  hasUnanswered(mark: number): boolean {
    return this.#slots.hasUnanswered(mark);
  }

  /** Sends a request with the others of this turn. After `onReady` and before `onLost`. */
  submit(request: ClientRequest): void {
    assert(this.#sender !== null && !this.#isLost, 'A request for a connection that is not ready');
    request.begin();
    this.#slots.add(request);
    this.#sender.push(request);
  }

  /**
   * Says goodbye, ends our side, and lets the server answer what is in flight; `onLost` follows.
   */
  disconnect(): void {
    if (this.#isLost) return;
    this.#sender?.disconnect();
    this.#transport.end();
  }

  /** Vanishes at once; `onLost` is called before this returns, `onClosed` may be later. */
  destroy(): void {
    this.lose(new NbdConnectionError('Connection was closed'));
  }

  /** The connection is over, for this reason. */
  lose(error: Error): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#deadline?.cancel();
    this.#replies?.stop();
    this.#sender?.close();
    this.#transport.destroy();
    const reason =
      error instanceof NbdConnectionError ? error : new NbdConnectionError(error.message);
    this.#options.onLost(reason, this.#slots.removeAll());
    if (this.#isClosed) this.#options.onClosed?.();
  }

  #window(): Uint8Array {
    return this.#replies === null ? this.#inbox.window() : this.#replies.window();
  }

  #received(size: number): boolean {
    try {
      if (this.#replies !== null) {
        this.#replies.received(size);
      } else {
        this.#inbox.received(size);
        if (this.#handshake.advance(this.#inbox)) this.#begin();
        if (this.#isEncrypting) return false;
      }
    } catch (error) {
      if (!(error instanceof NbdConnectionError)) throw error;
      this.lose(error);
    }
    return !this.#isLost;
  }

  #receivedElsewhere(bytes: Uint8Array): boolean {
    for (let done = 0; done < bytes.length && !this.#isLost; ) {
      const window = this.#window();
      const size = Math.min(window.length, bytes.length - done);
      window.set(bytes.subarray(done, done + size));
      this.#received(size);
      done += size;
    }
    return !this.#isLost;
  }

  /** Once nothing is read any more: the caller is still in the middle of a read. */
  #startTls(tls: TlsUpgrade): void {
    this.#isEncrypting = true;
    this.#options.clock.defer(() => {
      if (this.#isLost) return;
      assert(this.#transport.encrypt !== undefined, 'TLS is wanted where there is no socket');
      this.#transport.encrypt(tls, (failure) => {
        if (failure !== null) this.lose(new NbdConnectionError(`TLS: ${failure}`));
        if (this.#isLost) return;
        this.#isEncrypting = false;
        this.#handshake.continueEncrypted();
        this.#transport.resume();
      });
    });
  }

  /** The handshake is over; bytes behind it are the first replies. */
  #begin(): void {
    this.#deadline?.cancel();
    const result = this.#handshake.result as T;
    const form = (result as Partial<ClientNegotiated> | null)?.form ?? 'simple';
    const replies = new ReplyReader({
      chunks: form === 'simple' ? null : form === 'structured' ? STRUCTURED : EXTENDED,
      inbox: this.#inbox,
      find: (high, low) => this.#slots.find(high, low),
      done: (request) => this.#answered(request),
    });
    this.#replies = replies;
    this.#sender = new RequestSender({
      transport: this.#transport,
      clock: this.#options.clock,
      extended: form === 'extended',
      onSent: () => this.#sent(),
    });
    this.#options.onReady(result);
    replies.advance();
  }

  #answered(request: ClientRequest): void {
    this.#answers += 1;
    if (request.sentThrough > this.#sender!.sentThrough) {
      if (request.isAnswered) throw new NbdConnectionError('Server answered a request twice');
      request.isAnswered = true;
      this.#answeredEarly += 1;
      return;
    }
    this.#slots.remove(request);
    request.onEnd(request);
  }

  /** Something has left: requests that were answered too early can come back. */
  #sent(): void {
    if (this.#answeredEarly === 0) return;
    for (const request of this.#slots.answered()) {
      if (request.sentThrough > this.#sender!.sentThrough || this.#isLost) continue;
      this.#answeredEarly -= 1;
      this.#slots.remove(request);
      request.onEnd(request);
    }
  }

  #closed(): void {
    this.#isClosed = true;
    if (this.#isLost) this.#options.onClosed?.();
    else this.lose(new NbdConnectionError('Connection was lost'));
  }
}

function nothing(): void {}
