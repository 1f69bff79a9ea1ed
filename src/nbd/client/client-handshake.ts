/**
 * The client's side of the handshake: bytes in and out for a conversation of options
 * (`negotiation.ts`), from the greeting on, with TLS first where it is wanted. No sockets here.
 *
 * The server is hostile: replies are bounded in size and in number.
 */

import { decodeGreeting, decodeOptionReply, encodeOption } from '../codec/handshake-codec.ts';
import {
  EXPORT_NAME_PADDING,
  GREETING_SIZE,
  HANDSHAKE_FLAGS,
  OPTION_REPLY_HEADER_SIZE,
  OPTIONS,
  optionName,
  STRING_SIZE_MAX,
} from '../constants.ts';
import type { Inbox } from './inbox.ts';
import { NbdConnectionError } from './nbd-error.ts';
import { isFinal, type Negotiation, type OptionAnswer, requireAck } from './negotiation.ts';

/** Replies carry a number and two strings at most. */
const REPLY_DATA_MAX = 2 * STRING_SIZE_MAX + 16;
/** Replies to one option: exports of a list, contexts, infos. */
const REPLIES_MAX = 10_000;
const EXPORT_NAME_ANSWER_SIZE = 10;

export interface ClientHandshakeOptions<T> {
  readonly negotiation: Negotiation<T>;
  readonly send: (bytes: Buffer) => void;
  /** Encrypts the stream; `continueEncrypted` must be called when that is done. Null: no TLS. */
  readonly startTls: (() => void) | null;
}

export class ClientHandshake<T> {
  readonly #options: ClientHandshakeOptions<T>;
  #state: 'greeting' | 'option' | 'starting-tls' | 'done' = 'greeting';
  #noZeroes = false;
  /** The option that is being answered. */
  #option = 0;
  #replies: { type: number; data: Buffer }[] = [];
  #result: T | null = null;

  constructor(options: ClientHandshakeOptions<T>) {
    this.#options = options;
  }

  /** Of the negotiation, once it is over. */
  get result(): T | null {
    return this.#result;
  }

  /** True when the negotiation is over. @throws NbdConnectionError, or what it throws. */
  advance(inbox: Inbox): boolean {
    while (this.#advanceOne(inbox)) {
      // Each step takes the greeting or a reply.
    }
    return this.#state === 'done';
  }

  /** The stream is encrypted now: everything begins anew, with nothing agreed. */
  continueEncrypted(): void {
    this.#next(this.#options.negotiation.next());
  }

  #advanceOne(inbox: Inbox): boolean {
    switch (this.#state) {
      case 'greeting':
        return this.#greeting(inbox);
      case 'option':
        return this.#option === OPTIONS.EXPORT_NAME ? this.#exported(inbox) : this.#reply(inbox);
      default:
        return false;
    }
  }

  #greeting(inbox: Inbox): boolean {
    if (inbox.available < GREETING_SIZE) return false;
    const flags = decodeGreeting(inbox.peek(GREETING_SIZE));
    inbox.consume(GREETING_SIZE);
    if (flags === null || (flags & HANDSHAKE_FLAGS.FIXED_NEWSTYLE) === 0) {
      throw new NbdConnectionError('Server does not speak fixed newstyle NBD');
    }
    // Client flags have the bits of the handshake flags that they answer.
    const answer = flags & (HANDSHAKE_FLAGS.FIXED_NEWSTYLE | HANDSHAKE_FLAGS.NO_ZEROES);
    this.#noZeroes = (answer & HANDSHAKE_FLAGS.NO_ZEROES) !== 0;
    const clientFlags = Buffer.alloc(4);
    clientFlags.writeUInt32BE(answer);
    this.#options.send(clientFlags);
    this.#state = 'option';
    if (this.#options.startTls !== null) this.#ask(OPTIONS.STARTTLS, Buffer.alloc(0));
    else this.#next(this.#options.negotiation.next());
    return true;
  }

  #reply(inbox: Inbox): boolean {
    if (inbox.available < OPTION_REPLY_HEADER_SIZE) return false;
    const header = decodeOptionReply(inbox.peek(OPTION_REPLY_HEADER_SIZE));
    if (header === null || header.length > REPLY_DATA_MAX) {
      throw new NbdConnectionError('Server sent a malformed option reply');
    }
    if (header.option !== this.#option) {
      const asked = optionName(this.#option);
      throw new NbdConnectionError(`Server answered ${optionName(header.option)}, not ${asked}`);
    }
    if (inbox.available < OPTION_REPLY_HEADER_SIZE + header.length) return false;
    inbox.consume(OPTION_REPLY_HEADER_SIZE);
    const reply = { type: header.type, data: Buffer.from(inbox.peek(header.length)) };
    inbox.consume(header.length);
    if (!isFinal(header.type)) {
      this.#replies.push(reply);
      if (this.#replies.length <= REPLIES_MAX) return true;
      throw new NbdConnectionError(`Server sent more than ${REPLIES_MAX} replies to one option`);
    }
    const replies = this.#replies;
    this.#replies = [];
    this.#answered({ replies, final: reply }, inbox);
    return true;
  }

  /** EXPORT_NAME is answered without a frame; a server that does not want just hangs up. */
  #exported(inbox: Inbox): boolean {
    const size = EXPORT_NAME_ANSWER_SIZE + (this.#noZeroes ? 0 : EXPORT_NAME_PADDING);
    if (inbox.available < size) return false;
    const data = Buffer.from(inbox.peek(size));
    inbox.consume(size);
    this.#answered({ replies: [], final: { type: 0, data } }, inbox);
    return true;
  }

  #answered(answer: OptionAnswer, inbox: Inbox): void {
    if (this.#option !== OPTIONS.STARTTLS) {
      this.#next(this.#options.negotiation.next(answer));
      return;
    }
    requireAck(OPTIONS.STARTTLS, answer);
    // Somebody in between put them there, to be taken for what the server says encrypted.
    if (inbox.available > 0) {
      throw new NbdConnectionError('Server sent bytes in the clear behind its consent to TLS');
    }
    this.#state = 'starting-tls';
    this.#options.startTls!();
  }

  #next(step: IteratorResult<{ option: number; data: Uint8Array }, T>): void {
    if (step.done === true) {
      this.#state = 'done';
      this.#result = step.value;
    } else {
      this.#state = 'option';
      this.#ask(step.value.option, step.value.data);
    }
  }

  #ask(option: number, data: Uint8Array): void {
    this.#option = option;
    this.#options.send(encodeOption(option, data));
  }
}
