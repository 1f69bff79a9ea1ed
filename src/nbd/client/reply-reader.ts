/** Replies of a server, simple or in chunks, in any order: bytes in, finished requests out. */

import { NBD_PAYLOAD_BYTES_MAX } from '../../base/limits.ts';
import type { FrameReader } from '../codec/frame-reader.ts';
import {
  decodeChunkHeader,
  decodeErrorPayload,
  decodeSimpleReply,
  STRUCTURED,
} from '../codec/reply-codec.ts';
import {
  CHUNK_ERROR_BIT,
  CHUNK_HEADER_SIZE,
  CHUNK_OFFSET_SIZE,
  CHUNKS,
  SIMPLE_REPLY_MAGIC,
  SIMPLE_REPLY_SIZE,
} from '../constants.ts';
import { NbdConnectionError } from './nbd-error.ts';

/** What a reply is about. */
export interface AwaitedReply {
  readonly offset: number;
  /** Filled by a READ; null for other commands. */
  readonly data: Buffer | null;
  /** Bytes of `data` that have come. */
  dataBytes: number;
  /** The first error of the reply. */
  error: number;
  text: string;
}

export interface ReplyReaderOptions {
  /** READ must be answered in chunks. */
  readonly structuredReplies: boolean;
  find(cookieHigh: number, cookieLow: number): AwaitedReply | undefined;
  /** The reply is complete. */
  done(cookieHigh: number, cookieLow: number): void;
}

export class ReplyReader {
  readonly #options: ReplyReaderOptions;

  constructor(options: ReplyReaderOptions) {
    this.#options = options;
  }

  /**
   * Consumes all complete replies. @throws NbdConnectionError when the server breaks the protocol.
   */
  advance(reader: FrameReader): void {
    while (this.#advanceOne(reader)) {
      // Each reply finishes a request, or adds to one.
    }
  }

  #advanceOne(reader: FrameReader): boolean {
    if (!reader.need(SIMPLE_REPLY_SIZE)) return false;
    const isSimple = reader.buffer.view.getUint32(reader.start) === SIMPLE_REPLY_MAGIC;
    return isSimple ? this.#simple(reader) : this.#chunk(reader);
  }

  #simple(reader: FrameReader): boolean {
    const reply = decodeSimpleReply(reader.buffer.view, reader.start)!;
    const awaited = this.#find(reply.cookieHigh, reply.cookieLow);
    if (awaited.data !== null && this.#options.structuredReplies) {
      throw new NbdConnectionError('Server answered READ with a simple reply, must be chunks');
    }
    const dataSize = reply.error === 0 ? (awaited.data?.length ?? 0) : 0;
    if (!reader.need(SIMPLE_REPLY_SIZE + dataSize)) return false;
    reader.consume(SIMPLE_REPLY_SIZE);
    if (dataSize > 0) reader.peek(dataSize).copy(awaited.data!);
    reader.consume(dataSize);
    awaited.dataBytes = dataSize;
    awaited.error = reply.error;
    this.#options.done(reply.cookieHigh, reply.cookieLow);
    return true;
  }

  #chunk(reader: FrameReader): boolean {
    if (!reader.need(CHUNK_HEADER_SIZE)) return false;
    const header = decodeChunkHeader(STRUCTURED, reader.buffer.view, reader.start);
    if (header === null) throw new NbdConnectionError('Server sent a reply with a wrong magic');
    if (header.length > NBD_PAYLOAD_BYTES_MAX + CHUNK_OFFSET_SIZE) {
      throw new NbdConnectionError(`Server sent a chunk of ${header.length} bytes`);
    }
    if (!reader.need(CHUNK_HEADER_SIZE + header.length)) return false;
    reader.consume(CHUNK_HEADER_SIZE);
    const awaited = this.#find(header.cookieHigh, header.cookieLow);
    takePayload(awaited, header.type, reader.peek(header.length));
    reader.consume(header.length);
    if (header.done) this.#options.done(header.cookieHigh, header.cookieLow);
    return true;
  }

  #find(cookieHigh: number, cookieLow: number): AwaitedReply {
    const awaited = this.#options.find(cookieHigh, cookieLow);
    if (awaited === undefined) throw new NbdConnectionError('Server answered an unknown request');
    return awaited;
  }
}

function takePayload(awaited: AwaitedReply, type: number, payload: Buffer): void {
  if ((type & CHUNK_ERROR_BIT) !== 0) {
    const decoded = decodeErrorPayload(type, payload);
    if (decoded === null) throw new NbdConnectionError('Server sent a malformed error chunk');
    if (awaited.error === 0) {
      awaited.error = decoded.error;
      awaited.text = decoded.text;
    }
    return;
  }
  if (type === CHUNKS.NONE) return;
  const isHole = type === CHUNKS.OFFSET_HOLE;
  if (awaited.data === null || (!isHole && type !== CHUNKS.OFFSET_DATA)) {
    throw new NbdConnectionError(`Server sent a chunk of type ${type} where none belongs`);
  }
  const isComplete = isHole ? payload.length === CHUNK_OFFSET_SIZE + 4 : payload.length > 8;
  if (!isComplete) throw new NbdConnectionError('Server sent a malformed data chunk');
  const at = payload.readUInt32BE(0) * 2 ** 32 + payload.readUInt32BE(4) - awaited.offset;
  const size = isHole
    ? payload.readUInt32BE(CHUNK_OFFSET_SIZE)
    : payload.length - CHUNK_OFFSET_SIZE;
  if (at < 0 || at + size > awaited.data.length) {
    throw new NbdConnectionError('Server sent data outside the request');
  }
  if (isHole) awaited.data.fill(0, at, at + size);
  else payload.copy(awaited.data, at, CHUNK_OFFSET_SIZE);
  awaited.dataBytes += size;
}
