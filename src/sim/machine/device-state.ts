/**
 * What a device holds at the instant of a power cut, and every contents that may come of it.
 *
 * Sectors have their fates independently of each other, unless the device writes larger units
 * atomically, so that the values one sector may end with can be listed without listing all states.
 */

import { SECTOR_SIZE } from '../../base/units.ts';
import type { DeviceProfile } from '../../fault/device-profile.ts';
import { type Fate, permittedFate, type UnflushedWrite } from '../../fault/unflushed-write.ts';

export interface DeviceState {
  readonly name: string;
  readonly durable: Uint8Array;
  readonly unflushed: readonly UnflushedWrite[];
  readonly profile: DeviceProfile;
}

/**
 * The device's bytes after the power event, if the writes have these fates (one each, in order).
 */
export function contentsAfter(state: DeviceState, fates: readonly Fate[]): Uint8Array {
  const bytes = state.durable.slice();
  for (const [index, write] of state.unflushed.entries()) {
    const fate = permittedFate(write, fates[index] ?? 'lost', state.profile);
    write.forEachSurvivingRun(fate, (sector, _count, data) =>
      bytes.set(data, sector * SECTOR_SIZE),
    );
  }
  return bytes;
}

/** Every value that one sector may hold after the power event. */
export function possibleSectors(state: DeviceState, sector: number): Uint8Array[] {
  const offset = sector * SECTOR_SIZE;
  const values = [state.durable.subarray(offset, offset + SECTOR_SIZE)];
  for (const write of state.unflushed) {
    if (write.touches(sector)) values.push(write.sectorData(sector));
  }
  return values;
}

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  const leftWords = new Uint32Array(left.buffer, left.byteOffset, left.length / 4);
  const rightWords = new Uint32Array(right.buffer, right.byteOffset, right.length / 4);
  for (let index = 0; index < leftWords.length; index++) {
    if (leftWords[index] !== rightWords[index]) return false;
  }
  return true;
}
