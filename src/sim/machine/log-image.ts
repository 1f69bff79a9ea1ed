/**
 * Reads the stored image of a disk log as the next activation will: what it makes dirty, in what
 * states a power cut may leave a bit. Written from the format (specification 8.1, 8.4), not from
 * our own log.
 */

import { SECTOR_SIZE } from '../../base/units.ts';
import {
  decodeLogHeader,
  LOG_BITSET_OFFSET,
  LOG_VERSION,
  trustedRegions,
  validateLogHeader,
} from '../../dirtylog/log-header.ts';
import { type DeviceState, possibleSectors } from './device-state.ts';
import { type MirrorTable, regionCountOf } from './machine-setup.ts';

/** Regions that an activation with this table must copy. */
export function demandedRegions(log: Uint8Array, table: MirrorTable): Set<number> {
  const regions = new Set<number>();
  // A core log starts from nothing but its sync word.
  const trusted = table.log === 'core' ? 0 : trustedCount(log, table);
  for (let region = 0; region < regionCountOf(table); region++) {
    const clean = region < trusted ? bitOf(log, region) : table.syncWord === 'nosync';
    if (!clean) regions.add(region);
  }
  return regions;
}

/** Every image holds this region dirty, whatever the power cut does to the log device. */
export function surelyDirty(state: DeviceState, table: MirrorTable, region: number): boolean {
  const byte = LOG_BITSET_OFFSET + (region >> 3);
  const sector = Math.floor(byte / SECTOR_SIZE);
  const headers = possibleSectors(state, 0);
  // A header that is not there, or that knows fewer regions, makes the region dirty.
  if (headers.every((header) => trustedCount(header, table) <= region)) {
    return table.syncWord !== 'nosync';
  }
  return possibleSectors(state, sector).every(
    (bytes) => ((bytes[byte % SECTOR_SIZE]! >> (region & 7)) & 1) === 0,
  );
}

/** What is wrong with an image after a resume that reported success; null when nothing is. */
export function imageProblem(log: Uint8Array, table: MirrorTable): string | null {
  const header = decodeLogHeader(log);
  const regions = regionCountOf(table);
  if (validateLogHeader(header) !== 'valid') return `the header is not valid: ${header.magic}`;
  if (header.version !== LOG_VERSION) return `the version is ${header.version}`;
  if (trustedRegions(header) !== regions) {
    return `the header counts ${header.regionCount} regions instead of ${regions}`;
  }
  for (let bit = regions; bit < Math.ceil(regions / 64) * 64; bit++) {
    if (bitOf(log, bit)) return `bit ${bit}, behind the last region, is set`;
  }
  return null;
}

export function dirtyRegions(log: Uint8Array, table: MirrorTable): number[] {
  const dirty: number[] = [];
  for (let region = 0; region < regionCountOf(table); region++) {
    if (!bitOf(log, region)) dirty.push(region);
  }
  return dirty;
}

/** How many of the stored bits count: none under a sync word, or without a valid header. */
function trustedCount(log: Uint8Array, table: MirrorTable): number {
  if (table.syncWord !== undefined) return 0;
  const header = decodeLogHeader(log);
  const verdict = validateLogHeader(header);
  return verdict === 'valid' || verdict === 'old-version' ? trustedRegions(header) : 0;
}

function bitOf(log: Uint8Array, region: number): boolean {
  return ((log[LOG_BITSET_OFFSET + (region >> 3)]! >> (region & 7)) & 1) === 1;
}
