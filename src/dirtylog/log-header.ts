/**
 * The header of a disk log: encode, decode, validate, describe (specification 8.1).
 *
 * All little-endian: magic at byte 0, version at 4, number of regions at 8. Bytes 16 to 1023 belong
 * to nobody and are kept as they are; the clean bits begin at byte 1024. The format is described
 * for people in docs/internals/disk-log-format.md. Counterpart: `struct log_header`.
 */

import { assert } from '../base/assert.ts';
import { Bitset } from '../base/bitset.ts';
import { roundUp } from '../base/units.ts';

export const LOG_MAGIC = 0x4d695272;
export const LOG_VERSION = 2;
/** The format before version 2 has the same bytes on little-endian machines, and is read as 2. */
const LOG_VERSION_OLD = 1;
export const LOG_HEADER_BYTES = 16;
export const LOG_BITSET_OFFSET = 1024;
/** What LVM writes as the number of regions into a log that it prepares itself. */
export const LOG_REGIONS_UNKNOWN = 2n ** 64n - 1n;

export interface LogHeader {
  readonly magic: number;
  readonly version: number;
  /** As stored, 64 bits. */
  readonly regionCount: bigint;
}

export type HeaderVerdict = 'valid' | 'old-version' | 'foreign-version' | 'foreign-magic';

/** Writes the first 16 bytes of `image`; the others stay. */
export function encodeLogHeader(header: LogHeader, image: Uint8Array): void {
  assert(image.length >= LOG_HEADER_BYTES, `Log header encoded to ${image.length} bytes`);
  const view = viewOf(image);
  view.setUint32(0, header.magic, true);
  view.setUint32(4, header.version, true);
  view.setBigUint64(8, header.regionCount, true);
}

export function decodeLogHeader(image: Uint8Array): LogHeader {
  assert(image.length >= LOG_HEADER_BYTES, `Log header decoded from ${image.length} bytes`);
  const view = viewOf(image);
  return {
    magic: view.getUint32(0, true),
    version: view.getUint32(4, true),
    regionCount: view.getBigUint64(8, true),
  };
}

export function validateLogHeader(header: LogHeader): HeaderVerdict {
  if (header.magic !== LOG_MAGIC) return 'foreign-magic';
  if (header.version === LOG_VERSION) return 'valid';
  return header.version === LOG_VERSION_OLD ? 'old-version' : 'foreign-version';
}

/** The number of regions as the kernel uses it: the low 32 bits (specification 8.4). */
export function trustedRegions(header: LogHeader): number {
  return Number(BigInt.asUintN(32, header.regionCount));
}

/** One line for people. */
export function describeLogHeader(header: LogHeader): string {
  const magic = `magic 0x${header.magic.toString(16).padStart(8, '0')}`;
  const fields = `${magic}, version ${header.version}, ${header.regionCount} regions`;
  switch (validateLogHeader(header)) {
    case 'valid':
      return fields;
    case 'old-version':
      return `${fields} (read as version ${LOG_VERSION})`;
    case 'foreign-version':
      return `${fields} (unknown version: every region counts as dirty)`;
    case 'foreign-magic':
      return `${magic} is not a log's: every region counts as dirty`;
  }
}

/** Bytes that a log of so many regions takes, and transfers at once (specification 8.2). */
export function logImageBytes(regionCount: number, logicalBlockSize: number): number {
  return roundUp(LOG_BITSET_OFFSET + Bitset.byteLengthFor(regionCount), logicalBlockSize);
}

function viewOf(image: Uint8Array): DataView {
  return new DataView(image.buffer, image.byteOffset, image.byteLength);
}
