/**
 * Whole-file locks, by flock(2): two servers must not open one leg or log for writing. The lock
 * goes with the open file, so it cannot be left behind by a process that was killed.
 *
 * fs-ext does it where it is installed and could be built; koffi otherwise. Of fs-ext only
 * `flockSync`, and only in the main thread: anything else of it crashes the process once a worker
 * thread exists.
 */

import { readFileSync } from 'node:fs';
import { EAGAIN, errnoOfError, type IoResult, OK } from '../../base/errno.ts';

export type LockKind = 'exclusive' | 'shared';

type Flock = (fd: number, kind: LockKind) => IoResult;

let flock: Promise<Flock> | null = null;

/**
 * Tries to lock; EAGAIN when somebody else holds it. Locks of our own other opens count as others.
 */
export async function lockFile(fd: number, kind: LockKind): Promise<IoResult> {
  flock ??= chooseFlock();
  return (await flock)(fd, kind);
}

async function chooseFlock(): Promise<Flock> {
  try {
    const { flockSync } = await import('fs-ext');
    return (fd, kind) => {
      try {
        flockSync(fd, kind === 'exclusive' ? 'exnb' : 'shnb');
        return OK;
      } catch (error) {
        return errnoOf(error);
      }
    };
  } catch {
    // It is optional: not installed, or installed without leave to build it.
    const { LOCK_EX, LOCK_NB, LOCK_SH, nativeCalls } = await import('./native-calls.ts');
    return (fd, kind) =>
      nativeCalls().flock(fd, (kind === 'exclusive' ? LOCK_EX : LOCK_SH) | LOCK_NB);
  }
}

function errnoOf(error: unknown): IoResult {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'EAGAIN' || code === 'EWOULDBLOCK' ? EAGAIN : errnoOfError(error);
}

/** The process that holds a lock on the file with this inode, as far as the system tells. */
export function lockHolder(inode: number): number | null {
  let table: string;
  try {
    table = readFileSync('/proc/locks', 'utf8');
  } catch {
    return null;
  }
  // 1: FLOCK  ADVISORY  WRITE 15692 00:1b:5 0 EOF
  for (const line of table.split('\n')) {
    const words = line.split(/\s+/);
    const pid = Number(words[4]);
    if (words[1] === 'FLOCK' && words[5]?.endsWith(`:${inode}`) && pid > 0) return pid;
  }
  return null;
}
