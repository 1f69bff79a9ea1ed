/**
 * The control interface of a real process, by hostile HTTP: paths, headers, JSON, streams of
 * events. Whatever comes, each answer is one that the interface knows, and the process goes on.
 */

import { connect, type Socket } from 'node:net';
import { Prng } from '../../src/base/prng.ts';
import { drawControlRequest } from './control-grammar.ts';
import { readBytes, writeBytes } from './episode.ts';
import type { FuzzCase, FuzzTarget } from './fuzz-case.ts';
import { PATIENCE_MS, type ServerUnderFuzz, SharedServer } from './server-under-fuzz.ts';
import { leavingOut, shorterBytes } from './smaller.ts';

const REQUESTS_MAX = 60;
/** How long a client waits that wants to see an answer; `wait` and events may have none. */
const ANSWER_MS = 50;
const VICTIM = {
  device: 'victim',
  table: '0 128 mirror core 1 8 2 memory:a,size=64K 0 memory:b,size=64K 0 1 handle_errors',
};
/** Our own, and those that Node gives by itself to what is no HTTP. */
const STATUSES = [100, 200, 400, 401, 404, 405, 408, 409, 413, 417, 431];
const DEFECT = 'defect';

const shared = new SharedServer([]);

export const CONTROL_TARGET: FuzzTarget = {
  name: 'control',
  about: 'the control interface of a real server process, by hostile HTTP',
  canaries: [DEFECT],
  cost: 20,
  draw: (seed) => {
    const prng = new Prng(seed);
    const drawn = Array.from({ length: prng.between(1, REQUESTS_MAX) }, () => {
      return drawControlRequest(prng);
    });
    const mutated = drawn.filter((one) => one.mutated).length;
    return controlCase(
      drawn.map(({ bytes }) => bytes),
      mutated,
    );
  },
  read: (text) => {
    const lines = text.split('\n').filter((line) => line.startsWith('request '));
    return controlCase(
      lines.map((line) => readBytes(line.slice('request '.length))),
      0,
    );
  },
  close: () => shared.close(),
};

function controlCase(requests: readonly Buffer[], mutated: number): FuzzCase {
  return {
    messages: requests.length,
    mutated,
    play: async (canary) => play(requests, await shared.get(), canary),
    smaller: function* () {
      for (const fewer of leavingOut(requests)) yield controlCase(fewer, 0);
      for (const [at, request] of requests.entries()) {
        for (const shorter of shorterBytes(request))
          yield controlCase(requests.with(at, shorter), 0);
      }
    },
    write: (about) => {
      const lines = requests.map((request) => `request ${writeBytes(request)}\n`);
      return `${about.replace(/^/gm, '# ')}\n${lines.join('')}`;
    },
  };
}

async function play(
  requests: readonly Buffer[],
  server: ServerUnderFuzz,
  canary: string | null,
): Promise<void> {
  await makeVictim(server);
  const clients = requests.map((request) => new HttpClient(server.controlPath, request));
  await Promise.all(clients.map((client) => client.answered));
  for (const client of clients) client.socket.destroy();
  for (const client of clients) {
    const received = Buffer.concat(client.received).toString('latin1');
    judge(canary === DEFECT ? received.replace('HTTP/1.1 404', 'HTTP/1.1 500') : received);
  }
  await cleanUp(server);
  await server.check();
}

/** One connection with one request; what comes back is kept. */
class HttpClient {
  readonly socket: Socket;
  readonly received: Buffer[] = [];
  /** Something came, or the connection ended, or nothing is to be expected any more. */
  readonly answered: Promise<void>;

  constructor(path: string, request: Buffer) {
    this.socket = connect({ path });
    this.answered = new Promise((resolve) => {
      const timer = setTimeout(resolve, ANSWER_MS);
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.socket.on('error', () => {});
      this.socket.on('data', (bytes: Buffer) => {
        this.received.push(bytes);
        done();
      });
      this.socket.on('close', done);
    });
    this.socket.write(request);
  }
}

function judge(received: string): void {
  if (received === '') return;
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(received)?.[1] ?? Number.NaN);
  if (!STATUSES.includes(status)) throw new Error(`an answer begins ${received.slice(0, 300)}`);
  // Whoever sends two requests at once gets two answers.
  const answers = received.split(/(?=HTTP\/1\.1 \d{3} )/);
  if (answers.length > 1) {
    for (const one of answers) judge(one);
    return;
  }
  const [head = '', body = ''] = received.split('\r\n\r\n');
  if (status < 300 || body === '' || !head.includes('application/json')) return;
  const { code, message } = JSON.parse(body) as Record<string, unknown>;
  if (typeof code !== 'string' || typeof message !== 'string' || message === '') {
    throw new Error(`a refusal says ${body.slice(0, 300)}`);
  }
}

/** What clients of an earlier case began may still go on. */
async function makeVictim(server: ServerUnderFuzz): Promise<void> {
  for (;;) {
    const { status, body } = await server.control.call('create', VICTIM, 'json');
    if (status === 200) return;
    if (status !== 409) throw new Error(`create was answered ${status}: ${body}`);
    await cleanUp(server);
  }
}

/** All that was made can be removed again, in whatever state it was left. */
async function cleanUp(server: ServerUnderFuzz): Promise<void> {
  await server.ask('fault-remove', { all: true, fail: true });
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const { left } = (await server.ask('remove_all', { force: true })) as { left: string[] };
    if (left.length === 0) return;
    if (performance.now() > until) throw new Error(`${left.length} devices cannot be removed`);
  }
}
