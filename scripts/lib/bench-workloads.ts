/** What the benchmark measures, and how fio is asked to do it. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { ServerName } from './bench-servers.ts';

export interface Workload {
  readonly name: string;
  readonly rw: 'randwrite' | 'randread' | 'write' | 'read';
  readonly blockSize: string;
  readonly inFlight: number;
  readonly unit: 'IOPS' | 'MiB/s';
  /** Ratios of ours to a peer's that we want to reach. */
  readonly wanted: Partial<Readonly<Record<ServerName, number>>>;
}

export const WORKLOADS: readonly Workload[] = [
  workload('randwrite', '4k', 1, {}),
  workload('randwrite', '4k', 16, { quorum: 3.5, nbdkit: 1 }),
  workload('randwrite', '64k', 16, {}),
  workload('write', '1m', 4, { quorum: 2 }),
  workload('randread', '4k', 1, {}),
  workload('randread', '4k', 16, { nbdkit: 1.5 }),
  workload('read', '1m', 4, {}),
];

export interface Measurement {
  readonly iops: number;
  readonly mibPerSecond: number;
  readonly p99Microseconds: number;
}

function workload(
  rw: Workload['rw'],
  blockSize: string,
  inFlight: number,
  wanted: Workload['wanted'],
): Workload {
  const unit = blockSize === '4k' ? 'IOPS' : 'MiB/s';
  return { name: `${rw}-${blockSize}-${inFlight}`, rw, blockSize, inFlight, unit, wanted };
}

export async function measure(
  uri: string,
  work: Workload,
  options: { readonly seconds: number; readonly sizeBytes: number },
): Promise<Measurement> {
  const job = await runFio(uri, [
    ...[`--rw=${work.rw}`, `--bs=${work.blockSize}`, `--iodepth=${work.inFlight}`],
    ...[`--size=${options.sizeBytes}`, '--time_based', `--runtime=${options.seconds}`],
    '--ramp_time=0.5',
  ]);
  const side = work.rw.endsWith('read') ? job.read : job.write;
  return {
    iops: side.iops,
    mibPerSecond: side.bw_bytes / 2 ** 20,
    p99Microseconds: (side.clat_ns.percentile?.['99.000000'] ?? Number.NaN) / 1000,
  };
}

/** Writes every block once: the first touch of a page costs more than the write itself. */
export async function warm(uri: string, sizeBytes: number): Promise<void> {
  await runFio(uri, ['--rw=write', '--bs=1m', '--iodepth=4', `--size=${sizeBytes}`]);
}

/** A given number of small writes all over a device that may be huge. */
export async function scatter(uri: string, sizeBytes: number, writes: number): Promise<void> {
  await runFio(uri, [
    ...['--rw=randwrite', '--bs=4k', '--iodepth=16', `--size=${sizeBytes}`, '--norandommap'],
    ...['--random_generator=tausworthe64', `--number_ios=${writes}`],
  ]);
}

interface FioSide {
  readonly iops: number;
  readonly bw_bytes: number;
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
}

interface FioJob {
  readonly error: number;
  readonly read: FioSide;
  readonly write: FioSide;
}

async function runFio(uri: string, args: readonly string[]): Promise<FioJob> {
  const command = ['--name=bench', '--ioengine=nbd', `--uri=${uri}`, '--output-format=json'];
  const options = { maxBuffer: 2 ** 26 };
  const { stdout } = await promisify(execFile)('fio', [...command, ...args], options);
  // Some engines print a line of their own before the report.
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { jobs: FioJob[] };
  const job = report.jobs[0];
  if (job === undefined || job.error !== 0) throw new Error(`fio failed: ${stdout}`);
  return job;
}
