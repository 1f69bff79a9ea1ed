/**
 * How a running log server is asked for what it knows: JSON over HTTP on a unix socket beside the
 * one for mirrors, its name with `.status` behind.
 */

import { createServer, request, type Server } from 'node:http';
import { errnoName, errnoOfError } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import type { LogDescription } from '../../cluster/served-log.ts';
import { listenOnUnixSocket } from '../../nbd/bind-socket.ts';

const ANSWER_MS_MAX = 10_000;

/** What is told of the log server itself. */
export interface LogServerStatus {
  readonly pid: number;
  readonly version: string;
  /** Null for one that serves this node alone. */
  readonly cluster: ClusterStatus | null;
  /** Requests since the start, by name. */
  readonly requests: Readonly<Record<string, number>>;
  readonly logs: readonly LogStatus[];
}

export interface ClusterStatus {
  readonly node: string;
  readonly etcd: readonly string[];
  /** Of the node's lease; 0: it is lost, and no mirror is answered. */
  readonly leaseRemainingMs: number;
  readonly leaseMs: number;
  /** What etcd does not do, and why; null while it does what it is asked. */
  readonly problem: string | null;
  /** Since the start: all, those that found something else than expected, and those unanswered. */
  readonly transactions: number;
  readonly conflicts: number;
  readonly unknown: number;
}

export interface LogStatus {
  readonly uuid: string;
  /** As hexadecimal digits. */
  readonly luid: string;
  readonly state: 'suspended' | 'resumed';
  readonly isConnected: boolean;
  readonly log: LogDescription;
}

export class StatusSocket {
  readonly #server: Server;

  constructor(status: () => Promise<LogServerStatus>) {
    this.#server = createServer((incoming, response) => {
      if (incoming.method !== 'GET' || incoming.url !== '/status') {
        response.writeHead(404).end();
        return;
      }
      void status().then((found) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(found));
      });
    });
  }

  /** @throws UserError where it cannot listen. */
  listen(logSocket: string): Promise<void> {
    return listenOnUnixSocket(this.#server, statusPath(logSocket));
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

/** @throws UserError when no log server answers there. */
export async function askLogServer(logSocket: string): Promise<LogServerStatus> {
  const socketPath = statusPath(logSocket);
  try {
    return JSON.parse(await get(socketPath)) as LogServerStatus;
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'no JSON' : errnoName(errnoOfError(error));
    throw new UserError(
      'no-log-server',
      `Cannot ask the log server at "${logSocket}": ${reason}, must be a running nbd-mirror logd`,
      { hint: 'Name its socket with --socket, or in NBD_MIRROR_LOG_SERVER.', cause: error },
    );
  }
}

function get(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/status', timeout: ANSWER_MS_MAX }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve(body));
      response.on('error', reject);
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer')));
    asked.on('error', reject);
    asked.end();
  });
}

function statusPath(logSocket: string): string {
  return `${logSocket}.status`;
}
