/**
 * Units of the block layer, branded so that they do not mix with each other, nor with bytes.
 *
 * All are non-negative integers below 2^53. A *sector* is always 512 bytes, whatever the block size
 * of a device (specification 0, "Conventions"). Conversions between units live here and nowhere
 * else.
 */

import { unreachable } from './assert.ts';

declare const unit: unique symbol;

/** A position on a device, in sectors of 512 bytes. */
export type Sector = number & { readonly [unit]: 'sector' };
/** A length, in sectors of 512 bytes. */
export type SectorCount = number & { readonly [unit]: 'sector-count' };
/** The number of a region of a mirror: (sector - target start) / region size, rounded down. */
export type Region = number & { readonly [unit]: 'region' };

export const SECTOR_SIZE = 512;

function natural(value: number, what: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  unreachable(`${what} is ${value}, must be 0 to 2^53-1`);
}

export function toSector(value: number): Sector {
  return natural(value, 'Sector') as Sector;
}

export function toSectorCount(value: number): SectorCount {
  return natural(value, 'Sector count') as SectorCount;
}

export function toRegion(value: number): Region {
  return natural(value, 'Region') as Region;
}

/** The sector `count` sectors behind `sector`. */
export function sectorAfter(sector: Sector, count: number): Sector {
  return (sector + count) as Sector;
}

export function sectorsToBytes(count: SectorCount): number {
  return count * SECTOR_SIZE;
}

/** Whole sectors in `bytes`; a rest is dropped, as the kernel does for a device of odd size. */
export function bytesToSectors(bytes: number): SectorCount {
  return Math.floor(bytes / SECTOR_SIZE) as SectorCount;
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

export function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && 2 ** Math.round(Math.log2(value)) === value;
}
