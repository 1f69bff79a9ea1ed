/**
 * What a log on a device will say of each region when a mirror starts with it: the clean bits after
 * the rules of a resume (specification 8.4), computed offline and without a sync word.
 */

import { Bitset } from '../base/bitset.ts';
import { errnoName, OK } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { bytesToSectors, roundUp } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { runBio } from '../block/run-bio.ts';
import {
  decodeLogHeader,
  type HeaderVerdict,
  LOG_BITSET_OFFSET,
  LOG_REGIONS_UNKNOWN,
  logImageBytes,
  trustedRegions,
  validateLogHeader,
} from '../dirtylog/log-header.ts';
import { bitCapacity, readBits } from './log-bits.ts';

export interface StoredCleanBits {
  /** Set: the region will be believed to be equal on all legs. */
  readonly clean: Bitset;
  /** Number of regions that the log says it has; null where it has none, or leaves it open. */
  readonly loggedRegions: number | null;
  /** Where nothing in it is believed: every region counts as dirty. */
  readonly disbelief: 'blank' | 'foreign' | 'foreign-version' | null;
}

/** @throws UserError where the log cannot be read, or is too short for so many regions. */
export async function readStoredCleanBits(
  device: BlockDevice,
  regionCount: number,
): Promise<StoredCleanBits> {
  const needed = logImageBytes(regionCount, device.logicalBlockSize);
  if (bitCapacity(device) < regionCount) {
    throw new UserError(
      'log-too-small',
      `Cannot read log "${device.name}": ${regionCount} regions need ${needed} bytes, ` +
        `it has ${device.sizeSectors * 512}`,
    );
  }
  const head = new Uint8Array(roundUp(LOG_BITSET_OFFSET, device.logicalBlockSize));
  const headCount = bytesToSectors(head.length);
  let result = await runBio(device, { op: 'read', count: headCount, data: head });
  const clean = new Bitset(regionCount);
  const header = decodeLogHeader(head);
  const verdict = validateLogHeader(header);
  const isBelieved = verdict === 'valid' || verdict === 'old-version';
  if (result === OK && isBelieved) {
    const believed = Math.min(trustedRegions(header), regionCount);
    result = await readBits(device, believed, (piece, firstBit) => {
      clean.bytes.set(piece.bytes, firstBit / 8);
    });
    clean.fillFrom(believed, false);
  }
  if (result !== OK) {
    throw new UserError(
      'log-unreadable',
      `Cannot read log "${device.name}": reading it fails with ${errnoName(result)}`,
      { errno: result },
    );
  }
  const isOpen = header.regionCount === LOG_REGIONS_UNKNOWN;
  return {
    clean,
    loggedRegions: isBelieved && !isOpen ? trustedRegions(header) : null,
    disbelief: isBelieved ? null : disbeliefOf(verdict, head),
  };
}

function disbeliefOf(verdict: HeaderVerdict, head: Uint8Array): StoredCleanBits['disbelief'] {
  if (verdict === 'foreign-version') return 'foreign-version';
  return head.every((byte) => byte === 0) ? 'blank' : 'foreign';
}
