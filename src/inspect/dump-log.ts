/**
 * A disk log shown offline: its header, its bits as ranges, its counts, and everything odd about
 * it. Read-only; made for logs of any origin: ours, a kernel's, LVM's, or no log at all.
 */

import type { Bitset } from '../base/bitset.ts';
import { EIO, errnoName, OK } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { bytesToSectors, roundUp, sectorsToBytes } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { runBio } from '../block/run-bio.ts';
import {
  decodeLogHeader,
  describeLogHeader,
  type HeaderVerdict,
  LOG_BITSET_OFFSET,
  LOG_HEADER_BYTES,
  LOG_REGIONS_UNKNOWN,
  type LogHeader,
  logImageBytes,
  trustedRegions,
  validateLogHeader,
} from '../dirtylog/log-header.ts';
import { bitCapacity, readBits } from './log-bits.ts';
import { formatRange, type RegionRange, RegionRanges } from './region-ranges.ts';

export type NoteLevel = 'info' | 'warning' | 'error';

export interface Note {
  readonly level: NoteLevel;
  readonly text: string;
}

export type RegionWord = 'clean' | 'dirty';

export interface LogDump {
  readonly name: string;
  readonly sizeBytes: number;
  readonly header: LogHeader;
  readonly verdict: HeaderVerdict;
  /** Regions whose bits a mirror would believe at its next start, as far as the device has them. */
  readonly regionCount: number;
  readonly cleanCount: number;
  readonly dirtyCount: number;
  readonly ranges: readonly RegionRange<RegionWord>[];
  /** Ranges that are counted but not listed. */
  readonly unlistedRanges: number;
  readonly notes: readonly Note[];
}

export interface DumpLogOptions {
  /** Show this many regions, where the log itself does not know how many it has. */
  readonly regionCount?: number;
}

/** @throws UserError where the device is too short for a header, or cannot be read. */
export async function dumpLog(device: BlockDevice, options: DumpLogOptions = {}): Promise<LogDump> {
  const head = await readHead(device);
  const header = decodeLogHeader(head);
  const verdict = validateLogHeader(header);
  const isBelieved = verdict === 'valid' || verdict === 'old-version';
  const claimed = isBelieved ? trustedRegions(header) : 0;
  const wanted = Math.min(options.regionCount ?? claimed, claimed);
  const regionCount = Math.min(wanted, bitCapacity(device));
  const notes = [...noteHeader(header, verdict, head), ...noteSize(device, wanted)];

  const ranges = new RegionRanges<RegionWord>((a, b) => a === b);
  const bitCount = Math.min(roundUp(regionCount, 64), bitCapacity(device));
  let cleanCount = 0;
  let paddingCount = 0;
  const result = await readBits(device, bitCount, (piece, firstBit) => {
    const end = Math.max(0, Math.min(piece.size, regionCount - firstBit));
    cleanCount += addRuns(ranges, piece, firstBit, end);
    for (let bit = piece.findNextOne(end); bit < piece.size; bit = piece.findNextOne(bit + 1)) {
      paddingCount += 1;
    }
  });
  if (result !== OK) throw unreadable(device, result);
  if (paddingCount > 0) {
    const text = `${paddingCount} padding bits behind the last region are set; a start clears them`;
    notes.push({ level: 'info', text });
  }
  const finished = ranges.finish();
  return {
    name: device.name,
    sizeBytes: sectorsToBytes(device.sizeSectors),
    header,
    verdict,
    regionCount,
    cleanCount,
    dirtyCount: regionCount - cleanCount,
    ranges: finished.ranges,
    unlistedRanges: finished.unlisted,
    notes,
  };
}

export interface FormatLogOptions {
  /** Ranges printed, all where absent. */
  readonly rangesMax?: number;
}

/** The dump as lines for people, each ended. */
export function formatLogDump(dump: LogDump, options: FormatLogOptions = {}): string {
  const lines = [
    `log      ${dump.name} (${dump.sizeBytes} bytes)`,
    `header   ${describeLogHeader(dump.header)}`,
    `regions  ${dump.regionCount}: ${dump.cleanCount} clean, ${dump.dirtyCount} dirty`,
  ];
  const shown = dump.ranges.slice(0, options.rangesMax ?? dump.ranges.length);
  for (const range of shown) lines.push(`  ${range.label}  ${formatRange(range)}`);
  const hidden = dump.ranges.length - shown.length + dump.unlistedRanges;
  if (hidden > 0) lines.push(`  and ${hidden} more ranges`);
  for (const note of dump.notes) lines.push(`${note.level}: ${note.text}`);
  return `${lines.join('\n')}\n`;
}

/** The dump as an object that JSON can hold; the stored count is a string, since it has 64 bits. */
export function logDumpToJson(dump: LogDump): object {
  const { header, ranges, ...rest } = dump;
  return {
    ...rest,
    header: {
      magic: header.magic,
      version: header.version,
      regionCount: String(header.regionCount),
    },
    ranges: ranges.map(({ first, last, label }) => ({ first, last, state: label })),
  };
}

/** Adds the runs among the first `size` bits of a piece; returns how many of them are set. */
function addRuns(
  ranges: RegionRanges<RegionWord>,
  piece: Bitset,
  firstBit: number,
  size: number,
): number {
  let cleanCount = 0;
  for (let bit = 0; bit < size; ) {
    const isClean = piece.test(bit);
    const end = Math.min(size, isClean ? piece.findNextZero(bit) : piece.findNextOne(bit));
    ranges.add(firstBit + bit, firstBit + end - 1, isClean ? 'clean' : 'dirty');
    if (isClean) cleanCount += end - bit;
    bit = end;
  }
  return cleanCount;
}

async function readHead(device: BlockDevice): Promise<Uint8Array> {
  const length = roundUp(LOG_BITSET_OFFSET, device.logicalBlockSize);
  const size = sectorsToBytes(device.sizeSectors);
  if (length > size) {
    throw new UserError(
      'log-truncated',
      `Cannot show log "${device.name}": it has ${size} bytes, must have at least ${length}`,
    );
  }
  const data = new Uint8Array(length);
  const result = await runBio(device, { op: 'read', count: bytesToSectors(length), data });
  if (result !== OK) throw unreadable(device, result);
  return data;
}

function unreadable(device: BlockDevice, result: number): UserError {
  return new UserError(
    'log-unreadable',
    `Cannot show log "${device.name}": reading it fails with ${errnoName(result)}`,
    { errno: result === OK ? EIO : result },
  );
}

function noteHeader(header: LogHeader, verdict: HeaderVerdict, head: Uint8Array): Note[] {
  const notes: Note[] = [];
  const rest = head.subarray(LOG_HEADER_BYTES, LOG_BITSET_OFFSET);
  const isBlank = head.every((byte) => byte === 0);
  if (verdict === 'foreign-magic') {
    notes.push(
      isBlank
        ? { level: 'info', text: 'the header is blank: a mirror makes a new log of it' }
        : {
            level: 'error',
            text: 'this is no mirror log: a mirror would overwrite it with a new one',
          },
    );
    return notes;
  }
  if (verdict === 'foreign-version') {
    const text = `version ${header.version} is unknown: each start fails to read it, copies all`;
    notes.push({ level: 'error', text });
  }
  if (verdict === 'old-version') {
    notes.push({ level: 'info', text: 'version 1 is read as version 2, and rewritten as such' });
  }
  if (header.regionCount === LOG_REGIONS_UNKNOWN) {
    const text = 'the number of regions is left open, as LVM prepares logs: every bit is believed';
    notes.push({ level: 'info', text });
  } else if (header.regionCount >= 2n ** 32n) {
    const used = trustedRegions(header);
    const text = `only the low 32 bits of the number of regions are used: ${used}`;
    notes.push({ level: 'warning', text });
  }
  if (trustedRegions(header) === 0) {
    notes.push({ level: 'warning', text: 'no region is recorded: a mirror starts with all dirty' });
  }
  if (rest.some((byte) => byte !== 0)) {
    notes.push({ level: 'info', text: 'bytes 16 to 1023 are not zero; they mean nothing' });
  }
  return notes;
}

function noteSize(device: BlockDevice, regionCount: number): Note[] {
  const size = sectorsToBytes(device.sizeSectors);
  const needed = logImageBytes(regionCount, device.logicalBlockSize);
  // 2^32-1 regions are a manner of speaking, see above.
  if (needed <= size || regionCount === 2 ** 32 - 1) return [];
  const text = `truncated: ${regionCount} regions need ${needed} bytes, there are ${size}`;
  return [{ level: 'error', text }];
}
