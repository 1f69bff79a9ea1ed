/** In what the cost of a request may grow: connections, legs, the device's size, exports. */

import { join } from 'node:path';
import type { AxisSpec, Tick } from './axis.ts';
import { runFio, scatter, warm } from './fio.ts';
import {
  control,
  daemonPlan,
  exportUri,
  linearPlan,
  makeSparse,
  mirrorPlan,
  PLANS,
  type Server,
} from './server.ts';
import type { Workbench } from './workbench.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;
const IN_FLIGHT = 64;
const SMALL_BYTES = 64 * MIB;
const TINY_BYTES = 8 * MIB;
const WARM_UP_MS = 300;
const SCATTERED_WRITES = 20_000;

export type Figure = 'cpuMicroseconds' | 'iops' | 'memoryMiB' | 'readyMs' | 'makeMs';
export type Figures = Partial<Readonly<Record<Figure, number>>>;

export interface Growth {
  readonly id: string;
  readonly title: string;
  readonly subtitle: string;
  readonly x: AxisSpec;
  readonly points: readonly number[];
  /** Names of the lines. */
  readonly lines: readonly string[];
  /** A panel for each. */
  readonly figures: readonly { readonly figure: Figure; readonly scale: AxisSpec['scale'] }[];
  /** Null where the line has no such point. */
  measure(bench: Workbench, line: string, point: number): Promise<Figures | null>;
}

const CONNECTIONS: Growth = {
  id: 'connections',
  title: 'More connections',
  subtitle: `4 KiB random writes, ${IN_FLIGHT} in flight, spread over the connections; tmpfs`,
  x: { label: 'connections', scale: 'log', ticks: plain(1, 2, 4, 8, 16, 32, 64) },
  points: [1, 2, 4, 8, 16, 32, 64],
  lines: ['core log', 'disk log', 'nbdkit, one leg', 'QEMU quorum'],
  figures: [
    { figure: 'cpuMicroseconds', scale: 'log' },
    { figure: 'iops', scale: 'linear' },
  ],
  async measure(bench, line, point) {
    const plans = [PLANS.core, PLANS.disk, PLANS.nbdkit, PLANS.quorum];
    const server = await bench.start(plans[this.lines.indexOf(line)]!, SMALL_BYTES);
    await warm(server.uri, SMALL_BYTES);
    return load(bench, server, server.uri, {
      ...{ sizeBytes: SMALL_BYTES, connections: point, inFlight: IN_FLIGHT / point },
    });
  },
};

const LEGS: Growth = {
  id: 'legs',
  title: 'More legs',
  subtitle: '4 KiB random writes, 16 in flight; tmpfs; one leg is a linear device',
  x: { label: 'legs', scale: 'linear', ticks: plain(1, 2, 3, 4, 5, 6, 7, 8, 9) },
  points: [1, 2, 3, 4, 5, 6, 7, 8, 9],
  lines: ['core log', 'disk log', 'linear'],
  figures: [
    { figure: 'cpuMicroseconds', scale: 'linear' },
    { figure: 'iops', scale: 'linear' },
  ],
  async measure(bench, line, point) {
    if ((line === 'linear') !== (point === 1)) return null;
    const log = line === 'disk log' ? 'disk' : 'core';
    const plan = point === 1 ? linearPlan() : mirrorPlan(log, { legs: point });
    const server = await bench.start(plan, SMALL_BYTES);
    await warm(server.uri, SMALL_BYTES);
    return load(bench, server, server.uri, { sizeBytes: SMALL_BYTES, inFlight: 16 });
  },
};

const SIZE: Growth = {
  id: 'size',
  title: 'Larger devices',
  subtitle:
    '4 KiB writes at 20,000 places all over a sparse device, 16 in flight; regions of 512 KiB',
  x: {
    label: 'size of the device, GiB and TiB',
    scale: 'log',
    ticks: [
      ...[1, 4, 16, 64, 256].map((count) => ({ value: count * GIB, label: `${count}G` })),
      ...[1, 4, 16].map((count) => ({ value: count * TIB, label: `${count}T` })),
    ],
  },
  points: [1, 4, 16, 64, 256, 1024, 4096, 16384].map((count) => count * GIB),
  lines: ['core log', 'disk log'],
  figures: [
    { figure: 'cpuMicroseconds', scale: 'linear' },
    { figure: 'memoryMiB', scale: 'linear' },
    { figure: 'readyMs', scale: 'linear' },
  ],
  async measure(bench, line, point) {
    const server = await bench.start(mirrorPlan(line === 'disk log' ? 'disk' : 'core'), point);
    // The same places twice: the first time every write makes a page.
    await scatter(server.uri, point, SCATTERED_WRITES);
    const before = server.cpuSeconds();
    await scatter(server.uri, point, SCATTERED_WRITES);
    const cpuMicroseconds = ((server.cpuSeconds() - before) * 1e6) / SCATTERED_WRITES;
    const { readyMs } = server;
    return { cpuMicroseconds, memoryMiB: server.memoryMiB().most, readyMs };
  },
};

const EXPORTS: Growth = {
  id: 'exports',
  title: 'More exports',
  subtitle: 'mirrors of two legs in one process; 4 KiB random writes on one of them, 16 in flight',
  x: { label: 'exports', scale: 'linear', ticks: plain(1, 100, 200, 300, 400, 500) },
  points: [1, 50, 100, 200, 300, 400, 500],
  lines: ['core log', 'disk log'],
  figures: [
    { figure: 'cpuMicroseconds', scale: 'linear' },
    { figure: 'memoryMiB', scale: 'linear' },
    { figure: 'makeMs', scale: 'linear' },
  ],
  async measure(bench, line, point) {
    const server = await bench.start(daemonPlan(), MIB);
    const directory = bench.makeDirectory();
    const start = performance.now();
    for (let number = 0; number < point; number++) {
      const files = ['leg0', 'leg1', 'log'].map((name) => join(directory, `${name}.${number}`));
      for (const file of files) makeSparse(file, TINY_BYTES);
      const log = line === 'disk log' ? `disk 3 ${files[2]}` : 'core 2';
      const table = `0 ${TINY_BYTES / 512} mirror ${log} 1024 nosync 2 ${files[0]} 0 ${files[1]} 0`;
      await control(server, 'create', { device: `export${number}`, table });
    }
    const makeMs = performance.now() - start;
    const uri = exportUri(server.files.socket, `export${point - 1}`);
    const figures = await load(bench, server, uri, { sizeBytes: TINY_BYTES, inFlight: 16 });
    return { ...figures, memoryMiB: server.memoryMiB().now, makeMs };
  },
};

export const GROWTHS: readonly Growth[] = [CONNECTIONS, LEGS, SIZE, EXPORTS];

interface Load {
  readonly sizeBytes: number;
  readonly inFlight: number;
  readonly connections?: number;
}

/** 4 KiB random writes, after a little of the same that does not count. */
async function load(
  bench: Workbench,
  server: Server,
  uri: string,
  { sizeBytes, inFlight, connections = 1 }: Load,
): Promise<Figures> {
  const run = (milliseconds: number) =>
    runFio(uri, [
      ...['--rw=randwrite', '--bs=4k', `--iodepth=${inFlight}`, `--numjobs=${connections}`],
      ...[`--size=${sizeBytes}`, '--time_based', `--runtime=${milliseconds}ms`],
    ]);
  await run(WARM_UP_MS);
  const before = server.cpuSeconds();
  const { ios, iops } = await run(bench.options.seconds * 1000);
  return { cpuMicroseconds: ((server.cpuSeconds() - before) * 1e6) / ios, iops };
}

function plain(...values: readonly number[]): Tick[] {
  return values.map((value) => ({ value, label: `${value}` }));
}
