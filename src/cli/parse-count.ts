/** A number of things, or of seconds, as an option's value. */

import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';

/** @throws UserError naming the option. */
export function parseCount(option: string, text: string): number {
  const count = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(count)) return count;
  throw new UserError('bad-count', `Cannot use ${option}: it is "${text}", must be a whole number`);
}

/** In milliseconds. @throws UserError */
export function parseInterval(text: string): number {
  const seconds = /^[0-9]{1,6}(\.[0-9]{1,3})?$/.test(text) ? Number(text) : 0;
  if (seconds > 0) return seconds * 1000;
  throw new UserError(
    'bad-interval',
    `Cannot watch: --interval is ${quoted(text)}, must be a number of seconds`,
  );
}
