/**
 * Requests of the transmission phase, compact (28 bytes) and extended (32): to values and back.
 *
 * The cookie is eight opaque bytes, kept as two signed 32-bit halves, which stay small integers in
 * the engine; so is the offset, as an extended reply repeats it. An offset or a length beyond 2^53
 * loses low bits as a number, and is beyond every export all the same.
 */

import { assert } from '../../base/assert.ts';
import { EXTENDED_REQUEST_MAGIC, REQUEST_MAGIC } from '../constants.ts';

export interface RequestFields {
  readonly flags: number;
  readonly command: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly offset: number;
  /** Of the payload, or of the effect. */
  readonly length: number;
}

export class RequestHeader implements RequestFields {
  flags = 0;
  command = 0;
  cookieHigh = 0;
  cookieLow = 0;
  offset = 0;
  /** All 64 bits of the offset. */
  offsetHigh = 0;
  offsetLow = 0;
  length = 0;
}

/** Reads the compact request at `at` into `header`; false when its magic is wrong. */
export function decodeRequest(view: DataView, at: number, header: RequestHeader): boolean {
  if (view.getUint32(at) !== REQUEST_MAGIC) return false;
  decodeUpToLength(view, at, header);
  header.length = view.getUint32(at + 24);
  return true;
}

/** The same for an extended request. */
export function decodeExtendedRequest(view: DataView, at: number, header: RequestHeader): boolean {
  if (view.getUint32(at) !== EXTENDED_REQUEST_MAGIC) return false;
  decodeUpToLength(view, at, header);
  header.length = view.getUint32(at + 24) * 2 ** 32 + view.getUint32(at + 28);
  return true;
}

export function encodeRequest(view: DataView, at: number, header: RequestFields): void {
  assert(header.length < 2 ** 32, `Length is ${header.length}, must be below 2^32`);
  view.setUint32(at, REQUEST_MAGIC);
  encodeUpToLength(view, at, header);
  view.setUint32(at + 24, header.length);
}

/** A payload is announced by the flag PAYLOAD_LEN, which is the caller's to set. */
export function encodeExtendedRequest(view: DataView, at: number, header: RequestFields): void {
  assert(Number.isSafeInteger(header.length), `Length is ${header.length}, must be below 2^53`);
  view.setUint32(at, EXTENDED_REQUEST_MAGIC);
  encodeUpToLength(view, at, header);
  view.setUint32(at + 24, Math.floor(header.length / 2 ** 32));
  view.setUint32(at + 28, header.length % 2 ** 32);
}

/** The payload of BLOCK_STATUS: which of the selected contexts are asked for. */
export interface StatusQuery {
  readonly effectLength: number;
  readonly contextIds: readonly number[];
}

export function encodeStatusQuery(query: StatusQuery): Buffer {
  const bytes = Buffer.allocUnsafe(8 + 4 * query.contextIds.length);
  bytes.writeUInt32BE(Math.floor(query.effectLength / 2 ** 32), 0);
  bytes.writeUInt32BE(query.effectLength % 2 ** 32, 4);
  for (const [index, id] of query.contextIds.entries()) bytes.writeUInt32BE(id, 8 + 4 * index);
  return bytes;
}

/** `null` when the lengths are wrong. */
export function decodeStatusQuery(payload: Buffer): StatusQuery | null {
  if (payload.length < 8 || payload.length % 4 !== 0) return null;
  const contextIds: number[] = [];
  for (let at = 8; at < payload.length; at += 4) contextIds.push(payload.readUInt32BE(at));
  return {
    effectLength: payload.readUInt32BE(0) * 2 ** 32 + payload.readUInt32BE(4),
    contextIds,
  };
}

function decodeUpToLength(view: DataView, at: number, header: RequestHeader): void {
  header.flags = view.getUint16(at + 4);
  header.command = view.getUint16(at + 6);
  header.cookieHigh = view.getInt32(at + 8);
  header.cookieLow = view.getInt32(at + 12);
  header.offsetHigh = view.getInt32(at + 16);
  header.offsetLow = view.getInt32(at + 20);
  header.offset = (header.offsetHigh >>> 0) * 2 ** 32 + (header.offsetLow >>> 0);
}

function encodeUpToLength(view: DataView, at: number, header: RequestFields): void {
  assert(Number.isSafeInteger(header.offset), `Offset is ${header.offset}, must be below 2^53`);
  view.setUint16(at + 4, header.flags);
  view.setUint16(at + 6, header.command);
  view.setInt32(at + 8, header.cookieHigh);
  view.setInt32(at + 12, header.cookieLow);
  view.setUint32(at + 16, Math.floor(header.offset / 2 ** 32));
  view.setUint32(at + 20, header.offset % 2 ** 32);
}
