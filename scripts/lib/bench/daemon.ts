/** Processes beside the servers that are compared: log servers, and etcd. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askLogServer, type LogServerStatus } from '../../../src/daemon/logd-status.ts';
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
  const [client, peer] = await Promise.all([freeUrl(), freeUrl()]);
  const directory = bench.makeDirectory();
  const words = [
    ...['etcd', '--name', 'bench', '--data-dir', join(directory, 'data')],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
    ...['--initial-cluster', `bench=${peer}`],
  ];
  bench.keep(await Daemon.start(words, directory, () => isHealthy(client)));
  return client;
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

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`);
    return ((await response.json()) as { health?: unknown }).health === 'true';
  } catch {
    return false;
  }
}

async function freeUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await once(server.close(), 'close');
  return `http://127.0.0.1:${port}`;
}
