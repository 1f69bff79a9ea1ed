/**
 * Which devices a table uses, for what, and how much of each: known before any of them is opened.
 */

import { SECTOR_SIZE, toSectorCount } from '../../base/units.ts';
import { parseLogArgs as parseDiskLogArgs, type SyncWord } from '../../dirtylog/log-args.ts';
import { logImageBytes } from '../../dirtylog/log-header.ts';
import type { TableLine } from '../../dm/table-line.ts';
import { parseLeg, parseLegCount, parseLogArgs } from '../../mirror/mirror-args.ts';

export interface LegUse {
  readonly role: 'leg';
  readonly device: string;
  /** Uses of one mirror have the same number. */
  readonly mirror: number;
  readonly index: number;
  /** The mirror believes that its legs are equal, whatever they are. */
  readonly isNosync: boolean;
  readonly startSector: number;
  readonly lengthSectors: number;
}

export interface LogUse {
  readonly role: 'log';
  readonly device: string;
  readonly mirror: number;
  readonly regionCount: number;
  readonly regionSizeSectors: number;
  readonly targetSectors: number;
  readonly syncWord: SyncWord;
}

export type DeviceUse = LegUse | LogUse;

/**
 * Uses by mirrors only: other targets are served as they are.
 *
 * @throws UserError for a mirror that no device could make right.
 */
export function devicesOfTable(lines: readonly TableLine[]): DeviceUse[] {
  return lines.filter((line) => line.type === 'mirror' && line.length > 0).flatMap(devicesOfMirror);
}

/** Bytes that the device must have at least. */
export function bytesNeeded(use: DeviceUse): number {
  if (use.role === 'leg') return (use.startSector + use.lengthSectors) * SECTOR_SIZE;
  return logImageBytes(use.regionCount, SECTOR_SIZE);
}

function devicesOfMirror(line: TableLine, mirror: number): DeviceUse[] {
  const { log, rest } = parseLogArgs(line.args);
  const uses: DeviceUse[] = [];
  const [device, ...args] = log.args;
  // A log with wrong words is left to the log itself, which comes first anyway.
  if (log.typeName === 'disk' && device !== undefined && (args.length === 1 || args.length === 2)) {
    const targetSectors = toSectorCount(line.length);
    const parsed = parseDiskLogArgs({ type: 'disk', args, targetSectors });
    uses.push({ role: 'log', device, mirror, targetSectors, ...parsed });
  }
  const isNosync = log.args.at(-1) === 'nosync';
  const legCount = parseLegCount(rest);
  for (let index = 0; index < legCount; index++) {
    const leg = parseLeg(rest, index);
    const place = { startSector: leg.offset, lengthSectors: line.length };
    uses.push({ role: 'leg', device: leg.deviceName, mirror, index, isNosync, ...place });
  }
  return uses;
}
