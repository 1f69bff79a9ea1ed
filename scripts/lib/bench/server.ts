/**
 * The servers that the benchmark compares: started on files of tmpfs behind a unix socket, known to
 * be ready when they greet, and stopped by their process.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient } from '../../../src/control/control-client.ts';

/** Mirrors of two legs with a log in memory; on a device, cleared as the kernel does; and later. */
export const OUR_NAMES = ['core', 'disk', 'delayed'] as const;
export type OurName = (typeof OUR_NAMES)[number];

export const PEER_NAMES = ['nbdkit', 'quorum'] as const;
export type PeerName = (typeof PEER_NAMES)[number];

export type ServerName = OurName | PeerName;

export interface ServerPlan {
  readonly label: string;
  readonly legs: number;
  /** Takes commands on its control socket. */
  readonly controlled?: boolean;
  readonly command: (files: ServerFiles) => readonly string[];
}

export interface ServerFiles {
  readonly socket: string;
  readonly control: string;
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

export const DELAYED_ARGS: readonly string[] = ['--clear-delay', '500'];

/** Ours; all regions in sync from the start. */
export function mirrorPlan(log: OurName, more: MirrorPlanOptions = {}): ServerPlan {
  const { legs = 2, regionSize = '512K', controlled = false } = more;
  return {
    label: `nbd-mirror, ${legs} legs, ${log} log`,
    legs,
    controlled,
    command: (files) => [
      ...serveCommand(files, controlled),
      ...files.legs.flatMap((leg) => ['--leg', leg]),
      ...['--size', String(files.sizeBytes), '--region-size', regionSize, '--nosync'],
      ...['--log', log === 'core' ? 'core' : `disk:${files.log}`],
      ...(log === 'delayed' ? DELAYED_ARGS : []),
    ],
  };
}

export interface MirrorPlanOptions {
  readonly legs?: number;
  readonly regionSize?: string;
  readonly controlled?: boolean;
}

/** Ours with one leg, without a mirror. */
export function linearPlan(): ServerPlan {
  return {
    label: 'nbd-mirror, linear',
    legs: 1,
    command: (files) => {
      const table = `0 ${files.sizeBytes / 512} linear ${files.legs[0]} 0`;
      return [...serveCommand(files, false), '--table', table];
    },
  };
}

/** Ours without a table; devices are made by way of its control socket. */
export function daemonPlan(more: readonly string[] = []): ServerPlan {
  return {
    label: 'nbd-mirror, no device',
    legs: 0,
    controlled: true,
    command: (files) => [...serveCommand(files, true), ...more],
  };
}

export function serveCommand(files: ServerFiles, controlled: boolean): string[] {
  const program = [process.execPath, 'bin/nbd-mirror', 'serve', '--socket', files.socket];
  return controlled ? [...program, '--control', files.control] : program;
}

export const PLANS: Readonly<Record<ServerName, ServerPlan>> = {
  core: mirrorPlan('core'),
  disk: mirrorPlan('disk'),
  delayed: mirrorPlan('delayed'),
  nbdkit: NBDKIT,
  quorum: QUORUM,
};

const READY_MS_MAX = 30_000;
/** USER_HZ, which is the same on all of today's Linux. */
const TICKS_PER_SECOND = 100;
const LOG_BYTES = 8 * 1024 * 1024;

export class Server {
  readonly plan: ServerPlan;
  readonly files: ServerFiles;
  readonly uri: string;
  /** From the start of the process to its greeting. */
  readonly readyMs: number;
  readonly #child: ChildProcess;

  private constructor(plan: ServerPlan, files: ServerFiles, readyMs: number, child: ChildProcess) {
    this.plan = plan;
    this.files = files;
    this.uri = exportUri(files.socket, '');
    this.readyMs = readyMs;
    this.#child = child;
  }

  /** `directory` is the server's own, and empty. */
  static async start(plan: ServerPlan, directory: string, sizeBytes: number): Promise<Server> {
    const files: ServerFiles = {
      socket: join(directory, 'socket'),
      control: join(directory, 'control'),
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
    const isReady = async () =>
      (await greets(files.socket)) && (plan.controlled !== true || existsSync(files.control));
    while (!(await isReady())) {
      if (failure !== null) throw failure;
      if (child.exitCode !== null || performance.now() - started > READY_MS_MAX) {
        child.kill('SIGKILL');
        throw new Error(`${plan.label} did not start:\n${readFileSync(output, 'utf8')}`);
      }
      await sleep(2);
    }
    return new Server(plan, files, performance.now() - started, child);
  }

  /** Resident memory: now, and the most it ever was. */
  memoryMiB(): { readonly now: number; readonly most: number } {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    const field = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? Number.NaN) / 1024;
    return { now: field('VmRSS'), most: field('VmHWM') };
  }

  /** Of user and kernel, of all its threads, ever; in steps of 10 ms. */
  cpuSeconds(): number {
    return parseCpuTicks(readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8')) / TICKS_PER_SECOND;
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

/** Gives a command to one of ours that takes them; its answer. */
export async function control(server: Server, verb: string, input: object): Promise<unknown> {
  const client = new ControlClient({ address: { kind: 'unix', path: server.files.control } });
  const { status, body } = await client.call(verb, input, 'json');
  if (status !== 200) throw new Error(`${server.plan.label} refused ${verb}: ${body}`);
  return JSON.parse(body);
}

export function exportUri(socket: string, name: string): string {
  return `nbd+unix:///${encodeURIComponent(name)}?socket=${socket}`;
}

/** utime and stime of a line of /proc/PID/stat, whose second field may hold anything. */
export function parseCpuTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

export function makeSparse(path: string, sizeBytes: number): void {
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
