/** The unix socket of a log server, from a mirror's side. */

import { connect } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import {
  LogChannel,
  type LogConnection,
  type LogConnectionEvents,
  type LogTransport,
} from '../../dirtylog/userspace/log-channel.ts';
import { Together } from './together.ts';

/** Nothing is connected before a log needs it. */
export function openLogChannel(path: string, options: { clock: Clock; log: Logger }): LogChannel {
  // Of the time of our start and our process: 4096 logs before another process could be met.
  const startedAtMs = BigInt(Math.floor(performance.timeOrigin)) % 2n ** 30n;
  const firstLuid = (startedAtMs << 34n) | (BigInt(process.pid) << 12n);
  return new LogChannel({
    transport: new LogSocketTransport(path, options.clock),
    firstLuid,
    ...options,
  });
}

export class LogSocketTransport implements LogTransport {
  readonly address: string;
  readonly #clock: Clock;

  constructor(path: string, clock: Clock) {
    this.address = path;
    this.#clock = clock;
  }

  connect(events: LogConnectionEvents): Promise<LogConnection | string> {
    return new Promise((resolve) => {
      const socket = connect(this.address);
      let closed = false;
      let reason = 'it closed the connection';
      const together = new Together(socket, this.#clock);
      socket.on('connect', () => {
        resolve({
          send: (bytes) => together.send(bytes),
          close: () => {
            closed = true;
            socket.destroy();
          },
        });
      });
      socket.on('data', (bytes) => {
        if (!closed) events.received(bytes);
      });
      socket.on('error', (error) => {
        reason = error.message;
        resolve(reason);
      });
      // Whatever ended it; without effect where it never began.
      socket.on('close', () => {
        if (!closed) events.closed(reason);
      });
    });
  }
}
