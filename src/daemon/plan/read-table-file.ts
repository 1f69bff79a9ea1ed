/** The text of a table in a file, or from standard input. */

import { createReadStream } from 'node:fs';
import { errnoName, errnoOfError } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { TABLE_TEXT_MAX } from '../../base/limits.ts';

/**
 * Waits for its end, where somebody types it or sends it through a pipe; signals are served
 * meanwhile.
 *
 * @throws UserError when it cannot be read, or has no end.
 */
export async function readTableFile(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of path === '-' ? process.stdin : createReadStream(path)) {
      chunks.push(chunk);
      bytes += chunk.length;
      // A character may take four; which text is too long is for the parser to say.
      if (bytes > 4 * TABLE_TEXT_MAX) throw tooLong(path);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    const errno = errnoOfError(error);
    throw new UserError('table-file', `Cannot read table file "${path}": ${errnoName(errno)}`, {
      errno,
      cause: error,
    });
  }
  return Buffer.concat(chunks).toString('utf8');
}

function tooLong(path: string): UserError {
  return new UserError(
    'table-file',
    `Cannot read table file "${path}": it goes on behind ${4 * TABLE_TEXT_MAX} bytes, ` +
      `must have at most ${TABLE_TEXT_MAX} characters`,
  );
}
