/**
 * A log that may be read and must not be written: a copy of it in memory takes its place, where the
 * mirror notes what it likes, and nobody keeps it.
 */

import { errnoName, OK } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { bytesToSectors, roundUp, sectorsToBytes } from '../../base/units.ts';
import { MemoryDevice } from '../../block/memory-device.ts';
import type { OpenedDevice } from '../../block/open-device.ts';
import { runBio } from '../../block/run-bio.ts';
import { openAnyDevice } from '../devices/any-device.ts';

/** Copies the first `byteCount` bytes, as far as there are so many. @throws UserError */
export async function openLogCopy(name: string, byteCount: number): Promise<OpenedDevice> {
  const device = await openAnyDevice(name, { readOnly: true });
  try {
    const { sizeSectors, logicalBlockSize } = device;
    const wanted = Math.min(roundUp(byteCount, logicalBlockSize), sectorsToBytes(sizeSectors));
    const data = new Uint8Array(wanted);
    const count = bytesToSectors(wanted);
    const result = await runBio(device, { op: 'read', count, data });
    if (result !== OK) {
      throw new UserError(
        'log-unreadable',
        `Cannot use "${name}" as log: reading it fails with ${errnoName(result)}`,
        { errno: result },
      );
    }
    const copy = new MemoryDevice({ name, sizeSectors, logicalBlockSize, sparse: true });
    await runBio(copy, { op: 'write', count, data });
    return copy;
  } finally {
    await device.close();
  }
}
