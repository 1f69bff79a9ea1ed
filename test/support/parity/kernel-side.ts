/** Runs programs in a real kernel: one boot, many programs, one worker process for each a few. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '../run-program.ts';

const HERE = import.meta.dirname;
const RUN = join(HERE, '../../kernel-vm/run');
const SHARED_MEMORY = '/dev/shm';
/** Much, for a machine that has other work too. */
const BUILD_TIMEOUT_MS = 300_000;

export interface KernelOptions {
  /** How long a state has to stand still to count as settled. */
  readonly settleMs: number;
  /** The guest ends after this, with what it has. */
  readonly timeoutS: number;
  readonly workers: number;
  /** The guest ends, and nothing of it stays. */
  readonly signal?: AbortSignal | undefined;
}

/** What became of a program: its transcript, or how it ended without one. */
export interface KernelRun {
  readonly lines: readonly string[];
  /** `hung`: a command did not come back; `lost`: nothing is known, the guest may have died. */
  readonly end: 'done' | 'hung' | 'died' | 'lost';
}

export interface KernelOutcome {
  readonly runs: ReadonlyMap<string, KernelRun>;
  /** The guest's complaints, for people. */
  readonly complaint: string;
}

/** Every program's first command is "program NAME", each name once. */
export async function runInKernel(
  programs: readonly (readonly string[])[],
  options: KernelOptions,
): Promise<KernelOutcome> {
  const base = existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir();
  const share = mkdtempSync(join(base, 'parity-'));
  try {
    mkdirSync(join(share, 'out'));
    writeFileSync(join(share, 'guest'), guestProgram(), { mode: 0o755 });
    writeFileSync(join(share, 'programs'), programs.map((lines) => lines.join('\n')).join('\n'));
    const { workers, settleMs, timeoutS, signal } = options;
    const seconds = Math.max(5, timeoutS - 15);
    writeFileSync(
      join(share, 'script'),
      '#!/bin/bash\n' +
        'cp /share/guest /tmp/guest && chmod +x /tmp/guest\n' +
        'modprobe -a dm-flakey dm-delay dm-zero\n' +
        `/tmp/guest /share/programs /share/out/results ${workers} ${settleMs} ${seconds}\n`,
    );
    const outcome = await runProgram(
      [
        ...[RUN, '--share', share, '--timeout', String(timeoutS), '--mem', '1536'],
        ...['--', join(share, 'script')],
      ],
      {
        timeoutMs: (timeoutS + 30) * 1000,
        killSignal: 'SIGTERM',
        ...(signal === undefined ? {} : { signal }),
      },
    );
    const file = join(share, 'out/results');
    const text = existsSync(file) ? readFileSync(file, 'latin1') : '';
    const complaint = outcome.status === 0 ? outcome.stdout : outcome.stdout + outcome.stderr;
    return { runs: parseRuns(programs, text), complaint };
  } finally {
    rmSync(share, { recursive: true, force: true });
  }
}

let builtGuest: Uint8Array | null = null;

/** Built once in the life of a process. */
function guestProgram(): Uint8Array {
  if (builtGuest !== null) return builtGuest;
  const source = join(HERE, 'guest.c');
  const directory = mkdtempSync(join(tmpdir(), 'parity-guest-'));
  try {
    const to = join(directory, 'guest');
    const built = spawnSync('cc', ['-O2', '-static', '-pthread', '-o', to, source], {
      encoding: 'utf8',
      timeout: BUILD_TIMEOUT_MS,
    });
    if (built.status !== 0) {
      const { signal, stderr } = built;
      throw new Error(`Cannot build ${source}: ${signal ?? 'cc failed'}\n${stderr}`);
    }
    builtGuest = readFileSync(to);
    return builtGuest;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function parseRuns(programs: readonly (readonly string[])[], text: string): Map<string, KernelRun> {
  const runs = new Map<string, KernelRun>();
  const lost: KernelRun = { lines: [], end: 'lost' };
  for (const [first] of programs) runs.set(nameOf(first!), lost);
  let lines: string[] = [];
  let end: KernelRun['end'] = 'done';
  for (const line of text.split('\n')) {
    if (line.startsWith('hung ')) end = 'hung';
    else if (line.startsWith('died ')) end = 'died';
    else if (line === 'end') {
      const [first, ...rest] = lines;
      if (first !== undefined) runs.set(nameOf(first), { lines: rest, end });
      lines = [];
      end = 'done';
    } else if (line !== '') lines.push(line);
  }
  return runs;
}

function nameOf(firstLine: string): string {
  return firstLine.replace(/^program /, '');
}
