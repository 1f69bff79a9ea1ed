/**
 * The words that core and disk logs have in common: region size, then `sync` or `nosync`
 * (specification 1.2, 1.3, 1.4 rows 4b and 4c). Counterpart: the shared constructor of `dm-log`.
 */

import { EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { LOG_REGIONS_MAX, REGION_SIZE_SECTORS_MIN } from '../base/limits.ts';
import { quoted } from '../base/printable.ts';
import { isPowerOfTwo, type SectorCount, toSectorCount } from '../base/units.ts';
import { parseUnsigned, U32_MAX } from '../dm/parse-number.ts';

/**
 * `sync` copies everything, `nosync` trusts all legs to be equal, null believes what the log says.
 */
export type SyncWord = 'sync' | 'nosync' | null;

export interface LogArgs {
  readonly regionSizeSectors: SectorCount;
  readonly regionCount: number;
  readonly syncWord: SyncWord;
}

export interface LogArgsInput {
  /** The log type, for messages. */
  readonly type: string;
  /** One or two words: the region size and perhaps the sync word. */
  readonly args: readonly string[];
  readonly targetSectors: SectorCount;
}

/** @throws UserError naming the word and the requirement; the sync word is looked at first. */
export function parseLogArgs({ type, args, targetSectors }: LogArgsInput): LogArgs {
  const [sizeWord, syncWord] = args;
  if (sizeWord === undefined || args.length > 2) throw wrongCount(type, args.length);
  if (syncWord !== undefined && syncWord !== 'sync' && syncWord !== 'nosync') {
    throw logError(type, 'log-sync-word', {
      problem: `sync word is ${quoted(syncWord)}, must be sync or nosync, or absent`,
      kernelMessage: `unrecognised sync argument to dirty region log: ${syncWord}`,
    });
  }
  const regionSizeSectors = parseRegionSize(type, sizeWord, targetSectors);
  const regionCount = Math.ceil(targetSectors / regionSizeSectors);
  if (regionCount > LOG_REGIONS_MAX) {
    throw logError(type, 'log-region-count', {
      problem:
        `${targetSectors} sectors in regions of ${regionSizeSectors} are ${regionCount} regions, ` +
        `must be at most ${LOG_REGIONS_MAX}`,
      hint: 'Use a larger region size.',
    });
  }
  return { regionSizeSectors, regionCount, syncWord: syncWord ?? null };
}

/** The error for a wrong number of log words (specification 1.4, row 4a). */
export function wrongCount(type: string, count: number): UserError {
  const form =
    type === 'disk' ? '<log device> <region size> [sync|nosync]' : '<region size> [sync|nosync]';
  return logError(type, 'log-arguments', {
    problem: `${count} log ${count === 1 ? 'argument is' : 'arguments are'} given, must be ${form}`,
    kernelMessage:
      type === 'disk'
        ? 'wrong number of arguments to disk dirty region log'
        : 'wrong number of arguments to dirty region log',
  });
}

interface LogProblem {
  readonly problem: string;
  readonly kernelMessage?: string;
  readonly hint?: string;
}

/** Every refusal of a log is EINVAL to whoever loads the table. */
export function logError(type: string, code: string, { problem, ...rest }: LogProblem): UserError {
  return new UserError(code, `Cannot create mirror log ${quoted(type)}: ${problem}`, {
    errno: EINVAL,
    ...rest,
  });
}

function parseRegionSize(type: string, word: string, targetSectors: SectorCount): SectorCount {
  const size = parseUnsigned(word, U32_MAX);
  const kernelMessage = `invalid region size ${word}`;
  const fail = (problem: string, hint?: string): never => {
    const advice = hint === undefined ? {} : { hint };
    throw logError(type, 'log-region-size', { problem, kernelMessage, ...advice });
  };
  if (size === null) {
    return fail(`region size is ${quoted(word)}, must be a decimal number of sectors below 2^32`);
  }
  if (size < REGION_SIZE_SECTORS_MIN || !isPowerOfTwo(size)) {
    return fail(
      `region size is ${size} sectors, must be a power of two >= ${REGION_SIZE_SECTORS_MIN}`,
    );
  }
  if (size > targetSectors) {
    return fail(
      `region size is ${size} sectors, must be at most the target's length of ${targetSectors}`,
      'Use a smaller region size or a longer target.',
    );
  }
  return toSectorCount(size);
}
