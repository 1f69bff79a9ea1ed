/** The text of a table in a file, or from standard input. */

import { readFileSync } from 'node:fs';
import { errnoName, errnoOfError } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';

/** @throws UserError when it cannot be read. */
export function readTableFile(path: string): string {
  try {
    // 0 is standard input.
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    const errno = errnoOfError(error);
    throw new UserError('table-file', `Cannot read table file "${path}": ${errnoName(errno)}`, {
      errno,
      cause: error,
    });
  }
}
