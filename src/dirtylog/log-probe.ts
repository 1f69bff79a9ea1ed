/**
 * What lies on a device before it becomes a log. The disk log itself takes anything for a new log
 * and overwrites it, as the kernel does; whoever starts a mirror for a person asks here first, so
 * that a mistyped path costs nobody a file system.
 */

import { type IoResult, OK } from '../base/errno.ts';
import { LOG_PROBE_BYTES } from '../base/limits.ts';
import { bytesToSectors, sectorsToBytes } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { runBio } from '../block/run-bio.ts';
import {
  decodeLogHeader,
  describeLogHeader,
  LOG_HEADER_BYTES,
  type LogHeader,
  validateLogHeader,
} from './log-header.ts';

/**
 * - `blank`: zeros, as far as was looked; a new log.
 * - `log`: a log that will be believed.
 * - `foreign-version`: a log that will be overwritten, all regions dirty.
 * - `foreign`: something else: text, a file system, a leg.
 * - `unreadable`: nobody knows.
 */
export type LogContents = 'blank' | 'log' | 'foreign-version' | 'foreign' | 'unreadable';

export interface LogProbe {
  readonly contents: LogContents;
  /** Null where it could not be read. */
  readonly header: LogHeader | null;
  /** Why it could not be read, 0 where it could. */
  readonly result: IoResult;
  /** For people, e.g. `magic 0x4d695272, version 2, 16 regions`. */
  readonly description: string;
}

export async function probeLog(device: BlockDevice): Promise<LogProbe> {
  const blockSectors = device.logicalBlockSize / 512;
  const sectors = Math.min(device.sizeSectors, bytesToSectors(LOG_PROBE_BYTES));
  const count = bytesToSectors(Math.floor(sectors / blockSectors) * device.logicalBlockSize);
  const data = new Uint8Array(sectorsToBytes(count));
  if (data.length < LOG_HEADER_BYTES) {
    return { contents: 'foreign', header: null, result: OK, description: 'no room for a header' };
  }
  const result = await runBio(device, { op: 'read', count, data });
  if (result !== OK) {
    return { contents: 'unreadable', header: null, result, description: 'cannot be read' };
  }
  const header = decodeLogHeader(data);
  const verdict = validateLogHeader(header);
  const description = describeLogHeader(header);
  if (verdict !== 'foreign-magic') {
    const contents = verdict === 'foreign-version' ? verdict : 'log';
    return { contents, header, result, description };
  }
  // Some file systems leave their first sectors empty, so the header alone does not tell.
  const isBlank = data.every((byte) => byte === 0);
  return isBlank
    ? { contents: 'blank', header, result, description: 'blank' }
    : { contents: 'foreign', header, result, description };
}
