/**
 * Replies of a server, in whatever form was negotiated and in any order: bytes in, answered
 * requests out. No sockets here.
 *
 * The server is hostile. Every length is held against what it may be before anything is made of
 * it: content must lie inside the READ that it answers, must not overlap what has come before, and
 * must be complete when the reply ends; whatever has no place costs the connection (NBD protocol,
 * 4.2, 5, 9 and 15.2).
 *
 * Large content of a READ is received where it belongs; small content goes through the inbox.
 */

import { assert } from '../../base/assert.ts';
import {
  type ChunkForm,
  decodeChunkHeader,
  decodeErrorPayload,
  decodeHolePayload,
  decodeSimpleReply,
} from '../codec/reply-codec.ts';
import { decodeStatusPayload } from '../codec/status-codec.ts';
import {
  CHUNK_ERROR_BIT,
  CHUNK_OFFSET_SIZE,
  CHUNKS,
  COMMANDS,
  SIMPLE_REPLY_SIZE,
  STRING_SIZE_MAX,
} from '../constants.ts';
import type { ClientRequest } from './client-request.ts';
import type { Inbox } from './inbox.ts';
import { NbdConnectionError } from './nbd-error.ts';
import { cover, isCovered } from './read-coverage.ts';

/** Content from this size on is received into its place. */
const DIRECT_BYTES_MIN = 2 ** 13;
/** An error with the longest text, and an offset. */
const ERROR_PAYLOAD_MAX = 6 + STRING_SIZE_MAX + CHUNK_OFFSET_SIZE;
/** 2^18 extents of the wide kind; servers are asked to send 2^20 at most, and send far fewer. */
const STATUS_PAYLOAD_MAX = 2 ** 22;

export interface ReplyReaderOptions {
  /** Null: replies are simple. */
  readonly chunks: ChunkForm | null;
  readonly inbox: Inbox;
  /** The request of a cookie; undefined when there is none. */
  find(cookieHigh: number, cookieLow: number): ClientRequest | undefined;
  /** The answer is complete. */
  done(request: ClientRequest): void;
}

/** A payload that is being received: content of a READ, or a list of extents. */
interface Payload {
  request: ClientRequest | null;
  data: Uint8Array;
  at: number;
  end: number;
  /** The type of its chunk when it is a list of extents; else 0. */
  statusType: number;
  /** The reply ends with it. */
  isLast: boolean;
}

const NOTHING = Buffer.alloc(0);

export class ReplyReader {
  readonly #chunks: ChunkForm | null;
  readonly #inbox: Inbox;
  readonly #options: ReplyReaderOptions;
  readonly #payload: Payload = {
    request: null,
    data: NOTHING,
    at: 0,
    end: 0,
    statusType: 0,
    isLast: false,
  };
  /** The last window was the payload's own place. */
  #isDirect = false;
  #isStopped = false;

  constructor(options: ReplyReaderOptions) {
    this.#options = options;
    this.#chunks = options.chunks;
    this.#inbox = options.inbox;
  }

  /** Where the next received bytes are to be placed. */
  window(): Uint8Array {
    const { request, data, at, end } = this.#payload;
    this.#isDirect =
      request !== null && this.#inbox.available === 0 && end - at >= DIRECT_BYTES_MIN;
    return this.#isDirect ? data.subarray(at, end) : this.#inbox.window();
  }

  /**
   * `size` bytes are in the last window.
   *
   * @throws NbdConnectionError when the server breaks the protocol.
   */
  received(size: number): void {
    if (this.#isDirect) {
      this.#payload.at += size;
      assert(this.#payload.at <= this.#payload.end, 'More bytes were received than had room');
    } else {
      this.#inbox.received(size);
    }
    this.advance();
  }

  /** Looks at nothing any more: the connection is over. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Looks at everything that is in the inbox. @throws NbdConnectionError as above. */
  advance(): void {
    while (!this.#isStopped && this.#advanceOne()) {
      // Each step takes a header or a part of a payload.
    }
  }

  #advanceOne(): boolean {
    if (this.#payload.request !== null) return this.#takePayload();
    return this.#chunks === null ? this.#simple() : this.#structured(this.#chunks);
  }

  #takePayload(): boolean {
    const payload = this.#payload;
    const size = Math.min(payload.end - payload.at, this.#inbox.available);
    if (size > 0) {
      payload.data.set(this.#inbox.peek(size), payload.at);
      this.#inbox.consume(size);
      payload.at += size;
    }
    if (payload.at < payload.end) return false;
    const request = payload.request!;
    payload.request = null;
    if (payload.statusType !== 0) takeStatus(request, payload.statusType, payload.data);
    payload.data = NOTHING;
    if (payload.isLast) this.#finish(request);
    return true;
  }

  #simple(): boolean {
    if (this.#inbox.available < SIMPLE_REPLY_SIZE) return false;
    const reply = decodeSimpleReply(this.#inbox.view, this.#inbox.start);
    if (reply === null) throw broken('a reply with a wrong magic');
    const request = this.#find(reply.cookieHigh, reply.cookieLow);
    this.#inbox.consume(SIMPLE_REPLY_SIZE);
    const isRead = request.command === COMMANDS.READ;
    if (isRead && this.#chunks !== null) throw broken('a simple reply to READ, must be chunks');
    request.error = reply.error;
    if (isRead && reply.error === 0 && request.length > 0) {
      cover(request, 0, request.length);
      this.#begin(request, { data: request.data!, at: 0, size: request.length, isLast: true });
    } else {
      this.#finish(request);
    }
    return true;
  }

  #structured(form: ChunkForm): boolean {
    const { available, start, view } = this.#inbox;
    if (available < SIMPLE_REPLY_SIZE) return false;
    if (!form.extended && decodeSimpleReply(view, start) !== null) return this.#simple();
    if (available < form.headerSize) return false;
    const header = decodeChunkHeader(form, view, start);
    if (header === null) throw broken('a reply with a wrong magic');
    const { type, length, done } = header;
    const request = this.#find(header.cookieHigh, header.cookieLow);
    if (form.extended && header.offset !== request.offset) {
      throw broken('a reply with the offset of another request');
    }
    // Types that are looked at whole wait until they are there.
    const whole = wholeSize(type, length, request);
    if (available < form.headerSize + whole) return false;
    this.#inbox.consume(form.headerSize);
    if (type === CHUNKS.OFFSET_DATA) {
      this.#beginData(request, length, done);
      return true;
    }
    if (type === CHUNKS.BLOCK_STATUS || type === CHUNKS.BLOCK_STATUS_EXT) {
      if ((type === CHUNKS.BLOCK_STATUS_EXT) !== form.extended) throw misplaced(type);
      const place = { data: Buffer.allocUnsafe(length), at: 0, size: length, isLast: done };
      this.#begin(request, place, type);
      return true;
    }
    takeSmall(request, type, this.#inbox.peek(length), done);
    this.#inbox.consume(length);
    if (done) this.#finish(request);
    return true;
  }

  /** `length` is that of the chunk's payload, whose first eight bytes are in the inbox. */
  #beginData(request: ClientRequest, length: number, isLast: boolean): void {
    const offset = readOffset(this.#inbox.peek(CHUNK_OFFSET_SIZE));
    this.#inbox.consume(CHUNK_OFFSET_SIZE);
    const at = offset - request.offset;
    const size = length - CHUNK_OFFSET_SIZE;
    requireCover(request, at, size);
    this.#begin(request, { data: request.data!, at, size, isLast });
  }

  #begin(
    request: ClientRequest,
    place: { data: Uint8Array; at: number; size: number; isLast: boolean },
    statusType = 0,
  ): void {
    const payload = this.#payload;
    payload.request = request;
    payload.data = place.data;
    payload.at = place.at;
    payload.end = place.at + place.size;
    payload.isLast = place.isLast;
    payload.statusType = statusType;
  }

  #find(cookieHigh: number, cookieLow: number): ClientRequest {
    const request = this.#options.find(cookieHigh, cookieLow);
    if (request === undefined) throw new NbdConnectionError('Server answered an unknown request');
    return request;
  }

  #finish(request: ClientRequest): void {
    if (request.error === 0 && request.command === COMMANDS.READ && !isCovered(request)) {
      throw broken(`fewer bytes than the ${request.length} that READ asked for`);
    }
    this.#options.done(request);
  }
}

/**
 * How much of the payload must be in the inbox before it is looked at.
 *
 * @throws NbdConnectionError for a chunk that cannot answer this request, or not with this length.
 */
function wholeSize(type: number, length: number, request: ClientRequest): number {
  const { command } = request;
  if ((type & CHUNK_ERROR_BIT) !== 0) {
    if (length > ERROR_PAYLOAD_MAX) throw broken(`an error chunk of ${length} bytes`);
    return length;
  }
  switch (type) {
    case CHUNKS.NONE:
      if (length !== 0) throw broken('a chunk of type NONE that is not empty');
      return 0;
    case CHUNKS.OFFSET_DATA:
      if (command !== COMMANDS.READ) throw misplaced(type);
      if (length <= CHUNK_OFFSET_SIZE) throw broken('a malformed data chunk');
      return CHUNK_OFFSET_SIZE;
    case CHUNKS.OFFSET_HOLE:
      if (command !== COMMANDS.READ) throw misplaced(type);
      if (length !== CHUNK_OFFSET_SIZE + 4) throw broken('a malformed data chunk');
      return length;
    case CHUNKS.BLOCK_STATUS:
    case CHUNKS.BLOCK_STATUS_EXT:
      if (command !== COMMANDS.BLOCK_STATUS) throw misplaced(type);
      if (length > STATUS_PAYLOAD_MAX) throw broken(`a status chunk of ${length} bytes`);
      return 0;
    default:
      throw misplaced(type);
  }
}

/** A chunk of type NONE, a hole, or an error. */
function takeSmall(request: ClientRequest, type: number, payload: Buffer, done: boolean): void {
  if (type === CHUNKS.NONE) {
    if (!done) throw broken('a chunk of type NONE that is not the last');
    return;
  }
  if (type === CHUNKS.OFFSET_HOLE) {
    const hole = decodeHolePayload(payload);
    if (hole === null) throw broken('a malformed data chunk');
    const at = hole.offset - request.offset;
    requireCover(request, at, hole.length);
    request.data!.fill(0, at, at + hole.length);
    return;
  }
  const decoded = decodeErrorPayload(type, payload);
  if (decoded === null || decoded.error === 0) throw broken('a malformed error chunk');
  if (request.error !== 0) return;
  request.error = decoded.error;
  request.text = decoded.text;
}

function takeStatus(request: ClientRequest, type: number, data: Uint8Array): void {
  const status = decodeStatusPayload(type, data as Buffer);
  if (status === null) throw broken('a malformed status chunk');
  if (request.statuses.some(({ contextId }) => contextId === status.contextId)) {
    throw broken('the status of one context twice');
  }
  request.statuses.push(status);
}

function requireCover(request: ClientRequest, at: number, size: number): void {
  if (at < 0 || at + size > request.length) throw broken('data outside the request');
  if (!cover(request, at, at + size)) throw broken('data for the same place twice');
}

function readOffset(bytes: Buffer): number {
  return bytes.readUInt32BE(0) * 2 ** 32 + bytes.readUInt32BE(4);
}

function misplaced(type: number): NbdConnectionError {
  return broken(`a chunk of type ${type} where none belongs`);
}

function broken(what: string): NbdConnectionError {
  return new NbdConnectionError(`Server sent ${what}`);
}
