/**
 * Our server as a process of its own: the command, started on a unix socket, ready when its
 * pid file is there, and stopped with the test at the latest.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { COMMAND_WORDS } from './command.ts';
import { PlainNbdClient } from './plain-nbd-client.ts';
import { waitUntil } from './wait-until.ts';

export interface ServerOptions {
  /** Where the socket and the pid file go. */
  readonly directory: string;
  /** Arguments of `nbd-mirror serve` beside `--socket` and `--pid-file`. */
  readonly args: readonly string[];
}

interface Ended {
  /** null if a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class ServerProcess {
  readonly socket: string;
  readonly uri: string;
  readonly pid: number;
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #output = '';

  private constructor(child: ChildProcess, socket: string) {
    this.#child = child;
    this.socket = socket;
    this.uri = `nbd+unix:///?socket=${socket}`;
    this.pid = child.pid!;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
      });
    }
    this.ended = new Promise((resolve) => {
      child.once('exit', (status, signal) => resolve({ status, signal }));
    });
  }

  static async start(t: Test, { directory, args }: ServerOptions): Promise<ServerProcess> {
    const socket = join(directory, 'nbd.sock');
    const pidFile = join(directory, 'pid');
    rmSync(pidFile, { force: true });
    const [program, ...words] = COMMAND_WORDS;
    // A test that is killed has no teardown: the server must not outlive it.
    const options = ['serve', '--socket', socket, '--pid-file', pidFile, '--exit-with-parent'];
    const child = spawn(program!, [...words, ...options, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const server = new ServerProcess(child, socket);
    t.teardown(() => server.kill());
    await waitUntil('the server', () => existsSync(pidFile) || server.hasEnded);
    if (server.hasEnded) throw new Error(`The server ended at once:\n${server.output}`);
    return server;
  }

  /** What it has said so far, on both streams. */
  get output(): string {
    return this.#output;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  connect(exportName = ''): Promise<PlainNbdClient> {
    return PlainNbdClient.connect({ path: this.socket }, exportName);
  }

  /** Asks it to stop in good order; throws if it does not. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const { status, signal } = await this.ended;
    if (status === 0) return;
    throw new Error(`The server ended with ${signal ?? `status ${status}`}:\n${this.output}`);
  }

  /** Kills it with -9; of no effect if it has ended. */
  async kill(): Promise<void> {
    if (this.hasEnded) return;
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  /**
   * Has another process kill it with -9 that much later. The test's own timers run when the test
   * has nothing to do, and so when the server has something else to do than at other times.
   */
  async killAfter(delayMs: number): Promise<void> {
    const command = 'sleep "$1"; kill -9 "$2"';
    const args = ['-c', command, 'killer', String(delayMs / 1000), String(this.pid)];
    spawn('bash', args, { stdio: 'ignore' });
    await this.ended;
  }
}
