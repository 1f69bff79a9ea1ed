/** Reads a mirror's status line as a tool would (specification 7.1). */

import { assert } from '../base/assert.ts';

export interface MirrorStatus {
  readonly legs: readonly string[];
  readonly inSyncRegions: number;
  readonly regions: number;
  /** One letter per leg. */
  readonly health: string;
  /** `core` or `disk`. */
  readonly log: string;
  /** The letter of a log with a device; `-` for others. */
  readonly logHealth: string;
}

export function parseMirrorStatus(line: string): MirrorStatus {
  const words = line.split(' ');
  assert(words[2] === 'mirror', `Not a status line of a mirror: "${line}"`);
  const legCount = Number(words[3]);
  const [ratio, one, health, ...log] = words.slice(4 + legCount);
  const [inSync, regions] = (ratio ?? '').split('/').map(Number);
  assert(one === '1' && health?.length === legCount, `Not a status line of a mirror: "${line}"`);
  assert(Number.isInteger(inSync) && Number.isInteger(regions), `No sync ratio in "${line}"`);
  return {
    legs: words.slice(4, 4 + legCount),
    inSyncRegions: inSync!,
    regions: regions!,
    health,
    log: log[1] ?? '',
    logHealth: log[3] ?? '-',
  };
}
