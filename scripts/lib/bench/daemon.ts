/** Processes beside the servers that are compared: log servers, and etcd. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askLogServer, type LogServerStatus } from '../../../src/daemon/logd/logd-status.ts';
import { startEtcd as startMembers } from '../../../test/support/etcd.ts';
import type { Workbench } from './workbench.ts';

const READY_MS_MAX = 30_000;

export class Daemon {
  readonly #child: ChildProcess;
  readonly #output: string;

  private constructor(child: ChildProcess, output: string) {
    this.#child = child;
    this.#output = output;
  }

  /** Ready when `isReady` says so. */
  static async start(
    words: readonly string[],
    directory: string,
    isReady: (daemon: Daemon) => boolean | Promise<boolean>,
  ): Promise<Daemon> {
    const output = join(directory, 'output');
    const stream = openSync(output, 'w');
    const child = spawn(words[0]!, words.slice(1), { stdio: ['ignore', stream, stream] });
    let failure: Error | null = null;
    child.on('error', (error) => {
      failure = error;
    });
    const daemon = new Daemon(child, output);
    const giveUpAt = performance.now() + READY_MS_MAX;
    while (!(await isReady(daemon))) {
      if (failure !== null) throw failure;
      if (child.exitCode !== null || performance.now() > giveUpAt) {
        daemon.kill();
        throw new Error(`"${words[0]}" did not start:\n${daemon.said}`);
      }
      await sleep(5);
    }
    return daemon;
  }

  get said(): string {
    return readFileSync(this.#output, 'utf8');
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.kill(), 10_000);
    await ended;
    clearTimeout(late);
  }
}

/** One member, in memory; where it takes requests. */
export async function startEtcd(bench: Workbench): Promise<string> {
  const teardown = (task: () => unknown): void => {
    const end = async (): Promise<void> => void (await task());
    bench.keep({ stop: end, kill: () => void end() });
  };
  const [member] = await startMembers({ teardown }, bench.makeDirectory());
  return member!.url;
}

export interface Logd {
  readonly socket: string;
  readonly daemon: Daemon;
  status(): Promise<LogServerStatus>;
}

/** A log server of ours. */
export async function startLogd(bench: Workbench, more: readonly string[] = []): Promise<Logd> {
  const directory = bench.makeDirectory();
  const socket = join(directory, 'socket');
  const words = [process.execPath, 'bin/nbd-mirror', 'logd', '--socket', socket, ...more];
  const daemon = await Daemon.start(words, directory, ({ said }) => said.includes('ready:'));
  bench.keep(daemon);
  return { socket, daemon, status: () => askLogServer(socket) };
}
