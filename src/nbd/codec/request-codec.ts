/**
 * Compact requests of the transmission phase: 28 bytes to values and back.
 *
 * The cookie is eight opaque bytes, kept as two signed 32-bit halves, which stay small integers in
 * the engine. An offset beyond 2^53 loses low bits, and is beyond every export all the same.
 */

import { assert } from '../../base/assert.ts';
import { REQUEST_MAGIC } from '../constants.ts';

export class RequestHeader {
  flags = 0;
  command = 0;
  cookieHigh = 0;
  cookieLow = 0;
  offset = 0;
  length = 0;
}

/** Reads the request at `at` into `header`; false when its magic is wrong. */
export function decodeRequest(view: DataView, at: number, header: RequestHeader): boolean {
  if (view.getUint32(at) !== REQUEST_MAGIC) return false;
  header.flags = view.getUint16(at + 4);
  header.command = view.getUint16(at + 6);
  header.cookieHigh = view.getInt32(at + 8);
  header.cookieLow = view.getInt32(at + 12);
  header.offset = view.getUint32(at + 16) * 2 ** 32 + view.getUint32(at + 20);
  header.length = view.getUint32(at + 24);
  return true;
}

export function encodeRequest(view: DataView, at: number, header: Readonly<RequestHeader>): void {
  assert(Number.isSafeInteger(header.offset), `Offset is ${header.offset}, must be below 2^53`);
  assert(header.length < 2 ** 32, `Length is ${header.length}, must be below 2^32`);
  view.setUint32(at, REQUEST_MAGIC);
  view.setUint16(at + 4, header.flags);
  view.setUint16(at + 6, header.command);
  view.setInt32(at + 8, header.cookieHigh);
  view.setInt32(at + 12, header.cookieLow);
  view.setUint32(at + 16, Math.floor(header.offset / 2 ** 32));
  view.setUint32(at + 20, header.offset % 2 ** 32);
  view.setUint32(at + 24, header.length);
}
