/** Where the benchmark works: a directory of its own on tmpfs, and the servers that run there. */

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Server, type ServerName, type ServerPlan } from './server.ts';

export interface BenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly pauseSeconds: number;
  readonly sizeBytes: number;
  /** Those to compare. */
  readonly servers: readonly ServerName[];
  /** A directory on real storage. */
  readonly disk: string;
  /** Where to draw pictures; null: nowhere. */
  readonly plot: string | null;
}

/** A process that the workbench ends. */
export interface Running {
  stop(): Promise<void>;
  kill(): void;
}

export class Workbench {
  readonly options: BenchOptions;
  readonly directory: string;
  readonly #running = new Set<Running>();
  readonly #directories: string[] = [];
  #made = 0;

  constructor(options: BenchOptions) {
    this.options = options;
    this.directory = mkdtempSync('/dev/shm/nbd-mirror-bench.');
  }

  /** Starts a server on new sparse files. `parent` is another place for them than tmpfs. */
  async start(plan: ServerPlan, sizeBytes: number, parent = this.directory): Promise<Server> {
    const server = await Server.start(plan, this.makeDirectory(parent), sizeBytes);
    this.keep(server);
    return server;
  }

  /** It goes with the next stop(), after everything that was started later. */
  keep(running: Running): void {
    this.#running.add(running);
  }

  /** A new one, which goes with the next stop(). */
  makeDirectory(parent = this.directory): string {
    const directory = join(parent, `${process.pid}-${this.#made++}`);
    mkdirSync(directory, { recursive: true });
    this.#directories.push(directory);
    return directory;
  }

  /** Stops every process that runs, and frees their files. */
  async stop(): Promise<void> {
    for (const running of [...this.#running].reverse()) await running.stop();
    this.#running.clear();
    for (const directory of this.#directories.splice(0)) remove(directory);
  }

  async end(): Promise<void> {
    await this.stop();
    remove(this.directory);
  }

  /** Interrupted: leaves nothing behind. */
  abort(status: number): void {
    for (const running of this.#running) running.kill();
    for (const directory of [...this.#directories, this.directory]) remove(directory);
    process.exit(status);
  }

  /** Before each measurement: lets others on the machine have their turn. */
  async pause(): Promise<void> {
    if (this.options.pauseSeconds > 0) await sleep(this.options.pauseSeconds * 1000);
  }

  /** Says what is going on, to a person who waits. */
  progress(text: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r${text.padEnd(60)}\r`);
  }
}

/** Whether our server knows an option. */
export async function serveKnows(option: string): Promise<boolean> {
  const args = ['bin/nbd-mirror', 'serve', '--help'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return stdout.includes(option);
}

function remove(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}
