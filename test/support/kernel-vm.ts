/** Runs scripts on a real kernel: `test/kernel-vm` with its options as an object. */

import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import type { Test } from 'tap';
import { tempDir } from './temp-dir.ts';
import { requireThat, requireTool } from './tools.ts';

const RUN = join(import.meta.dirname, '../kernel-vm/run');
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'kernel-vm');

export interface GuestOptions {
  /** The body of a bash script; the guest's `run` is described in test/kernel-vm/README.md. */
  readonly script: string;
  readonly args?: readonly string[];
  /** Raw images: /dev/vda, /dev/vdb and so on. */
  readonly disks?: readonly string[];
  readonly nbdPort?: number;
  readonly nbdSocket?: string;
  readonly timeoutS?: number;
  /** Copied to where the script starts, under their own names. */
  readonly files?: readonly string[];
}

export interface GuestOutcome {
  /** The script's own; 124 for a timeout, 125 if the guest died. */
  readonly status: number;
  /** What the script said, and behind it what `run` had to say of a failure. */
  readonly output: string;
}

/** False, and the test marked as skipped or failed, where no guest can be run. */
export function requireKernelVm(t: Test): boolean {
  if (!requireTool(t, 'qemu-system-x86_64', 'nbd-client', 'dmsetup', 'socat', 'busybox'))
    return false;
  const kernel = join(CACHE, 'kernel/release');
  return requireThat(t, existsSync(kernel), 'test/kernel-vm/install has not been run');
}

export function runGuest(t: Test, options: GuestOptions): Promise<GuestOutcome> {
  return new Guest(t, options).outcome;
}

/**
 * A guest that runs while the test goes on. The script and the test signal each other by files: a
 * file that either makes in /share/out, or in `out` here, is seen by the other at once.
 */
export class Guest {
  readonly out: string;
  readonly outcome: Promise<GuestOutcome>;
  readonly #child: ChildProcess;
  #output = '';

  constructor(t: Test, options: GuestOptions) {
    const share = tempDir(t);
    this.out = join(share, 'out');
    mkdirSync(this.out);
    const script = join(share, 'script');
    writeFileSync(script, `#!/bin/bash\nset -euo pipefail\n${options.script}\n`);
    for (const file of options.files ?? []) copyFileSync(file, join(share, basename(file)));
    const args = ['--share', share, '--timeout', String(options.timeoutS ?? 120)];
    for (const disk of options.disks ?? []) args.push('--disk', disk);
    if (options.nbdPort !== undefined) args.push('--nbd-port', String(options.nbdPort));
    if (options.nbdSocket !== undefined) args.push('--nbd-socket', options.nbdSocket);
    this.#child = spawn(RUN, [...args, '--', script, ...(options.args ?? [])], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let complaints = '';
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      complaints += text;
    });
    this.outcome = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (status) => {
        resolve({ status: status ?? 125, output: this.#output + complaints });
      });
    });
    t.teardown(async () => {
      if (this.#child.exitCode === null && this.#child.signalCode === null) {
        this.#child.kill('SIGTERM');
        await this.outcome;
      }
    });
  }

  /** The script has made this file. */
  hasMade(name: string): boolean {
    return existsSync(join(this.out, name));
  }

  /** Makes a file that the script waits for. */
  make(name: string): void {
    writeFileSync(join(this.out, name), '');
  }
}
