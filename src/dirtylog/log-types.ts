/**
 * The visible table of log types, and the lookup of the word in a table line (specification 1.1).
 */

import { EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import { coreLogType } from './core-log.ts';
import type { DirtyLogType } from './dirty-log.ts';
import { diskLogType } from './disk-log.ts';

/** The types that need nothing but a target. */
export const LOG_TYPES: readonly DirtyLogType[] = [coreLogType, diskLogType];

/**
 * The type with exactly this name: upper and lower case differ, as in the kernel.
 *
 * @throws UserError naming the word and the types there are (specification 1.4, row 4).
 */
export function findLogType(types: readonly DirtyLogType[], name: string): DirtyLogType {
  const found = types.find((type) => type.name === name);
  if (found !== undefined) return found;
  const known = types.map((type) => type.name);
  const meant = known.find((candidate) => candidate === name.toLowerCase());
  throw new UserError(
    'log-type-unknown',
    `Cannot create mirror log: type is ${quoted(name)}, must be one of ${known.join(', ')}`,
    {
      errno: EINVAL,
      kernelMessage: `Module for logging type "${name}" not found.`,
      ...(meant === undefined ? {} : { hint: `Did you mean "${meant}"?` }),
    },
  );
}
