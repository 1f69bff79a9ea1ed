/**
 * The unix socket before a log server: message after message, in both directions. A stream that
 * makes no sense is cut off; a mirror that does not read its replies is not read either.
 */

import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { LOG_CLIENTS_MAX } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import type { LogClient } from '../../cluster/log-instance.ts';
import type { LogServer } from '../../cluster/log-server.ts';
import {
  encodeUlogMessage,
  type UlogMessage,
  UlogReader,
} from '../../dirtylog/userspace/ulog-codec.ts';
import { listenOnUnixSocket } from '../../nbd/bind-socket.ts';
import { Together } from './together.ts';

export class LogSocket {
  readonly #logServer: LogServer;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #connections = 0;

  constructor(logServer: LogServer, { clock, log }: { clock: Clock; log: Logger }) {
    this.#logServer = logServer;
    this.#clock = clock;
    this.#log = log;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = LOG_CLIENTS_MAX;
  }

  /** @throws UserError where it cannot listen. */
  listen(path: string): Promise<void> {
    return listenOnUnixSocket(this.#server, path);
  }

  /** Removes the socket, and hangs up. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  #accept(socket: Socket): void {
    this.#connections += 1;
    const name = `mirror ${this.#connections}`;
    const reader = new UlogReader();
    const together = new Together(socket, this.#clock);
    const reply = (message: UlogMessage): void => {
      together.send(encodeUlogMessage(message));
      // What it does not read is not let grow.
      if (socket.writableNeedDrain) socket.pause();
    };
    const client: LogClient = { name, reply };
    this.#sockets.add(socket);
    this.#logServer.connected(client);
    this.#log.debug('log server: connected', { client: name });
    socket.on('data', (bytes) => {
      const problem = reader.push(bytes, (message) => this.#logServer.handle(client, message));
      if (problem === null) return;
      this.#log.warn(`log server: not understood: ${problem}`, { client: name });
      socket.destroy();
    });
    socket.on('drain', () => socket.resume());
    socket.on('end', () => {
      if (reader.unfinishedBytes === 0) return;
      const bytes = reader.unfinishedBytes;
      this.#log.warn('log server: cut off in the middle of a message', { client: name, bytes });
    });
    // 'close' follows each of them.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#logServer.disconnected(client);
      this.#log.debug('log server: disconnected', { client: name });
    });
  }
}
