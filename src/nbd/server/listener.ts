/** One listening socket of the server: TCP, unix, or one that a parent opened for us. */

import { fstatSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { listenOnDescriptor, listenOnTcp, listenOnUnixSocket } from '../bind-socket.ts';
import { SocketTransport } from '../socket-transport.ts';
import type { ListenAddress, Transport } from '../transport.ts';

export class Listener {
  readonly address: ListenAddress;
  readonly #server: Server;

  private constructor(server: Server, address: ListenAddress) {
    this.#server = server;
    this.address = address;
  }

  /** @throws UserError, see `listenOnUnixSocket`. */
  static async unix(path: string, onTransport: (transport: Transport) => void): Promise<Listener> {
    const server = makeServer(onTransport);
    await listenOnUnixSocket(server, path);
    return new Listener(server, { kind: 'unix', path });
  }

  /** @throws UserError, see `listenOnTcp`. */
  static async tcp(
    host: string,
    port: number,
    onTransport: (transport: Transport) => void,
  ): Promise<Listener> {
    const server = makeServer(onTransport);
    await listenOnTcp(server, host, port);
    return new Listener(server, addressOf(server));
  }

  /** A socket that listens already, at descriptor `fd` (socket activation). */
  static async fd(fd: number, onTransport: (transport: Transport) => void): Promise<Listener> {
    const server = makeServer(onTransport);
    await listenOnDescriptor(server, fd);
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

/** The path is "" where it cannot be found out, as for a socket without a name. */
function unixAddressOf(fd: number): ListenAddress {
  const inode = String(fstatSync(fd).ino);
  // Columns of the kernel's table: six fields, the inode, the path.
  const row = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => line.split(' ').filter((field) => field !== ''))
    .find((fields) => fields[6] === inode);
  const path = row?.slice(7).join(' ') ?? '';
  // That is how the table shows the NUL in front of an abstract one.
  return { kind: 'unix', path: path.replace(/^@/, '\0') };
}

function addressOf(server: Server): ListenAddress {
  const address = server.address() as AddressInfo | string;
  if (typeof address === 'string') return { kind: 'unix', path: address };
  return { kind: 'tcp', host: address.address, port: address.port };
}
