/**
 * Other people's NBD servers over a file, on a unix socket: started, killed with -9 with all their
 * children, and started again in the same place.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { waitUntil } from './wait-until.ts';

export const FOREIGN_SERVERS = ['nbdkit', 'qemu-nbd', 'nbd-server'] as const;
export type ForeignProgram = (typeof FOREIGN_SERVERS)[number];

/** Runs the server until the test ends, in whatever way, and kills all that is left of it then. */
const KEEPER = `
  pidfile=$1; shift
  "$@" &
  read -r _
  [ -s "$pidfile" ] && kill -9 -- "-$(cat "$pidfile")"
  kill -9 0
`;

export interface ForeignServerOptions {
  readonly directory: string;
  /** Of the socket, and the export. */
  readonly name: string;
  readonly image: string;
  /** Arguments of the program in front of its last ones. */
  readonly words?: readonly string[];
}

export class ForeignServer {
  readonly socket: string;
  readonly image: string;
  readonly #program: ForeignProgram;
  readonly #options: ForeignServerOptions;
  #child: ChildProcess | null = null;
  #output = '';

  constructor(t: Test, program: ForeignProgram, options: ForeignServerOptions) {
    this.#program = program;
    this.#options = options;
    this.image = options.image;
    this.socket = join(options.directory, `${options.name}.sock`);
    t.teardown(() => this.kill());
  }

  /** With parameters such as `reconnect-delay=30`. */
  uri(...parameters: readonly string[]): string {
    const words = [`socket=${this.socket}`, ...parameters].join('&');
    return `nbd+unix:///${this.#options.name}?${words}`;
  }

  /** Ends when it accepts connections. */
  async start(): Promise<void> {
    // Some of them do not take over the socket of one that was killed.
    rmSync(this.socket, { force: true });
    rmSync(this.#pidFile, { force: true });
    const child = spawn('sh', ['-c', KEEPER, 'keeper', this.#pidFile, ...this.#command()], {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
      });
    }
    await waitUntil(`${this.#program} ${this.#output}`, () => this.#accepts());
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.pid === undefined) return;
    const isOver = child.exitCode !== null || child.signalCode !== null;
    // nbd-server, with a child for each client, has a group of its own.
    if (existsSync(this.#pidFile)) killGroup(Number(readFileSync(this.#pidFile, 'utf8')));
    killGroup(child.pid);
    if (!isOver) await once(child, 'exit');
  }

  get #pidFile(): string {
    return `${this.socket}.pid`;
  }

  #command(): string[] {
    const { name, image, words = [] } = this.#options;
    switch (this.#program) {
      case 'nbdkit':
        return ['nbdkit', '--foreground', '--unix', this.socket, ...words, 'file', image];
      case 'qemu-nbd':
        return [
          ...['qemu-nbd', '--format=raw', '--persistent', '--shared=8', `--socket=${this.socket}`],
          ...[`--export-name=${name}`, '--discard=unmap', ...words, image],
        ];
      case 'nbd-server':
        return ['nbd-server', '-C', this.#configuration(), '-p', this.#pidFile, ...words];
    }
  }

  #configuration(): string {
    const { directory, name, image } = this.#options;
    const path = join(directory, `${name}.conf`);
    const lines = [
      ...['[generic]', `unixsock = ${this.socket}`],
      ...[`[${name}]`, `exportname = ${image}`, 'flush = true', 'fua = true', 'trim = true'],
    ];
    writeFileSync(path, `${lines.join('\n')}\n`);
    return path;
  }

  async #accepts(): Promise<boolean> {
    if (this.#child?.exitCode !== null) {
      throw new Error(`${this.#program} has ended at once:\n${this.#output}`);
    }
    if (!existsSync(this.socket)) return false;
    const socket = connect({ path: this.socket });
    return new Promise((resolve) => {
      socket.on('error', () => resolve(false));
      socket.on('data', () => {
        socket.destroy();
        resolve(true);
      });
    });
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // Nothing of it is left.
  }
}
