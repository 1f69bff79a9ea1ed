/** Replies of one connection, in the form that was negotiated, from outcomes to the reply queue. */

import { NBD_ERROR_TEXT_BYTES_MAX, NBD_PAYLOAD_BYTES_ADVERTISED } from '../base/limits.ts';
import type { PooledBuffer } from './buffer-pool.ts';
import {
  type Cookie,
  DATA_CHUNK_PREFIX_SIZE,
  encodeDataChunkPrefix,
  encodeErrorChunk,
  encodeNoneChunk,
  encodeSimpleReply,
  errorChunkSize,
} from './codec/reply-codec.ts';
import { CHUNK_HEADER_SIZE, commandName, SIMPLE_REPLY_SIZE } from './constants.ts';
import { errorText } from './printable.ts';
import type { ReplyQueue } from './reply-queue.ts';

/** A READ with its data, which stand in the reply's buffer behind room for the headers. */
export interface ReadReply extends Cookie {
  readonly offset: number;
  readonly length: number;
  readonly replyStart: number;
}

export class ReplyWriter {
  readonly #queue: ReplyQueue;
  readonly #structured: boolean;

  constructor(queue: ReplyQueue, structuredReplies: boolean) {
    this.#queue = queue;
    this.#structured = structuredReplies;
  }

  /** The longest piece of a READ's data behind one header. */
  get readPieceMax(): number {
    return this.#structured ? NBD_PAYLOAD_BYTES_ADVERTISED : Number.POSITIVE_INFINITY;
  }

  /** Bytes of the reply to a READ of `length` bytes. */
  readReplySize(length: number): number {
    if (!this.#structured) return SIMPLE_REPLY_SIZE + length;
    return length + DATA_CHUNK_PREFIX_SIZE * Math.ceil(length / NBD_PAYLOAD_BYTES_ADVERTISED);
  }

  /** Where in its reply the data of a READ stand that follow the first `done` bytes. */
  dataStart(done: number): number {
    if (!this.#structured) return SIMPLE_REPLY_SIZE + done;
    return done + DATA_CHUNK_PREFIX_SIZE * (1 + Math.floor(done / NBD_PAYLOAD_BYTES_ADVERTISED));
  }

  /** Success of anything but a READ: simple replies are short, and always allowed for it. */
  success(cookie: Cookie): void {
    this.#simple(cookie, 0);
  }

  /** Success of a READ of no bytes. */
  nothingRead(cookie: Cookie): void {
    if (!this.#structured) {
      this.#simple(cookie, 0);
      return;
    }
    const at = this.#queue.reserve(CHUNK_HEADER_SIZE);
    encodeNoneChunk(this.#queue.reserved.view, at, cookie);
    this.#queue.push(this.#queue.reserved, at, CHUNK_HEADER_SIZE);
  }

  /** Success of a READ whose data are in `buffer`; takes over the caller's hold of it. */
  data(buffer: PooledBuffer, read: ReadReply): void {
    const { length, replyStart } = read;
    if (this.#structured) {
      for (let done = 0; done < length; done += NBD_PAYLOAD_BYTES_ADVERTISED) {
        const size = Math.min(length - done, NBD_PAYLOAD_BYTES_ADVERTISED);
        const at = replyStart + this.dataStart(done) - DATA_CHUNK_PREFIX_SIZE;
        const chunk = { offset: read.offset + done, length: size, done: done + size === length };
        encodeDataChunkPrefix(buffer.view, at, read, chunk);
      }
    } else {
      encodeSimpleReply(buffer.view, replyStart, read, 0);
    }
    this.#queue.push(buffer, replyStart, this.readReplySize(length));
  }

  /** `detail` is for people, where it is known and replies can carry it. */
  error(cookie: Cookie, command: number, error: number, detail: string | null): void {
    if (!this.#structured) {
      this.#simple(cookie, error);
      return;
    }
    const text = errorText(detail ?? `${commandName(command)} failed`, NBD_ERROR_TEXT_BYTES_MAX);
    const size = errorChunkSize(text.length);
    const at = this.#queue.reserve(size);
    const buffer = this.#queue.reserved;
    const textAt = encodeErrorChunk(buffer.view, at, cookie, { error, textSize: text.length });
    buffer.bytes.set(text, textAt);
    this.#queue.push(buffer, at, size);
  }

  #simple(cookie: Cookie, error: number): void {
    const at = this.#queue.reserve(SIMPLE_REPLY_SIZE);
    encodeSimpleReply(this.#queue.reserved.view, at, cookie, error);
    this.#queue.push(this.#queue.reserved, at, SIMPLE_REPLY_SIZE);
  }
}
