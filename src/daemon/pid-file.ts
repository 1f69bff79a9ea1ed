/** The file that says which process serves: there, and complete, once the server is ready. */

import { readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { errnoName, errnoOfError } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';

/** @throws UserError when it cannot be written. */
export function writePidFile(path: string, pid: number): void {
  const part = `${path}.${pid}`;
  try {
    writeFileSync(part, `${pid}\n`);
    // Whoever waits for the file must not find it empty.
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    const errno = errnoOfError(error);
    throw new UserError(
      'pid-file',
      `Cannot write pid file "${path}": ${errnoName(errno)}, must be in a writable directory`,
      { errno, cause: error },
    );
  }
}

/** Removes it, if it is still ours. */
export function removePidFile(path: string, pid: number): void {
  try {
    if (readFileSync(path, 'utf8').trim() === String(pid)) unlinkSync(path);
  } catch {
    // Somebody has removed it already.
  }
}
