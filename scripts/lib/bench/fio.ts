/** fio's nbd engine as the client of the benchmark: what it is told, and what it reports. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface Workload {
  readonly name: string;
  readonly rw: 'randwrite' | 'randread' | 'write' | 'read';
  readonly blockBytes: number;
  readonly inFlight: number;
}

export interface FioFigures {
  readonly ios: number;
  readonly iops: number;
  readonly mibPerSecond: number;
  readonly p99Microseconds: number;
  /** The longest that a request took. */
  readonly maxMilliseconds: number;
  /** Share of one core that fio itself used; a client at 1 measures itself. */
  readonly clientCores: number;
}

export interface FioLength {
  readonly seconds: number;
  readonly sizeBytes: number;
}

/** Runs a workload for a time. */
export function runWorkload(
  uri: string,
  work: Workload,
  length: FioLength,
  more: readonly string[] = [],
): Promise<FioFigures> {
  return runFio(uri, [
    ...[`--rw=${work.rw}`, `--bs=${work.blockBytes}`, `--iodepth=${work.inFlight}`],
    ...[`--size=${length.sizeBytes}`, '--time_based', `--runtime=${length.seconds * 1000}ms`],
    ...more,
  ]);
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

/** Runs fio with any arguments. Several jobs count as one. */
export async function runFio(uri: string, args: readonly string[]): Promise<FioFigures> {
  const command = ['--name=bench', '--ioengine=nbd', `--uri=${uri}`, '--output-format=json'];
  const { stdout } = await promisify(execFile)(
    'fio',
    [...command, '--thread', '--group_reporting', ...args],
    { maxBuffer: 2 ** 26 },
  );
  return parseFioReport(stdout);
}

interface FioSide {
  readonly total_ios: number;
  readonly iops: number;
  readonly bw_bytes: number;
  readonly clat_ns: {
    readonly max: number;
    readonly percentile?: Readonly<Record<string, number>>;
  };
}

interface FioJob {
  readonly error: number;
  readonly usr_cpu: number;
  readonly sys_cpu: number;
  readonly read: FioSide;
  readonly write: FioSide;
}

/**
 * Figures of the side, reading or writing, that did anything.
 *
 * @throws Error when the report is none, or of a run that failed.
 */
export function parseFioReport(stdout: string): FioFigures {
  // Some engines print a line of their own before the report.
  const start = stdout.indexOf('{');
  const report = start === -1 ? null : (JSON.parse(stdout.slice(start)) as { jobs?: FioJob[] });
  const job = report?.jobs?.[0];
  if (job === undefined || job.error !== 0) throw new Error(`fio failed: ${stdout}`);
  const side = job.read.total_ios > 0 ? job.read : job.write;
  return {
    ios: side.total_ios,
    iops: side.iops,
    mibPerSecond: side.bw_bytes / 2 ** 20,
    p99Microseconds: (side.clat_ns.percentile?.['99.000000'] ?? Number.NaN) / 1000,
    maxMilliseconds: side.clat_ns.max / 1e6,
    clientCores: (job.usr_cpu + job.sys_cpu) / 100,
  };
}
