/**
 * What simulated sectors hold: bytes that name the write and the sector they were written to, so
 * that whatever is read back can be recognised, and bytes that nobody wrote there are foreign.
 *
 * A sector is 128 little-endian words, each derived from the write's id and the sector's number; a
 * sector torn inside, or copied from another place, matches no id.
 */

import { SECTOR_SIZE } from '../../base/units.ts';

export type WriteId = number;

/** The contents before the first write of a run. */
export const INITIAL_WRITE: WriteId = 0;
/** On leg `n`, in regions that start out of sync: `STALE_BASE + n`. Nobody may ever read it. */
export const STALE_BASE: WriteId = 0x7000_0000;

export type SectorContents = WriteId | 'zeroes' | 'foreign';

/** `count` sectors as write `id` leaves them. */
export function sectorPayload(id: WriteId, sector: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count * SECTOR_SIZE);
  const words = new Uint32Array(bytes.buffer);
  const wordsPerSector = SECTOR_SIZE / 4;
  for (let index = 0; index < count; index++) {
    const seed = Math.imul(id + 1, 0x9e3779b1) ^ Math.imul(sector + index + 1, 0x85ebca6b);
    const first = index * wordsPerSector;
    words[first] = id;
    words[first + 1] = sector + index;
    for (let word = 2; word < wordsPerSector; word++) words[first + word] = seed + word;
  }
  return bytes;
}

/** Whose contents these 512 bytes are, read at `sector`. */
export function identifySector(bytes: Uint8Array, sector: number): SectorContents {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, SECTOR_SIZE / 4);
  const id = words[0]!;
  const seed = Math.imul(id + 1, 0x9e3779b1) ^ Math.imul(sector + 1, 0x85ebca6b);
  if (words[1] === sector && words[2] === (seed + 2) >>> 0) {
    for (let word = 3; word < words.length; word++) {
      if (words[word] !== (seed + word) >>> 0) return 'foreign';
    }
    return id;
  }
  return words.every((word) => word === 0) ? 'zeroes' : 'foreign';
}

/** The contents of each of the sectors in `bytes`, the first of which is `sector`. */
export function identifySectors(bytes: Uint8Array, sector: number): SectorContents[] {
  const contents: SectorContents[] = [];
  for (let at = 0; at < bytes.length; at += SECTOR_SIZE) {
    const one = bytes.subarray(at, at + SECTOR_SIZE);
    contents.push(identifySector(one, sector + at / SECTOR_SIZE));
  }
  return contents;
}
