/**
 * Status chunks (NBD protocol, 8.2 and 9): what one context says about a range, extent by extent.
 * Structured replies have 32-bit extents, extended ones 64-bit extents and a count.
 */

import { assert } from '../../base/assert.ts';
import { CHUNKS, REPLY_FLAG_DONE } from '../constants.ts';
import { type Answered, type ChunkForm, encodeChunkHeader } from './reply-codec.ts';

/** So many bytes have this status; what its bits mean is the context's. */
export interface StatusExtent {
  /** More than 0. */
  readonly length: number;
  /** 32 bits. */
  readonly status: number;
}

export interface ContextStatus {
  readonly contextId: number;
  /** At least one, consecutive from the offset of the request. */
  readonly extents: readonly StatusExtent[];
}

export function statusChunkSize(form: ChunkForm, extentCount: number): number {
  return form.headerSize + payloadSize(form, extentCount);
}

export function encodeStatusChunk(
  form: ChunkForm,
  view: DataView,
  at: number,
  request: Answered,
  chunk: ContextStatus & { readonly done: boolean },
): void {
  const { contextId, extents, done } = chunk;
  assert(extents.length > 0, 'A status chunk without an extent');
  const type = form.extended ? CHUNKS.BLOCK_STATUS_EXT : CHUNKS.BLOCK_STATUS;
  const flags = done ? REPLY_FLAG_DONE : 0;
  const size = payloadSize(form, extents.length);
  encodeChunkHeader(form, view, at, request, flags, type, size);
  let next = at + form.headerSize;
  view.setUint32(next, contextId);
  next += 4;
  if (form.extended) {
    view.setUint32(next, extents.length);
    next += 4;
  }
  for (const { length, status } of extents) {
    assert(length > 0, 'A status extent without a length');
    assert(form.extended || length < 2 ** 32, `A status extent of ${length} bytes`);
    if (form.extended) {
      view.setUint32(next, Math.floor(length / 2 ** 32));
      view.setUint32(next + 4, length % 2 ** 32);
      view.setUint32(next + 8, 0);
      view.setUint32(next + 12, status);
      next += 16;
    } else {
      view.setUint32(next, length);
      view.setUint32(next + 4, status);
      next += 8;
    }
  }
}

/**
 * The payload of a chunk of type BLOCK_STATUS or BLOCK_STATUS_EXT; `null` when it is malformed, or
 * has a status of more than 32 bits, which no context of ours has.
 */
export function decodeStatusPayload(type: number, payload: Buffer): ContextStatus | null {
  const isWide = type === CHUNKS.BLOCK_STATUS_EXT;
  assert(isWide || type === CHUNKS.BLOCK_STATUS, `Chunk type ${type} is no status`);
  const start = isWide ? 8 : 4;
  const step = isWide ? 16 : 8;
  if (payload.length < start + step || (payload.length - start) % step !== 0) return null;
  if (isWide && payload.readUInt32BE(4) !== (payload.length - start) / step) return null;
  const extents: StatusExtent[] = [];
  for (let at = start; at < payload.length; at += step) {
    const length = isWide
      ? payload.readUInt32BE(at) * 2 ** 32 + payload.readUInt32BE(at + 4)
      : payload.readUInt32BE(at);
    if (length === 0) return null;
    if (isWide && payload.readUInt32BE(at + 8) !== 0) return null;
    extents.push({ length, status: payload.readUInt32BE(at + step - 4) });
  }
  return { contextId: payload.readUInt32BE(0), extents };
}

function payloadSize(form: ChunkForm, extentCount: number): number {
  return form.extended ? 8 + 16 * extentCount : 4 + 8 * extentCount;
}
