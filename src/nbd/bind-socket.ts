/**
 * Makes a server listen on a unix socket or on TCP, with errors for people.
 *
 * A unix socket is created for its owner only. A path that is taken is probed: where nobody answers
 * the socket is left over from a crash and is reclaimed; where somebody does, that is an error.
 */

import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { UserError } from '../base/failure.ts';
import { UNIX_SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';
import { printable } from '../base/printable.ts';

/** Connections that the kernel completes before we take them. */
const BACKLOG = 511;
/** Bits that a new unix socket does not get: all but reading and writing by its owner. */
const SOCKET_UMASK = 0o177;

const HINT_TAKEN = 'Stop the server that is there, or choose another address.';

/** @throws UserError when the path is too long, is no socket, or is in use. */
export async function listenOnUnixSocket(server: Server, path: string): Promise<void> {
  const size = Buffer.byteLength(path);
  const where = `Cannot listen on "${printable(path, 120)}"`;
  if (size === 0 || size > UNIX_SOCKET_PATH_BYTES_MAX) {
    throw new UserError(
      'socket-path-too-long',
      `${where}: path has ${size} bytes, must have 1 to ${UNIX_SOCKET_PATH_BYTES_MAX}`,
      { hint: 'Choose a shorter path, or one relative to the current directory.' },
    );
  }
  // Node calls this a lack of permission.
  if (!existsSync(dirname(path))) {
    throw new UserError('listen-failed', `${where}: folder does not exist, must be there`);
  }
  await reclaimStaleSocket(path, where);
  await listening(server, where, () => {
    const umask = process.umask(SOCKET_UMASK);
    try {
      server.listen({ path, backlog: BACKLOG });
    } finally {
      process.umask(umask);
    }
  });
}

/** Port 0 takes a free one. @throws UserError when host or port cannot be had. */
export async function listenOnTcp(server: Server, host: string, port: number): Promise<void> {
  const where = `Cannot listen on ${printable(host)}:${port}`;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new UserError('port-invalid', `${where}: port is ${port}, must be 0 to 65535`);
  }
  await listening(server, where, () => server.listen({ host, port, backlog: BACKLOG }));
}

/** Takes over a socket that listens already. @throws UserError */
export function listenOnDescriptor(server: Server, fd: number): Promise<void> {
  return listening(server, `Cannot listen on descriptor ${fd}`, () => server.listen({ fd }));
}

function listening(server: Server, where: string, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = explain(error);
      const hint = error.code === 'EADDRINUSE' ? { hint: HINT_TAKEN } : {};
      reject(new UserError('listen-failed', `${where}: ${reason}`, { ...hint, cause: error }));
    });
    server.once('listening', () => {
      server.removeAllListeners('error');
      // Failing to accept one connection (out of descriptors, say) leaves the others alone.
      server.on('error', () => {});
      resolve();
    });
    listen();
  });
}

function explain(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'address is in use, must be free';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'ENOENT':
      return 'folder does not exist';
    case 'ENOTFOUND':
    case 'EADDRNOTAVAIL':
      return 'host is no address of this machine';
    default:
      return error.message;
  }
}

async function reclaimStaleSocket(path: string, where: string): Promise<void> {
  for (;;) {
    const found = lstatSync(path, LSTAT);
    if (found === undefined) return;
    if (!found.isSocket()) {
      throw new UserError(
        'socket-path-taken',
        `${where}: path is no socket, must be free or a socket`,
      );
    }
    const answer = await probe(path);
    if (answer !== 'refused') {
      throw new UserError('socket-in-use', `${where}: ${ANSWERS[answer]}, must be free`, {
        hint: HINT_TAKEN,
      });
    }
    // Another server that starts may have been quicker: then it is its socket, and no longer stale.
    const now = lstatSync(path, LSTAT);
    if (now?.ino !== found.ino || now.ctimeNs !== found.ctimeNs) continue;
    try {
      unlinkSync(path);
    } catch (error) {
      const reason = explain(error as NodeJS.ErrnoException);
      throw new UserError('listen-failed', `${where}: a socket left there stays: ${reason}`, {
        cause: error,
      });
    }
    return;
  }
}

const LSTAT = { bigint: true, throwIfNoEntry: false } as const;

const ANSWERS = {
  accepted: 'a server is listening there',
  forbidden: "another user's socket is there",
} as const;

/** Only a clear refusal means that nobody listens there. */
function probe(path: string): Promise<keyof typeof ANSWERS | 'refused'> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve('accepted');
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve('refused');
      else resolve(code === 'EACCES' || code === 'EPERM' ? 'forbidden' : 'accepted');
    });
  });
}
