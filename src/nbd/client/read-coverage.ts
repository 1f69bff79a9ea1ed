/**
 * Which bytes of a READ have come: chunks may come in any order, must not overlap, and must cover
 * everything (NBD protocol, 5). Counting bytes is not enough: one chunk twice and another not at
 * all would hand out memory that nobody has written.
 */

import type { ClientRequest } from './client-request.ts';

/** Servers send chunks in order; one that leaves more gaps than this is up to no good. */
const ISLANDS_MAX = 1024;

/** Notes that bytes from `start` to `end` come; false when some of them came before. */
export function cover(request: ClientRequest, start: number, end: number): boolean {
  if (start < request.filled) return false;
  if (request.islands === null) {
    if (start === request.filled) {
      request.filled = end;
    } else {
      request.islands = [{ start, end }];
    }
    return true;
  }
  return coverAmongIslands(request, request.islands, start, end);
}

/** True when all bytes have come. */
export function isCovered(request: ClientRequest): boolean {
  return request.filled === request.length;
}

function coverAmongIslands(
  request: ClientRequest,
  islands: { readonly start: number; readonly end: number }[],
  start: number,
  end: number,
): boolean {
  const found = islands.findIndex((island) => island.end > start);
  const index = found < 0 ? islands.length : found;
  const next = islands[index];
  if (next !== undefined && next.start < end) return false;
  if (islands.length >= ISLANDS_MAX) return false;
  islands.splice(index, 0, { start, end });
  while (islands[0]?.start === request.filled) request.filled = islands.shift()!.end;
  if (islands.length === 0) request.islands = null;
  return true;
}
