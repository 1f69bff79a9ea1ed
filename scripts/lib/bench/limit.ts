/** Measures the physical limit with limit.c, which says what it does. */

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { FioLength, Workload } from './fio.ts';
import { makeSparse } from './server.ts';
import type { Measurement } from './throughput-report.ts';

const run = promisify(execFile);
const SOURCE = fileURLToPath(new URL('limit.c', import.meta.url));

export class Limit {
  readonly #program: string;

  constructor(program: string) {
    this.#program = program;
  }

  /** Two legs whose every block was written once. */
  async makeFiles(directory: string, sizeBytes: number): Promise<string[]> {
    const files = ['leg0', 'leg1'].map((name) => join(directory, name));
    for (const file of files) {
      makeSparse(file, sizeBytes);
      await run('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', `count=${sizeBytes / 2 ** 20}`]);
    }
    return files;
  }

  async measure(work: Workload, files: readonly string[], length: FioLength): Promise<Measurement> {
    const { stdout } = await run(this.#program, [
      work.rw.endsWith('read') ? 'read' : 'write',
      work.rw.startsWith('rand') ? 'random' : 'sequential',
      ...[work.blockBytes, work.inFlight, length.sizeBytes, length.seconds].map(String),
      ...files,
    ]);
    return parseLimit(stdout, work.blockBytes);
  }
}

/** Null, with a word on standard error, where there is no C compiler. */
export async function buildLimit(directory: string): Promise<Limit | null> {
  const program = join(directory, 'limit');
  try {
    await run('cc', ['-O2', '-Wall', '-pthread', '-o', program, SOURCE]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    console.error('bench: no C compiler ("cc"): the physical limit is not measured');
    return null;
  }
  return new Limit(program);
}

/** Of "REQUESTS SECONDS CPU_SECONDS". */
export function parseLimit(stdout: string, blockBytes: number): Measurement {
  const [requests, seconds, cpuSeconds] = stdout.trim().split(' ').map(Number);
  if (!(requests! > 0 && seconds! > 0 && cpuSeconds! >= 0)) {
    throw new Error(`The limit program printed "${stdout}", must print three numbers`);
  }
  const iops = requests! / seconds!;
  return {
    iops,
    mibPerSecond: (iops * blockBytes) / 2 ** 20,
    p99Microseconds: Number.NaN,
    cpuMicroseconds: (cpuSeconds! * 1e6) / requests!,
    clientCores: Number.NaN,
  };
}
