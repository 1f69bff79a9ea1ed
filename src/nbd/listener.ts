/**
 * One listening socket: TCP, unix, or one that a parent opened for us.
 *
 * A unix socket is created for its owner only. A path that is taken is probed: where nobody answers
 * the socket is left over from a crash and is reclaimed; where somebody does, that is an error.
 */

import { fstatSync, lstatSync, readFileSync, unlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { UserError } from '../base/failure.ts';
import { UNIX_SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';
import { printable } from './printable.ts';
import { SocketTransport } from './socket-transport.ts';
import type { ListenAddress, Transport } from './transport.ts';

/** Connections that the kernel completes before we take them. */
const BACKLOG = 511;
/** Bits that a new unix socket does not get: all but reading and writing by its owner. */
const SOCKET_UMASK = 0o177;

export class Listener {
  readonly address: ListenAddress;
  readonly #server: Server;

  private constructor(server: Server, address: ListenAddress) {
    this.#server = server;
    this.address = address;
  }

  /** @throws UserError when the path is too long, is no socket, or is in use. */
  static async unix(path: string, onTransport: (transport: Transport) => void): Promise<Listener> {
    const size = Buffer.byteLength(path);
    const where = `Cannot listen on "${printable(path, 120)}"`;
    if (size === 0 || size > UNIX_SOCKET_PATH_BYTES_MAX) {
      throw new UserError(
        'socket-path-too-long',
        `${where}: path has ${size} bytes, must have 1 to ${UNIX_SOCKET_PATH_BYTES_MAX}`,
        { hint: 'Choose a shorter path, or one relative to the current directory.' },
      );
    }
    await reclaimStaleSocket(path, where);
    const server = makeServer(onTransport);
    await listening(server, where, () => {
      const umask = process.umask(SOCKET_UMASK);
      try {
        server.listen({ path, backlog: BACKLOG });
      } finally {
        process.umask(umask);
      }
    });
    return new Listener(server, { kind: 'unix', path });
  }

  /** Port 0 takes a free one. @throws UserError when host or port cannot be had. */
  static async tcp(
    host: string,
    port: number,
    onTransport: (transport: Transport) => void,
  ): Promise<Listener> {
    const where = `Cannot listen on ${printable(host)}:${port}`;
    if (!Number.isInteger(port) || port < 0 || port > 65_535) {
      throw new UserError('port-invalid', `${where}: port is ${port}, must be 0 to 65535`);
    }
    const server = makeServer(onTransport);
    await listening(server, where, () => server.listen({ host, port, backlog: BACKLOG }));
    return new Listener(server, addressOf(server));
  }

  /** A socket that listens already, at descriptor `fd` (socket activation). */
  static async fd(fd: number, onTransport: (transport: Transport) => void): Promise<Listener> {
    const server = makeServer(onTransport);
    await listening(server, `Cannot listen on descriptor ${fd}`, () => server.listen({ fd }));
    // Of a unix socket that it did not bind itself, Node does not know the path.
    const address = server.address() === null ? unixAddressOf(fd) : addressOf(server);
    return new Listener(server, address);
  }

  /** Accepts no more, and removes the path of a unix socket. */
  close(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

function makeServer(onTransport: (transport: Transport) => void): Server {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.on('connection', (socket) => {
    // A client may be gone before we look; its error must not end the process.
    socket.on('error', () => {});
    onTransport(SocketTransport.accept(socket));
  });
  return server;
}

function listening(server: Server, where: string, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = explain(error);
      reject(new UserError('listen-failed', `${where}: ${reason}`, { cause: error }));
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
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) {
    throw new UserError(
      'socket-path-taken',
      `${where}: path is no socket, must be free or a socket`,
    );
  }
  if (await isAnswered(path)) {
    throw new UserError('socket-in-use', `${where}: a server is listening there, must be free`, {
      hint: 'Stop that server, or choose another path.',
    });
  }
  unlinkSync(path);
}

/** Somebody listens there. Only a clear refusal means that nobody does. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

/** The path is "" where it cannot be found out, as for a socket without a name. */
function unixAddressOf(fd: number): ListenAddress {
  const inode = String(fstatSync(fd).ino);
  // Columns of the kernel's table: six fields, the inode, the path.
  const row = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => line.split(' ').filter((field) => field !== ''))
    .find((fields) => fields[6] === inode);
  return { kind: 'unix', path: row?.slice(7).join(' ') ?? '' };
}

function addressOf(server: Server): ListenAddress {
  const address = server.address() as AddressInfo | string;
  if (typeof address === 'string') return { kind: 'unix', path: address };
  return { kind: 'tcp', host: address.address, port: address.port };
}
