/** Runs another program to its end, and gives what came of it. */

import { spawn } from 'node:child_process';

export interface Outcome {
  /** 137 for a program that was killed. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  /** Ends the program, as a timeout does; the promise is rejected then. */
  readonly signal?: AbortSignal;
  /** What ends it: one that has children of its own wants to be told. */
  readonly killSignal?: 'SIGKILL' | 'SIGTERM';
  readonly env?: Readonly<Record<string, string>>;
}

/** `command` is the program and its arguments; nothing passes through a shell. */
export function runProgram(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const [program, ...args] = command;
  // Root's programs stand where an ordinary PATH does not lead.
  const path = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
  const child = spawn(program!, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 120_000,
    killSignal: options.killSignal ?? 'SIGKILL',
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    env: { ...process.env, PATH: path, LC_ALL: 'C', ...options.env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ status: code ?? 137, stdout, stderr }));
  });
}

/** As `runProgram`, for a program that has to succeed: throws with all that it said if not. */
export async function mustRun(command: readonly string[], options?: RunOptions): Promise<string> {
  const { status, stdout, stderr } = await runProgram(command, options);
  if (status === 0) return stdout;
  throw new Error(`${command.join(' ')} ended with status ${status}\n${stdout}${stderr}`);
}
