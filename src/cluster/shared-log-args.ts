/**
 * The words of a shared log: `clustered-core <region size> [sync|nosync] [block_on_error]`, and
 * `clustered-disk <device>` before the same (specification 1.2).
 */

import { EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { SHARED_LOG_REGIONS_MAX } from '../base/limits.ts';
import type { SectorCount } from '../base/units.ts';
import { parseLogArgs, type SyncWord } from '../dirtylog/log-args.ts';
import type { SharedLogConfig } from './cluster-context.ts';
import type { LogCreation } from './served-log.ts';

export type SharedImplementation = 'clustered-core' | 'clustered-disk';

export interface SharedLogArgs {
  readonly implementation: SharedImplementation;
  readonly device: string | null;
  readonly regionSizeSectors: SectorCount;
  readonly regionCount: number;
  readonly syncWord: SyncWord;
  /** As in a table. */
  readonly text: string;
  readonly config: Omit<SharedLogConfig, 'ready' | 'starter'>;
}

/** @throws UserError naming the word and the requirement. */
export function parseSharedLogArgs(
  implementation: SharedImplementation,
  { args, targetSectors }: LogCreation,
): SharedLogArgs {
  const hasDevice = implementation === 'clustered-disk';
  const [device] = args;
  if (hasDevice && (device === undefined || args.length < 2)) {
    throw new UserError(
      'log-arguments',
      `Cannot create log "${implementation}": ${args.length} arguments are given, ` +
        'must be <log device> <region size> [sync|nosync] [block_on_error]',
      { errno: EINVAL },
    );
  }
  const words = hasDevice ? args.slice(1) : args;
  // It is accepted and means nothing, as with cmirrord.
  const rest = words.at(-1) === 'block_on_error' ? words.slice(0, -1) : words;
  const parsed = parseLogArgs({ type: implementation, args: rest, targetSectors });
  if (parsed.regionCount > SHARED_LOG_REGIONS_MAX) {
    throw new UserError(
      'log-region-count',
      `Cannot create log "${implementation}": ${parsed.regionCount} regions, ` +
        `must be at most ${SHARED_LOG_REGIONS_MAX}`,
      { errno: EINVAL, hint: 'Use a larger region size.' },
    );
  }
  const { regionSizeSectors, regionCount, syncWord } = parsed;
  return {
    implementation,
    device: hasDevice ? device! : null,
    regionSizeSectors,
    regionCount,
    syncWord,
    text: [implementation, ...args].join(' '),
    config: { version: 1, implementation, targetSectors, regionSizeSectors },
  };
}
