/**
 * Reads the clean bits of a log on a device, offline: piece by piece, never more than asked for,
 * whatever the header claims.
 */

import { Bitset } from '../base/bitset.ts';
import { type IoResult, OK } from '../base/errno.ts';
import { bytesToSectors, roundUp, type Sector, sectorsToBytes } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { runBio } from '../block/run-bio.ts';
import { LOG_BITSET_OFFSET } from '../dirtylog/log-header.ts';

const PIECE_BYTES = 1024 * 1024;

/** How many bits there is room for behind the header. */
export function bitCapacity(device: BlockDevice): number {
  return Math.max(0, sectorsToBytes(device.sizeSectors) - LOG_BITSET_OFFSET) * 8;
}

/**
 * Hands over the first `bitCount` bits in pieces, as bitsets with the number of their first bit;
 * all pieces but the last have a multiple of 64 bits. Stops at the first error.
 */
export async function readBits(
  device: BlockDevice,
  bitCount: number,
  onPiece: (piece: Bitset, firstBit: number) => void,
): Promise<IoResult> {
  const end = LOG_BITSET_OFFSET + Math.ceil(bitCount / 8);
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, roundUp(end, device.logicalBlockSize)));
  for (let from = 0; from < end; from += buffer.length) {
    const available = sectorsToBytes(device.sizeSectors) - from;
    const wanted = Math.min(buffer.length, roundUp(end - from, device.logicalBlockSize), available);
    const data = buffer.subarray(0, wanted);
    const sector = bytesToSectors(from) as number as Sector;
    const count = bytesToSectors(wanted);
    const result = await runBio(device, { op: 'read', sector, count, data });
    if (result !== OK) return result;
    // The first piece has the header in front of it.
    const bits = from === 0 ? data.subarray(LOG_BITSET_OFFSET) : data;
    const firstBit = from === 0 ? 0 : (from - LOG_BITSET_OFFSET) * 8;
    const size = Math.min(bitCount - firstBit, bits.length * 8);
    if (size <= 0) continue;
    const storage = new Uint8Array(Bitset.byteLengthFor(size));
    storage.set(bits.subarray(0, storage.length));
    onPiece(new Bitset(size, storage), firstBit);
  }
  return OK;
}
