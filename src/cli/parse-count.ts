/** A number of things, as an option's value. */

import { UserError } from '../base/failure.ts';

/** @throws UserError naming the option. */
export function parseCount(option: string, text: string): number {
  const count = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(count)) return count;
  throw new UserError('bad-count', `Cannot use ${option}: it is "${text}", must be a whole number`);
}
