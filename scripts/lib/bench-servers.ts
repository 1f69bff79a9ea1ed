/**
 * The servers that the benchmark compares: started on files of tmpfs behind a unix socket, known to
 * be ready when they greet, and stopped by their process.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const SERVER_NAMES = ['mirror', 'quorum', 'nbdkit'] as const;
export type ServerName = (typeof SERVER_NAMES)[number];

export interface ServerPlan {
  readonly label: string;
  readonly legs: number;
  readonly command: (files: ServerFiles) => readonly string[];
}

export interface ServerFiles {
  readonly socket: string;
  readonly legs: readonly string[];
  readonly log: string;
  readonly sizeBytes: number;
}

const NBDKIT: ServerPlan = {
  label: 'nbdkit file plugin, 1 leg',
  legs: 1,
  command: ({ socket, legs }) => ['nbdkit', '-f', '-U', socket, 'file', legs[0]!],
};

const QUORUM: ServerPlan = {
  label: 'qemu-storage-daemon quorum, 2 legs',
  legs: 2,
  command: ({ socket, legs }) => [
    'qemu-storage-daemon',
    ...legs.flatMap((leg, index) => [
      '--blockdev',
      `driver=file,node-name=leg${index},filename=${leg}`,
    ]),
    '--blockdev',
    'driver=quorum,node-name=mirror,vote-threshold=2,children.0=leg0,children.1=leg1',
    '--nbd-server',
    `addr.type=unix,addr.path=${socket},max-connections=0`,
    '--export',
    'type=nbd,id=mirror,node-name=mirror,name=,writable=on',
  ],
};

/** Ours, with a core log or a disk log; all regions in sync from the start. */
export function mirrorPlan(log: 'core' | 'disk', regionSize = '512K'): ServerPlan {
  return {
    label: `nbd-mirror, 2 legs, ${log} log`,
    legs: 2,
    command: (files) => [
      ...[process.execPath, 'bin/nbd-mirror', 'serve', '--socket', files.socket],
      ...files.legs.flatMap((leg) => ['--leg', leg]),
      ...['--size', String(files.sizeBytes), '--region-size', regionSize, '--nosync'],
      ...['--log', log === 'core' ? 'core' : `disk:${files.log}`],
    ],
  };
}

export const PLANS: Readonly<Record<ServerName, ServerPlan>> = {
  mirror: mirrorPlan('core'),
  quorum: QUORUM,
  nbdkit: NBDKIT,
};

const READY_MS_MAX = 30_000;
const LOG_BYTES = 8 * 1024 * 1024;

export class Server {
  readonly plan: ServerPlan;
  readonly uri: string;
  /** From the start of the process to its greeting. */
  readonly readyMs: number;
  readonly #child: ChildProcess;

  private constructor(plan: ServerPlan, socket: string, readyMs: number, child: ChildProcess) {
    this.plan = plan;
    this.uri = `nbd+unix:///?socket=${socket}`;
    this.readyMs = readyMs;
    this.#child = child;
  }

  /** `directory` is the server's own, and empty. */
  static async start(plan: ServerPlan, directory: string, sizeBytes: number): Promise<Server> {
    const files: ServerFiles = {
      socket: join(directory, 'socket'),
      legs: Array.from({ length: plan.legs }, (_, index) => join(directory, `leg${index}`)),
      log: join(directory, 'log'),
      sizeBytes,
    };
    for (const leg of files.legs) makeSparse(leg, sizeBytes);
    makeSparse(files.log, LOG_BYTES);
    const output = join(directory, 'output');
    const [program, ...args] = plan.command(files);
    const started = performance.now();
    const stream = openSync(output, 'w');
    const child = spawn(program!, args, { stdio: ['ignore', stream, stream] });
    let failure: Error | null = null;
    child.on('error', (error) => {
      failure = error;
    });
    while (!(await greets(files.socket))) {
      if (failure !== null) throw failure;
      if (child.exitCode !== null || performance.now() - started > READY_MS_MAX) {
        child.kill('SIGKILL');
        throw new Error(`${plan.label} did not start:\n${readFileSync(output, 'utf8')}`);
      }
      await sleep(2);
    }
    return new Server(plan, files.socket, performance.now() - started, child);
  }

  /** Resident memory: now, and the most it ever was. */
  memoryMiB(): { readonly now: number; readonly most: number } {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    const field = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? Number.NaN) / 1024;
    return { now: field('VmRSS'), most: field('VmHWM') };
  }

  /** Ends it at once, for whoever has no time left. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.kill(), 10_000);
    await ended;
    clearTimeout(late);
  }
}

function makeSparse(path: string, sizeBytes: number): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, sizeBytes);
}

/** True if something at the socket says the first word of the protocol. */
function greets(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.on('error', () => resolve(false));
    connection.on('end', () => resolve(false));
    connection.once('data', (data) => {
      connection.destroy();
      resolve(data.toString('latin1').startsWith('NBDMAGIC'));
    });
  });
}
