/**
 * The command `nbd-mirror` in a process of its own: as it was built, or from its sources where
 * these are newer, which takes longer to start.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { TestScope } from './test-scope.ts';

export const REPOSITORY = join(import.meta.dirname, '../..');
/**
 * As words, so that a shell or another program can start it as well. The test runner puts loaders
 * into every Node process below it, and they cannot load a program without an extension.
 */
export const COMMAND_WORDS: readonly string[] = isBuilt()
  ? ['env', '-u', 'NODE_OPTIONS', process.execPath, join(REPOSITORY, 'bin/nbd-mirror')]
  : [
      ...[process.execPath, '--import', import.meta.resolve('tsx')],
      join(REPOSITORY, 'src/cli/main.ts'),
    ];

function isBuilt(): boolean {
  const built = join(REPOSITORY, 'dist/cli/main.js');
  if (!existsSync(built)) return false;
  const builtAt = statSync(built).mtimeMs;
  return readdirSync(join(REPOSITORY, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .every((path) => statSync(join(REPOSITORY, 'src', path)).mtimeMs <= builtAt);
}

const RUN_MS_MAX = 60_000;

export interface CommandOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

export interface Ended {
  /** Null if a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class RunningCommand {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';

  constructor(words: readonly string[], options: CommandOptions) {
    const [program, ...args] = words;
    this.child = spawn(program!, args, {
      cwd: options.cwd,
      // Without what the test runner puts into every Node process.
      env: { ...process.env, NODE_OPTIONS: '', ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.child.stdin!.on('error', () => {}).end(options.stdin ?? '');
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = once(this.child, 'close').then(([status, signal]) => {
      return { status, signal, stdout: this.stdout, stderr: this.stderr };
    });
  }

  /** Waits until standard output has this in it; throws if the command ends before. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout);
      if (match !== null) return match;
      const result = await Promise.race([once(this.child.stdout!, 'data'), this.ended]);
      if (Array.isArray(result) || pattern.test(this.stdout)) continue;
      throw new Error(`It ended without saying ${pattern}:\n${this.stdout}${this.stderr}`);
    }
  }

  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.child.kill(signal);
    return this.ended;
  }
}

/** Starts `nbd-mirror` with these words; it is killed with the test at the latest. */
export function startCommand(
  scope: TestScope,
  args: readonly string[],
  options: CommandOptions,
): RunningCommand {
  const running = new RunningCommand([...COMMAND_WORDS, ...args], options);
  scope.teardown(() => void running.child.kill('SIGKILL'));
  return running;
}

/** Runs it to its end; one that goes on and on is killed. */
export async function runCommand(args: readonly string[], options: CommandOptions): Promise<Ended> {
  const running = new RunningCommand([...COMMAND_WORDS, ...args], options);
  const timer = setTimeout(() => running.child.kill('SIGKILL'), RUN_MS_MAX);
  try {
    return await running.ended;
  } finally {
    clearTimeout(timer);
  }
}
