/**
 * A mirror's table line taken apart and put together again, for whoever makes another line of it.
 * The line is one that a mirror was made of, or prints as its own.
 */

import type { SyncWord } from '../dirtylog/log-args.ts';
import type { TableLine } from '../dm/table-line.ts';
import {
  type LegArgs,
  type MirrorFeatures,
  parseFeatures,
  parseLeg,
  parseLegCount,
  parseLogArgs,
} from './mirror-args.ts';

export type MirrorLog =
  | { readonly kind: 'core'; readonly regionSize: number; readonly syncWord: SyncWord }
  | {
      readonly kind: 'disk';
      readonly device: string;
      readonly regionSize: number;
      readonly syncWord: SyncWord;
    }
  /** Any other: its words are kept as they are. */
  | { readonly kind: 'other'; readonly typeName: string; readonly args: readonly string[] };

export interface MirrorLine {
  readonly start: number;
  readonly length: number;
  readonly log: MirrorLog;
  readonly legs: readonly LegArgs[];
  readonly features: MirrorFeatures;
}

/** @throws UserError for a line that no mirror was made of. */
export function parseMirrorLine(line: TableLine): MirrorLine {
  const { log, rest } = parseLogArgs(line.args);
  const legCount = parseLegCount(rest);
  return {
    start: line.start,
    length: line.length,
    log: toMirrorLog(log.typeName, log.args),
    legs: Array.from({ length: legCount }, (_, index) => parseLeg(rest, index)),
    features: parseFeatures(rest.slice(1 + legCount * 2)),
  };
}

export function formatMirrorLine({ start, length, log, legs, features }: MirrorLine): TableLine {
  const { typeName, args } = logWords(log);
  const names = [
    ...(features.handleErrors ? ['handle_errors'] : []),
    ...(features.keepLog ? ['keep_log'] : []),
  ];
  return {
    start,
    length,
    type: 'mirror',
    args: [
      typeName,
      `${args.length}`,
      ...args,
      `${legs.length}`,
      ...legs.flatMap(({ deviceName, offset }) => [deviceName, `${offset}`]),
      ...(names.length === 0 ? [] : [`${names.length}`, ...names]),
    ],
  };
}

function toMirrorLog(typeName: string, args: readonly string[]): MirrorLog {
  if (typeName === 'core') {
    return { kind: 'core', regionSize: Number(args[0]), syncWord: toSyncWord(args[1]) };
  }
  if (typeName === 'disk') {
    const [device = '', regionSize, syncWord] = args;
    return {
      kind: 'disk',
      device,
      regionSize: Number(regionSize),
      syncWord: toSyncWord(syncWord),
    };
  }
  return { kind: 'other', typeName, args };
}

function toSyncWord(word: string | undefined): SyncWord {
  return word === 'sync' || word === 'nosync' ? word : null;
}

function logWords(log: MirrorLog): { typeName: string; args: readonly string[] } {
  if (log.kind === 'other') return log;
  const words = [`${log.regionSize}`, ...(log.syncWord === null ? [] : [log.syncWord])];
  return { typeName: log.kind, args: log.kind === 'disk' ? [log.device, ...words] : words };
}
