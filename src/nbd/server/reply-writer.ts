/** Replies of one connection, in the form that was negotiated, from outcomes to the reply queue. */

import { assert } from '../../base/assert.ts';
import { NBD_ERROR_TEXT_BYTES_MAX, NBD_PAYLOAD_BYTES_ADVERTISED } from '../../base/limits.ts';
import type { PooledBuffer } from '../buffer-pool.ts';
import {
  type Answered,
  type ChunkForm,
  type Cookie,
  dataChunkPrefixSize,
  EXTENDED,
  encodeDataChunkPrefix,
  encodeErrorChunk,
  encodeHoleChunk,
  encodeNoneChunk,
  encodeSimpleReply,
  errorChunkSize,
  holeChunkSize,
  type RangeChunk,
  STRUCTURED,
} from '../codec/reply-codec.ts';
import { type ContextStatus, encodeStatusChunk, statusChunkSize } from '../codec/status-codec.ts';
import { commandName, SIMPLE_REPLY_SIZE } from '../constants.ts';
import { errorText } from '../error-text.ts';
import type { ReplyQueue } from './reply-queue.ts';
import type { ReplyStyle } from './reply-style.ts';

/** A READ with its data, which stand in the reply's buffer behind room for the headers. */
export interface ReadReply extends Answered {
  readonly offset: number;
  readonly length: number;
  readonly replyStart: number;
}

export class ReplyWriter {
  readonly #queue: ReplyQueue;
  /** `null`: replies are simple. */
  readonly #form: ChunkForm | null;
  /** What stands before each piece of a READ's data. */
  readonly #prefixSize: number;

  constructor(queue: ReplyQueue, style: ReplyStyle) {
    this.#queue = queue;
    this.#form = style === 'simple' ? null : style === 'extended' ? EXTENDED : STRUCTURED;
    this.#prefixSize = this.#form === null ? SIMPLE_REPLY_SIZE : dataChunkPrefixSize(this.#form);
  }

  /** The longest piece of a READ's data behind one header. */
  get readPieceMax(): number {
    return this.#form === null ? Number.POSITIVE_INFINITY : NBD_PAYLOAD_BYTES_ADVERTISED;
  }

  /** Zeroes can be told without sending them. */
  get hasHoles(): boolean {
    return this.#form !== null;
  }

  /** Bytes of the reply to a READ of `length` bytes. */
  readReplySize(length: number): number {
    if (this.#form === null) return SIMPLE_REPLY_SIZE + length;
    return length + this.#prefixSize * Math.ceil(length / NBD_PAYLOAD_BYTES_ADVERTISED);
  }

  /** Where in its reply the data of a READ stand that follow the first `done` bytes. */
  dataStart(done: number): number {
    if (this.#form === null) return SIMPLE_REPLY_SIZE + done;
    return done + this.#prefixSize * (1 + Math.floor(done / NBD_PAYLOAD_BYTES_ADVERTISED));
  }

  /** Success of anything without content. A simple reply is short, and allowed with structured. */
  success(request: Answered): void {
    if (this.#form?.extended === true) this.nothing(request);
    else this.#simple(request, 0);
  }

  /** Success of a READ of no bytes: in chunks wherever there are any. */
  nothing(request: Answered): void {
    const form = this.#form;
    if (form === null) {
      this.#simple(request, 0);
      return;
    }
    const at = this.#queue.reserve(form.headerSize);
    encodeNoneChunk(form, this.#queue.reserved.view, at, request);
    this.#queue.push(this.#queue.reserved, at, form.headerSize);
  }

  /** Success of a READ whose data are in `buffer`; takes over the caller's hold of it. */
  data(buffer: PooledBuffer, read: ReadReply): void {
    const { length, replyStart } = read;
    const form = this.#form;
    if (form === null) {
      encodeSimpleReply(buffer.view, replyStart, read, 0);
    } else {
      for (let done = 0; done < length; done += NBD_PAYLOAD_BYTES_ADVERTISED) {
        const size = Math.min(length - done, NBD_PAYLOAD_BYTES_ADVERTISED);
        const at = replyStart + this.dataStart(done) - this.#prefixSize;
        const chunk = { offset: read.offset + done, length: size, done: done + size === length };
        encodeDataChunkPrefix(form, buffer.view, at, read, chunk);
      }
    }
    this.#queue.push(buffer, replyStart, this.readReplySize(length));
  }

  /** A part of a READ that reads as zeroes; the last part of it where `done`. */
  hole(request: Answered, chunk: RangeChunk): void {
    const form = this.#form;
    assert(form !== null, 'A hole in a simple reply');
    const size = holeChunkSize(form);
    const at = this.#queue.reserve(size);
    encodeHoleChunk(form, this.#queue.reserved.view, at, request, chunk);
    this.#queue.push(this.#queue.reserved, at, size);
  }

  /** Success of BLOCK_STATUS: a chunk for each context. */
  statuses(request: Answered, statuses: readonly ContextStatus[]): void {
    const form = this.#form;
    assert(form !== null, 'A status in a simple reply');
    for (const [index, status] of statuses.entries()) {
      const size = statusChunkSize(form, status.extents.length);
      const at = this.#queue.reserve(size);
      const chunk = { ...status, done: index === statuses.length - 1 };
      encodeStatusChunk(form, this.#queue.reserved.view, at, request, chunk);
      this.#queue.push(this.#queue.reserved, at, size);
    }
  }

  /** `detail` is for people, where it is known and replies can carry it. */
  error(request: Answered, command: number, error: number, detail: string | null): void {
    const form = this.#form;
    if (form === null) {
      this.#simple(request, error);
      return;
    }
    const text = errorText(detail ?? `${commandName(command)} failed`, NBD_ERROR_TEXT_BYTES_MAX);
    const size = errorChunkSize(form, text.length);
    const at = this.#queue.reserve(size);
    const buffer = this.#queue.reserved;
    const chunk = { error, textSize: text.length };
    const textAt = encodeErrorChunk(form, buffer.view, at, request, chunk);
    buffer.bytes.set(text, textAt);
    this.#queue.push(buffer, at, size);
  }

  #simple(cookie: Cookie, error: number): void {
    const at = this.#queue.reserve(SIMPLE_REPLY_SIZE);
    encodeSimpleReply(this.#queue.reserved.view, at, cookie, error);
    this.#queue.push(this.#queue.reserved, at, SIMPLE_REPLY_SIZE);
  }
}
