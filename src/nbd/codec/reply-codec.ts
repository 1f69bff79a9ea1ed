/**
 * Simple replies and chunks, structured and extended: values to bytes for the server, bytes to
 * values for the client. What is in a status chunk is in `status-codec.ts`. Cookies and offsets are
 * two signed 32-bit halves, as in `request-codec.ts`.
 */

import { assert } from '../../base/assert.ts';
import {
  CHUNK_ERROR_BIT,
  CHUNK_HEADER_SIZE,
  CHUNK_OFFSET_SIZE,
  CHUNKS,
  EXTENDED_CHUNK_HEADER_SIZE,
  EXTENDED_REPLY_MAGIC,
  REPLY_FLAG_DONE,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from '../constants.ts';

/** How the chunks of a connection begin. */
export interface ChunkForm {
  readonly extended: boolean;
  readonly headerSize: number;
}

export const STRUCTURED: ChunkForm = { extended: false, headerSize: CHUNK_HEADER_SIZE };
export const EXTENDED: ChunkForm = { extended: true, headerSize: EXTENDED_CHUNK_HEADER_SIZE };

/** Offset and length of a hole. */
const HOLE_PAYLOAD_SIZE = CHUNK_OFFSET_SIZE + 4;

export interface Cookie {
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

/** The request that a chunk answers; only an extended one repeats its offset. */
export interface Answered extends Cookie {
  readonly offsetHigh: number;
  readonly offsetLow: number;
}

/** A chunk that says something about a range of the export. */
export interface RangeChunk {
  readonly offset: number;
  readonly length: number;
  readonly done: boolean;
}

export interface ChunkHeader {
  readonly done: boolean;
  readonly type: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  /** Of the request; 0 in a structured chunk, which does not carry it. */
  readonly offset: number;
  /** Of the payload. */
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
export function encodeNoneChunk(
  form: ChunkForm,
  view: DataView,
  at: number,
  request: Answered,
): void {
  encodeChunkHeader(form, view, at, request, REPLY_FLAG_DONE, CHUNKS.NONE, 0);
}

/** The size of an OFFSET_DATA chunk up to its data. */
export function dataChunkPrefixSize(form: ChunkForm): number {
  return form.headerSize + CHUNK_OFFSET_SIZE;
}

/** Header and offset of an OFFSET_DATA chunk; its data follow at `dataChunkPrefixSize`. */
export function encodeDataChunkPrefix(
  form: ChunkForm,
  view: DataView,
  at: number,
  request: Answered,
  chunk: RangeChunk,
): void {
  assert(chunk.length > 0, 'A data chunk without data');
  const flags = chunk.done ? REPLY_FLAG_DONE : 0;
  const payload = CHUNK_OFFSET_SIZE + chunk.length;
  encodeChunkHeader(form, view, at, request, flags, CHUNKS.OFFSET_DATA, payload);
  encodeOffset(view, at + form.headerSize, chunk.offset);
}

export function holeChunkSize(form: ChunkForm): number {
  return form.headerSize + HOLE_PAYLOAD_SIZE;
}

/** An OFFSET_HOLE chunk: a range of a READ that reads as zeroes. */
export function encodeHoleChunk(
  form: ChunkForm,
  view: DataView,
  at: number,
  request: Answered,
  chunk: RangeChunk,
): void {
  assert(chunk.length > 0 && chunk.length < 2 ** 32, `A hole chunk of ${chunk.length} bytes`);
  const flags = chunk.done ? REPLY_FLAG_DONE : 0;
  encodeChunkHeader(form, view, at, request, flags, CHUNKS.OFFSET_HOLE, HOLE_PAYLOAD_SIZE);
  encodeOffset(view, at + form.headerSize, chunk.offset);
  view.setUint32(at + form.headerSize + CHUNK_OFFSET_SIZE, chunk.length);
}

/** `null` when the lengths are wrong. */
export function decodeHolePayload(
  payload: Buffer,
): { readonly offset: number; readonly length: number } | null {
  if (payload.length !== HOLE_PAYLOAD_SIZE) return null;
  const length = payload.readUInt32BE(CHUNK_OFFSET_SIZE);
  if (length === 0) return null;
  return { offset: payload.readUInt32BE(0) * 2 ** 32 + payload.readUInt32BE(4), length };
}

/** The size of an ERROR chunk with a text of so many bytes. */
export function errorChunkSize(form: ChunkForm, textSize: number): number {
  return form.headerSize + 6 + textSize;
}

/**
 * An ERROR chunk that ends its reply; the text follows at its end, which is returned, and is the
 * caller's to place.
 */
export function encodeErrorChunk(
  form: ChunkForm,
  view: DataView,
  at: number,
  request: Answered,
  error: { readonly error: number; readonly textSize: number },
): number {
  assert(error.error !== 0, 'An error chunk with error 0');
  const payload = 6 + error.textSize;
  encodeChunkHeader(form, view, at, request, REPLY_FLAG_DONE, CHUNKS.ERROR, payload);
  view.setUint32(at + form.headerSize, error.error);
  view.setUint16(at + form.headerSize + 4, error.textSize);
  return at + form.headerSize + 6;
}

export function encodeChunkHeader(
  form: ChunkForm,
  view: DataView,
  at: number,
  request: Answered,
  flags: number,
  type: number,
  length: number,
): void {
  view.setUint32(at, form.extended ? EXTENDED_REPLY_MAGIC : STRUCTURED_REPLY_MAGIC);
  view.setUint16(at + 4, flags);
  view.setUint16(at + 6, type);
  view.setInt32(at + 8, request.cookieHigh);
  view.setInt32(at + 12, request.cookieLow);
  if (form.extended) {
    view.setInt32(at + 16, request.offsetHigh);
    view.setInt32(at + 20, request.offsetLow);
    view.setUint32(at + 24, 0);
    view.setUint32(at + 28, length);
  } else {
    view.setUint32(at + 16, length);
  }
}

/** `null` when the magic is another. */
export function decodeChunkHeader(form: ChunkForm, view: DataView, at: number): ChunkHeader | null {
  const magic = form.extended ? EXTENDED_REPLY_MAGIC : STRUCTURED_REPLY_MAGIC;
  if (view.getUint32(at) !== magic) return null;
  const wide = (start: number): number =>
    view.getUint32(start) * 2 ** 32 + view.getUint32(start + 4);
  return {
    done: (view.getUint16(at + 4) & REPLY_FLAG_DONE) !== 0,
    type: view.getUint16(at + 6),
    cookieHigh: view.getInt32(at + 8),
    cookieLow: view.getInt32(at + 12),
    offset: form.extended ? wide(at + 16) : 0,
    length: form.extended ? wide(at + 24) : view.getUint32(at + 16),
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

function encodeOffset(view: DataView, at: number, offset: number): void {
  view.setUint32(at, Math.floor(offset / 2 ** 32));
  view.setUint32(at + 4, offset % 2 ** 32);
}
