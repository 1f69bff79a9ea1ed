/**
 * A `serve --control` in a process of its own, shared by the cases of a target, and looked at from
 * outside: whether it lives, what files it has open, how much memory it takes, what it answers.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient } from '../../src/control/control-client.ts';
import { COMMAND_WORDS } from '../support/command.ts';
import { waitUntil } from '../support/wait-until.ts';

/** Without clients, and with all that a hundred of them may leave to be collected. */
const MEMORY_BYTES_MAX = 700 * 2 ** 20;
/** Whatever must happen happens within this, on a machine that others use, too. */
export const PATIENCE_MS = 20_000;
export const PSK_USER = 'fuzz';
export const PSK_KEY = Buffer.alloc(32, 0x5a);

export interface FuzzedDevice {
  readonly name: string;
  readonly table: string;
}

export class ServerUnderFuzz {
  readonly socket: string;
  readonly controlPath: string;
  readonly control: ControlClient;
  readonly #directory: string;
  readonly #child: ChildProcess;
  #output = '';
  /** Files that it has open without clients. */
  #descriptors = 0;

  private constructor(directory: string, child: ChildProcess) {
    this.#directory = directory;
    this.#child = child;
    this.socket = join(directory, 's');
    this.controlPath = join(directory, 'ctl');
    this.control = new ControlClient({ address: { kind: 'unix', path: this.controlPath } });
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-20_000);
      });
      // A worker ends when its cases do.
      (stream as unknown as { unref(): void }).unref();
    }
    child.unref();
  }

  static async start(devices: readonly FuzzedDevice[]): Promise<ServerUnderFuzz> {
    const directory = mkdtempSync(join(tmpdir(), 'nbd-mirror-fuzz.'));
    const keys = join(directory, 'keys.psk');
    writeFileSync(keys, `${PSK_USER}:${PSK_KEY.toString('hex')}\n`, { mode: 0o600 });
    const [program, ...words] = COMMAND_WORDS;
    const options = ['serve', '--control', join(directory, 'ctl'), '--exit-with-parent', '-q'];
    const tls = ['--tls', 'on', '--tls-psk', keys];
    const child = spawn(
      program!,
      [...words, ...options, ...tls, '--socket', join(directory, 's')],
      {
        cwd: directory,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, LISTEN_FDS: '' },
      },
    );
    const server = new ServerUnderFuzz(directory, child);
    await waitUntil('the server', () => existsSync(server.controlPath) || server.hasEnded);
    for (const { name, table } of devices) await server.ask('create', { device: name, table });
    server.#descriptors = await server.#fewestDescriptors();
    return server;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** @throws Error when the verb is refused, or there is nobody to refuse it. */
  async ask(verb: string, input: object = {}): Promise<unknown> {
    if (this.hasEnded) throw new Error(`the server has ended: ${this.#output}`);
    const { status, body } = await this.control
      .call(verb, input, 'json')
      .catch((error: unknown) => {
        const cause = { cause: error };
        throw new Error(`the server does not answer: ${String(error)}\n${this.#output}`, cause);
      });
    if (status !== 200) throw new Error(`${verb} was answered ${status}: ${body}`);
    return JSON.parse(body) as unknown;
  }

  /** @throws Error when it is gone, or holds what it should have given back. */
  async check(patienceMs = PATIENCE_MS): Promise<void> {
    await this.ask('version');
    const enough = (): boolean => this.hasEnded || this.#countDescriptors() <= this.#descriptors;
    await waitUntil('clients that are gone to be forgotten', enough, patienceMs);
    if (this.hasEnded) throw new Error(`the server has ended: ${this.#output}`);
    const bytes = 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(this.#proc('status'))?.[1] ?? 0);
    if (bytes > MEMORY_BYTES_MAX) throw new Error(`the server takes ${bytes} bytes of memory`);
  }

  async stop(): Promise<void> {
    if (!this.hasEnded) {
      const ended = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.ref();
      this.#child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** The connections that gave it its devices are closed soon, and nothing says when. */
  async #fewestDescriptors(): Promise<number> {
    let fewest = this.#countDescriptors();
    for (let look = 0; look < 10; look++) {
      await sleep(30);
      fewest = Math.min(fewest, this.#countDescriptors());
    }
    return fewest;
  }

  #countDescriptors(): number {
    return readdirSync(`/proc/${this.#child.pid}/fd`).length;
  }

  #proc(file: string): string {
    return readFileSync(`/proc/${this.#child.pid}/${file}`, 'utf8');
  }
}

/** Started by the first case that needs it, again when one has ended it, and ended at last. */
export class SharedServer {
  readonly #devices: readonly FuzzedDevice[];
  #server: Promise<ServerUnderFuzz> | null = null;

  constructor(devices: readonly FuzzedDevice[]) {
    this.#devices = devices;
  }

  async get(): Promise<ServerUnderFuzz> {
    const running = this.#server === null ? null : await this.#server;
    if (running !== null && !running.hasEnded) return running;
    await running?.stop();
    this.#server = ServerUnderFuzz.start(this.#devices);
    return this.#server;
  }

  async close(): Promise<void> {
    const running = this.#server === null ? null : await this.#server;
    this.#server = null;
    await running?.stop();
  }
}
