/**
 * How a running log server is asked for what it knows, and told to forget a log: JSON over HTTP on
 * a unix socket beside the one for mirrors, its name with `.status` behind.
 */

import { createServer, type RequestOptions, request, type Server } from 'node:http';
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

/** How many instances of a log were forgotten, and how many were not: their mirrors are there. */
export interface Forgotten {
  readonly forgotten: number;
  readonly kept: number;
}

export interface StatusAnswers {
  status(): Promise<LogServerStatus>;
  forget(uuid: string): Promise<Forgotten>;
}

const FORGET = '/forget/';

export class StatusSocket {
  readonly #server: Server;

  constructor(answers: StatusAnswers) {
    this.#server = createServer(({ method, url = '' }, response) => {
      const answer = answerOf(answers, method, url);
      if (answer === null) {
        response.writeHead(404).end();
        return;
      }
      void answer.then((found) => {
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

/** Null for what nobody answers. */
function answerOf(
  { status, forget }: StatusAnswers,
  method: string | undefined,
  url: string,
): Promise<unknown> | null {
  if (method === 'GET' && url === '/status') return status();
  if (method !== 'POST' || !url.startsWith(FORGET)) return null;
  try {
    return forget(decodeURIComponent(url.slice(FORGET.length)));
  } catch {
    return null;
  }
}

/** @throws UserError when no log server answers there. */
export async function askLogServer(logSocket: string): Promise<LogServerStatus> {
  return (await ask(logSocket, 'GET', '/status')) as LogServerStatus;
}

/** @throws UserError when no log server answers there, or not in time. */
export async function forgetLog(logSocket: string, uuid: string): Promise<Forgotten> {
  return (await ask(logSocket, 'POST', `${FORGET}${encodeURIComponent(uuid)}`)) as Forgotten;
}

async function ask(logSocket: string, method: string, path: string): Promise<unknown> {
  try {
    return JSON.parse(await get({ socketPath: statusPath(logSocket), method, path }));
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'no JSON' : errnoName(errnoOfError(error));
    throw new UserError(
      'no-log-server',
      `Cannot ask the log server at "${logSocket}": ${reason}, must be a running nbd-mirror logd`,
      { hint: 'Name its socket with --socket, or in NBD_MIRROR_LOG_SERVER.', cause: error },
    );
  }
}

function get(question: RequestOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...question, timeout: ANSWER_MS_MAX }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve(body));
      response.on('error', reject);
    });
    asked.on('timeout', () => {
      asked.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

function statusPath(logSocket: string): string {
  return `${logSocket}.status`;
}
