/**
 * The client's side of the handshake: greeting, STRUCTURED_REPLY if wanted, then GO. No sockets
 * here.
 */

import type { FrameReader } from '../codec/frame-reader.ts';
import {
  decodeGreeting,
  decodeOptionReply,
  encodeInfoRequest,
  encodeOption,
} from '../codec/handshake-codec.ts';
import {
  GREETING_SIZE,
  HANDSHAKE_FLAGS,
  INFOS,
  OPTION_ERROR_MIN,
  OPTION_REPLIES,
  OPTION_REPLY_HEADER_SIZE,
  OPTIONS,
  optionName,
  optionReplyName,
  STRING_SIZE_MAX,
} from '../constants.ts';
import { NbdConnectionError } from './nbd-error.ts';

export interface ClientNegotiated {
  size: number;
  transmissionFlags: number;
  structuredReplies: boolean;
  description: string;
  /** Of one payload, in bytes. */
  payloadMax: number;
}

/** Replies of a handshake carry strings at most. */
const REPLY_DATA_MAX = 2 * STRING_SIZE_MAX;

export class ClientHandshake {
  readonly negotiated: ClientNegotiated = {
    size: 0,
    transmissionFlags: 0,
    structuredReplies: false,
    description: '',
    payloadMax: 32 * 2 ** 20,
  };
  readonly #exportName: string;
  readonly #wantsStructured: boolean;
  readonly #send: (bytes: Buffer) => void;
  #state: 'greeting' | 'structured-reply' | 'go' | 'done' = 'greeting';

  constructor(options: {
    readonly exportName: string;
    readonly wantsStructured: boolean;
    readonly send: (bytes: Buffer) => void;
  }) {
    this.#exportName = options.exportName;
    this.#wantsStructured = options.wantsStructured;
    this.#send = options.send;
  }

  /** True when transmission has begun. @throws NbdConnectionError when the server refuses. */
  advance(reader: FrameReader): boolean {
    while (this.#state !== 'done') {
      const advanced = this.#state === 'greeting' ? this.#greeting(reader) : this.#reply(reader);
      if (!advanced) return false;
    }
    return true;
  }

  #greeting(reader: FrameReader): boolean {
    if (!reader.need(GREETING_SIZE)) return false;
    const flags = decodeGreeting(reader.peek(GREETING_SIZE));
    reader.consume(GREETING_SIZE);
    if (flags === null || (flags & HANDSHAKE_FLAGS.FIXED_NEWSTYLE) === 0) {
      throw new NbdConnectionError('Server does not speak fixed newstyle NBD');
    }
    // Client flags have the bits of the handshake flags that they answer.
    const clientFlags = Buffer.alloc(4);
    clientFlags.writeUInt32BE(flags & (HANDSHAKE_FLAGS.FIXED_NEWSTYLE | HANDSHAKE_FLAGS.NO_ZEROES));
    this.#send(clientFlags);
    if (this.#wantsStructured) {
      this.#state = 'structured-reply';
      this.#send(encodeOption(OPTIONS.STRUCTURED_REPLY, Buffer.alloc(0)));
    } else {
      this.#go();
    }
    return true;
  }

  #go(): void {
    this.#state = 'go';
    const infos = [INFOS.DESCRIPTION, INFOS.BLOCK_SIZE];
    this.#send(encodeOption(OPTIONS.GO, encodeInfoRequest(this.#exportName, infos)));
  }

  #reply(reader: FrameReader): boolean {
    if (!reader.need(OPTION_REPLY_HEADER_SIZE)) return false;
    const header = decodeOptionReply(reader.peek(OPTION_REPLY_HEADER_SIZE));
    if (header === null || header.length > REPLY_DATA_MAX) {
      throw new NbdConnectionError('Server sent a malformed option reply');
    }
    if (!reader.need(OPTION_REPLY_HEADER_SIZE + header.length)) return false;
    reader.consume(OPTION_REPLY_HEADER_SIZE);
    const data = Buffer.from(reader.peek(header.length));
    reader.consume(header.length);
    const isStructured = header.option === OPTIONS.STRUCTURED_REPLY;
    if (isStructured) {
      this.negotiated.structuredReplies = header.type === OPTION_REPLIES.ACK;
      this.#go();
    } else if (header.type >= OPTION_ERROR_MIN) {
      const reason = `${optionReplyName(header.type)} ${data.toString()}`.trim();
      throw new NbdConnectionError(`Server refused ${optionName(header.option)}: ${reason}`);
    } else if (header.type === OPTION_REPLIES.INFO) {
      this.#info(data);
    } else if (header.type === OPTION_REPLIES.ACK) {
      this.#state = 'done';
    }
    return true;
  }

  #info(data: Buffer): void {
    const info = data.length >= 2 ? data.readUInt16BE(0) : -1;
    if (info === INFOS.EXPORT && data.length === 12) {
      this.negotiated.size = data.readUInt32BE(2) * 2 ** 32 + data.readUInt32BE(6);
      this.negotiated.transmissionFlags = data.readUInt16BE(10);
    } else if (info === INFOS.DESCRIPTION) {
      this.negotiated.description = data.toString('utf8', 2);
    } else if (info === INFOS.BLOCK_SIZE && data.length === 14) {
      this.negotiated.payloadMax = data.readUInt32BE(10);
    }
  }
}
