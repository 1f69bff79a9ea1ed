/**
 * The words of a mirror's table line: parsed to `MirrorArgs`, with every rejection of specification
 * 1.4 that needs no device, in the kernel's order. A rejection is a `UserError` with EINVAL and the
 * kernel's message.
 */

import { EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { LEGS_MAX, LEGS_MIN } from '../base/limits.ts';
import { quoted } from '../base/printable.ts';
import { parseUnsigned, SECTOR_MAX, U32_MAX } from '../dm/parse-number.ts';

export interface LegArgs {
  readonly deviceName: string;
  /** Sectors. */
  readonly offset: number;
}

export interface MirrorFeatures {
  /** Failed writes are held for a new table, and the default leg may move. */
  readonly handleErrors: boolean;
  /** With `handleErrors`: failed writes end successfully, their regions staying out of sync. */
  readonly keepLog: boolean;
}

export interface LogArgs {
  readonly typeName: string;
  readonly args: readonly string[];
}

/** The log's part of the line, and the words behind it. */
export function parseLogArgs(words: readonly string[]): { log: LogArgs; rest: readonly string[] } {
  const [typeName, countWord] = words;
  if (typeName === undefined || countWord === undefined) {
    throw argsError(
      `it has ${words.length} arguments, must begin with LOG_TYPE #LOG_ARGS`,
      'Insufficient mirror log arguments',
    );
  }
  const count = parseUnsigned(countWord, U32_MAX);
  if (count === null) {
    throw argsError(
      `number of log arguments is "${countWord}", must be a decimal number`,
      'Invalid mirror log argument count',
    );
  }
  if (count > words.length - 2) {
    throw argsError(
      `number of log arguments is ${count}, but only ${words.length - 2} words follow`,
      'Insufficient mirror log arguments',
    );
  }
  return { log: { typeName, args: words.slice(2, 2 + count) }, rest: words.slice(2 + count) };
}

/** How many legs the words announce; each has two words. */
export function parseLegCount(words: readonly string[]): number {
  const count = parseUnsigned(words[0], U32_MAX);
  if (count === null || count < LEGS_MIN || count > LEGS_MAX) {
    throw argsError(
      `number of legs is ${quoted(words[0])}, must be ${LEGS_MIN} to ${LEGS_MAX}`,
      'Invalid number of mirrors',
    );
  }
  if (words.length - 1 < count * 2) {
    throw argsError(
      `${count} legs need ${count * 2} words (DEVICE OFFSET each), but ${words.length - 1} follow`,
      'Too few mirror arguments',
    );
  }
  return count;
}

/** One leg of two words; the offset is judged before anybody looks at the device. */
export function parseLeg(words: readonly string[], index: number): LegArgs {
  const deviceName = words[1 + index * 2] ?? '';
  const offsetWord = words[2 + index * 2];
  const offset = parseUnsigned(offsetWord, SECTOR_MAX);
  if (offset === null) {
    throw argsError(
      `offset of leg ${index} is ${quoted(offsetWord)}, must be a number of sectors`,
      'Invalid offset',
    );
  }
  return { deviceName, offset };
}

/** The words behind the legs: nothing, or a count and that many features. */
export function parseFeatures(words: readonly string[]): MirrorFeatures {
  if (words.length === 0) return { handleErrors: false, keepLog: false };
  const count = parseUnsigned(words[0], U32_MAX);
  if (count === null) {
    throw argsError(
      `number of features is ${quoted(words[0])}, must be a decimal number`,
      'Invalid number of features',
    );
  }
  if (count > words.length - 1) {
    throw argsError(
      `number of features is ${count}, but only ${words.length - 1} words follow`,
      'Not enough arguments to support feature count',
    );
  }
  const features = words.slice(1, 1 + count);
  const unknown = features.find((word) => word !== 'handle_errors' && word !== 'keep_log');
  if (unknown !== undefined) {
    throw argsError(
      `feature is ${quoted(unknown)}, must be handle_errors or keep_log`,
      'Unrecognised feature requested',
    );
  }
  const handleErrors = features.includes('handle_errors');
  const keepLog = features.includes('keep_log');
  if (keepLog && !handleErrors) {
    throw argsError(
      'keep_log is given without handle_errors, which it requires',
      'keep_log feature requires the handle_errors feature',
    );
  }
  if (words.length > 1 + count) {
    throw argsError(
      `${quoted(words[1 + count])} follows the last feature, where the line must end`,
      'Too many mirror arguments',
    );
  }
  return { handleErrors, keepLog };
}

/** The feature part of a table status line, with its leading space; "" without features. */
export function formatFeatures({ handleErrors, keepLog }: MirrorFeatures): string {
  const names = [...(handleErrors ? ['handle_errors'] : []), ...(keepLog ? ['keep_log'] : [])];
  return names.length === 0 ? '' : ` ${names.length} ${names.join(' ')}`;
}

function argsError(problem: string, kernelMessage: string): UserError {
  return new UserError('bad-mirror-table', `Cannot create mirror: ${problem}`, {
    kernelMessage,
    errno: EINVAL,
    hint: 'mirror LOG_TYPE #LOG_ARGS LOG_ARG... #LEGS DEVICE OFFSET... [#FEATURES FEATURE...]',
  });
}
