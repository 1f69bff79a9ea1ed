/**
 * Devices and mounts of the running kernel, for tests by root. Each is taken down by the test in
 * good order, or by its teardown otherwise, last made first.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Test } from 'tap';
import { mustRun, runProgram } from './run-program.ts';
import { waitUntil } from './wait-until.ts';

/** An NBD export as one large file, by nbdfuse. */
export class NbdFuse {
  /** The file. */
  readonly file: string;
  readonly #mountPoint: string;
  readonly #child: ChildProcess;
  readonly #exit: Promise<void>;

  private constructor(mountPoint: string, child: ChildProcess) {
    this.#mountPoint = mountPoint;
    this.file = join(mountPoint, 'nbd');
    this.#child = child;
    this.#exit = new Promise((resolve) => child.once('exit', () => resolve()));
  }

  static async attach(t: Test, directory: string, uri: string): Promise<NbdFuse> {
    const mountPoint = mkdtempSync(join(directory, 'fuse.'));
    const child = spawn('nbdfuse', [mountPoint, uri], { stdio: 'ignore' });
    const fuse = new NbdFuse(mountPoint, child);
    t.teardown(() => fuse.end());
    await waitUntil('nbdfuse', () => {
      if (child.exitCode !== null) throw new Error(`nbdfuse ended with status ${child.exitCode}`);
      return existsSync(fuse.file) && statSync(fuse.file).size > 0;
    });
    return fuse;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    await runProgram(['fusermount3', '-u', this.#mountPoint]);
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await this.#exit;
    clearTimeout(late);
  }
}

export class LoopDevice {
  readonly path: string;
  #attached = true;

  private constructor(path: string) {
    this.path = path;
  }

  static async attach(
    t: Test,
    file: string,
    { readOnly }: { readonly readOnly: boolean },
  ): Promise<LoopDevice> {
    const access = readOnly ? ['--read-only'] : [];
    const output = await mustRun(['losetup', '--find', '--show', ...access, file]);
    const loop = new LoopDevice(output.trim());
    t.teardown(() => loop.end());
    return loop;
  }

  async end(): Promise<void> {
    if (!this.#attached) return;
    await mustRun(['losetup', '--detach', this.path]);
    this.#attached = false;
    // The kernel detaches a little later if somebody still has it open.
    const backing = `/sys/block/${basename(this.path)}/loop/backing_file`;
    await waitUntil('the loop device to be free', () => !existsSync(backing));
  }
}

export class Mount {
  readonly path: string;
  #mounted = true;

  private constructor(path: string) {
    this.path = path;
  }

  /** Mounts at a new directory below `directory`. */
  static async at(
    t: Test,
    device: string,
    directory: string,
    options: readonly string[],
  ): Promise<Mount> {
    const mount = new Mount(mkdtempSync(join(directory, 'mount.')));
    await mustRun(['mount', ...options, device, mount.path]);
    t.teardown(() => mount.end());
    return mount;
  }

  async end(): Promise<void> {
    if (!this.#mounted) return;
    await mustRun(['umount', this.path]);
    this.#mounted = false;
  }
}
