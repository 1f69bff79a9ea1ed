/**
 * Reads a disk log and legs from outside, as bytes in files; independent of the product's own
 * reader.
 */

import { readFileSync } from 'node:fs';

export const SECTOR = 512;
const HEADER = '7252694d02000000';
const BITS_AT = 1024;

/** For each region, whether the log says that it is clean. Throws for a file that is no log. */
export function readCleanBits(path: string): boolean[] {
  const bytes = readFileSync(path);
  const header = bytes.toString('hex', 0, 8);
  if (header !== HEADER) throw new Error(`${path} is no disk log: it begins with ${header}`);
  const regions = Number(bytes.readBigUInt64LE(8));
  return Array.from(
    { length: regions },
    (_, region) => ((bytes[BITS_AT + (region >> 3)]! >> (region & 7)) & 1) === 1,
  );
}

/** True if the log is one and says that every region is clean. */
export function isAllClean(path: string): boolean {
  return readCleanBits(path).every((clean) => clean);
}

/** The regions in which the files are not the same. */
export function differingRegions(legs: readonly string[], regionBytes: number): number[] {
  const [first, ...others] = legs.map((leg) => readFileSync(leg));
  const regions: number[] = [];
  for (let start = 0; start < first!.length; start += regionBytes) {
    const end = start + regionBytes;
    const part = first!.subarray(start, end);
    if (others.some((leg) => !part.equals(leg.subarray(start, end)))) {
      regions.push(start / regionBytes);
    }
  }
  return regions;
}

/** The regions in which the files differ although the log says that they are clean. */
export function uncoveredRegions(
  legs: readonly string[],
  log: string,
  regionBytes: number,
): number[] {
  const clean = readCleanBits(log);
  return differingRegions(legs, regionBytes).filter((region) => clean[region] !== false);
}
