/**
 * Simple replies and structured chunks: values to bytes for the server, bytes to values for the
 * client. Cookies are two signed 32-bit halves, as in `request-codec.ts`.
 */

import { assert } from '../../base/assert.ts';
import {
  CHUNK_ERROR_BIT,
  CHUNK_HEADER_SIZE,
  CHUNK_OFFSET_SIZE,
  CHUNKS,
  REPLY_FLAG_DONE,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from '../constants.ts';

/** A chunk of READ data up to its data. */
export const DATA_CHUNK_PREFIX_SIZE = CHUNK_HEADER_SIZE + CHUNK_OFFSET_SIZE;

export interface Cookie {
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

export interface ChunkHeader {
  readonly done: boolean;
  readonly type: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly length: number;
}

export interface SimpleReply {
  readonly error: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

export function encodeSimpleReply(view: DataView, at: number, cookie: Cookie, error: number): void {
  view.setUint32(at, SIMPLE_REPLY_MAGIC);
  view.setUint32(at + 4, error);
  view.setInt32(at + 8, cookie.cookieHigh);
  view.setInt32(at + 12, cookie.cookieLow);
}

/** `null` when the magic is another. */
export function decodeSimpleReply(view: DataView, at: number): SimpleReply | null {
  if (view.getUint32(at) !== SIMPLE_REPLY_MAGIC) return null;
  return {
    error: view.getUint32(at + 4),
    cookieHigh: view.getInt32(at + 8),
    cookieLow: view.getInt32(at + 12),
  };
}

/** A lone NONE chunk: success without content. */
export function encodeNoneChunk(view: DataView, at: number, cookie: Cookie): void {
  encodeChunkHeader(view, at, cookie, REPLY_FLAG_DONE, CHUNKS.NONE, 0);
}

/** Header and offset of an OFFSET_DATA chunk; its data follow at `DATA_CHUNK_PREFIX_SIZE`. */
export function encodeDataChunkPrefix(
  view: DataView,
  at: number,
  cookie: Cookie,
  chunk: { readonly offset: number; readonly length: number; readonly done: boolean },
): void {
  assert(chunk.length > 0, 'A data chunk without data');
  const flags = chunk.done ? REPLY_FLAG_DONE : 0;
  const payload = CHUNK_OFFSET_SIZE + chunk.length;
  encodeChunkHeader(view, at, cookie, flags, CHUNKS.OFFSET_DATA, payload);
  view.setUint32(at + CHUNK_HEADER_SIZE, Math.floor(chunk.offset / 2 ** 32));
  view.setUint32(at + CHUNK_HEADER_SIZE + 4, chunk.offset % 2 ** 32);
}

/** The size of an ERROR chunk with a text of so many bytes. */
export function errorChunkSize(textSize: number): number {
  return CHUNK_HEADER_SIZE + 6 + textSize;
}

/** An ERROR chunk that ends its reply; the text follows at its end and is the caller's to place. */
export function encodeErrorChunk(
  view: DataView,
  at: number,
  cookie: Cookie,
  error: { readonly error: number; readonly textSize: number },
): number {
  assert(error.error !== 0, 'An error chunk with error 0');
  const payload = 6 + error.textSize;
  encodeChunkHeader(view, at, cookie, REPLY_FLAG_DONE, CHUNKS.ERROR, payload);
  view.setUint32(at + CHUNK_HEADER_SIZE, error.error);
  view.setUint16(at + CHUNK_HEADER_SIZE + 4, error.textSize);
  return at + CHUNK_HEADER_SIZE + 6;
}

function encodeChunkHeader(
  view: DataView,
  at: number,
  cookie: Cookie,
  flags: number,
  type: number,
  length: number,
): void {
  view.setUint32(at, STRUCTURED_REPLY_MAGIC);
  view.setUint16(at + 4, flags);
  view.setUint16(at + 6, type);
  view.setInt32(at + 8, cookie.cookieHigh);
  view.setInt32(at + 12, cookie.cookieLow);
  view.setUint32(at + 16, length);
}

/** `null` when the magic is another. */
export function decodeChunkHeader(view: DataView, at: number): ChunkHeader | null {
  if (view.getUint32(at) !== STRUCTURED_REPLY_MAGIC) return null;
  return {
    done: (view.getUint16(at + 4) & REPLY_FLAG_DONE) !== 0,
    type: view.getUint16(at + 6),
    cookieHigh: view.getInt32(at + 8),
    cookieLow: view.getInt32(at + 12),
    length: view.getUint32(at + 16),
  };
}

/**
 * The error number and text of an ERROR or ERROR_OFFSET chunk; `null` when its lengths are wrong.
 */
export function decodeErrorPayload(
  type: number,
  payload: Buffer,
): { readonly error: number; readonly text: string } | null {
  assert((type & CHUNK_ERROR_BIT) !== 0, `Chunk type ${type} is no error`);
  if (payload.length < 6) return null;
  const textSize = payload.readUInt16BE(4);
  const tail = type === CHUNKS.ERROR_OFFSET ? CHUNK_OFFSET_SIZE : 0;
  if (payload.length !== 6 + textSize + tail) return null;
  return { error: payload.readUInt32BE(0), text: payload.toString('utf8', 6, 6 + textSize) };
}
