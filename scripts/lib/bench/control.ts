/**
 * Driving a daemon while its device is under full load: how long a verb takes to answer, and how
 * long the device's client waits at most when its table is replaced.
 *
 * A verb is timed from the connection to the end of its answer, in this process: what a script
 * waits for, without the start of a program. A pause is the longest request that fio saw while
 * tables were replaced, one after the other, beside the longest without.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { type FioFigures, runWorkload, type Workload, warm } from './fio.ts';
import type { Section, SectionResult } from './section.ts';
import { control, mirrorPlan, type Server } from './server.ts';
import { median } from './statistics.ts';
import { formatFigure, formatLimit, type Table } from './table.ts';
import type { Workbench } from './workbench.ts';

const DEVICE = 'mirror';
const VERB_MS_MAX = 20;
const PAUSE_MS_MAX = 50;
/** fio has begun, and code is warm, so long after its start. */
const BEGIN_MS = 700;
/** Between two rounds of verbs, and between two reloads. */
const REST_MS = 20;

const LOAD: Workload = {
  name: 'randwrite-4k-16',
  rw: 'randwrite',
  blockBytes: 4096,
  inFlight: 16,
};

type Log = 'core' | 'disk';
const LOGS: readonly Log[] = ['core', 'disk'];

interface Step {
  readonly verb: string;
  readonly input: object;
}

/** In an order that leaves everything as it was; `table` is the one that is live. */
function verbs(table: string): readonly Step[] {
  const device = DEVICE;
  return [
    { verb: 'ls', input: {} },
    { verb: 'info', input: { device } },
    { verb: 'status', input: { device } },
    { verb: 'table', input: { device } },
    { verb: 'deps', input: { device } },
    { verb: 'load', input: { device, table } },
    { verb: 'clear', input: { device } },
    { verb: 'suspend', input: { device, noflush: true } },
    { verb: 'resume', input: { device } },
    { verb: 'fault', input: { device, target: 'leg1', fault: 'error --op read --count 1' } },
    { verb: 'fault-remove', input: { all: true } },
    { verb: 'create', input: { device: 'other', table: '0 2048 zero' } },
    { verb: 'remove', input: { device: 'other' } },
  ];
}

const RELOADS: Readonly<Record<string, (table: string) => readonly Step[]>> = {
  none: () => [],
  'load, resume': (table) => [
    { verb: 'load', input: { device: DEVICE, table } },
    { verb: 'resume', input: { device: DEVICE } },
  ],
  'load, suspend --noflush, resume': (table) => [
    { verb: 'load', input: { device: DEVICE, table } },
    { verb: 'suspend', input: { device: DEVICE, noflush: true } },
    { verb: 'resume', input: { device: DEVICE } },
  ],
};

interface Reloading {
  readonly log: Log;
  readonly how: string;
  readonly reloads: number;
  readonly longestMs: number;
  readonly iops: number;
}

export const CONTROL: Section = {
  name: 'control',
  summary: 'verbs and reloads while the device is under full load',
  parts: ['verbs', 'reloads'],
  async run(bench, parts): Promise<SectionResult> {
    const tables: Table[] = [];
    const verbMs: Record<string, Record<string, number[]>> = {};
    const reloading: Reloading[] = [];
    for (const log of LOGS) {
      if (parts.includes('verbs')) verbMs[log] = await measureVerbs(bench, log);
      if (parts.includes('reloads')) reloading.push(...(await measureReloads(bench, log)));
    }
    if (parts.includes('verbs')) tables.push(verbTable(verbMs));
    if (parts.includes('reloads')) tables.push(reloadTable(reloading));
    return { tables, figures: { verbMs, reloading } };
  },
};

/** Milliseconds, by verb. */
async function measureVerbs(bench: Workbench, log: Log): Promise<Record<string, number[]>> {
  const took: Record<string, number[]> = {};
  for (let round = 0; round < bench.options.rounds; round++) {
    bench.progress(`round ${round + 1}: verbs, ${log} log`);
    const { server, table } = await startServer(bench, log);
    await underLoad(bench, server, async () => {
      for (const { verb, input } of verbs(table)) {
        const start = performance.now();
        await control(server, verb, input);
        took[verb] = [...(took[verb] ?? []), performance.now() - start];
      }
    });
    await bench.stop();
  }
  return took;
}

async function measureReloads(bench: Workbench, log: Log): Promise<Reloading[]> {
  const result: Reloading[] = [];
  for (let round = 0; round < bench.options.rounds; round++) {
    for (const [how, steps] of Object.entries(RELOADS)) {
      bench.progress(`round ${round + 1}: reloads, ${log} log, ${how}`);
      const { server, table } = await startServer(bench, log);
      let reloads = 0;
      const figures = await underLoad(bench, server, async () => {
        for (const { verb, input } of steps(table)) await control(server, verb, input);
        if (how !== 'none') reloads += 1;
      });
      const { iops, maxMilliseconds: longestMs } = figures;
      result.push({ log, how, reloads, longestMs, iops });
      await bench.stop();
    }
  }
  return result;
}

async function startServer(
  bench: Workbench,
  log: Log,
): Promise<{ readonly server: Server; readonly table: string }> {
  const { sizeBytes } = bench.options;
  const server = await bench.start(mirrorPlan(log, { controlled: true }), sizeBytes);
  const { legs } = server.files;
  const words = log === 'core' ? 'core 2 1024 nosync' : `disk 2 ${server.files.log} 1024`;
  const places = legs.map((leg) => `${leg} 0`).join(' ');
  const table = `0 ${sizeBytes / 512} mirror ${words} ${legs.length} ${places}`;
  await warm(server.uri, sizeBytes);
  return { server, table };
}

/** Does something over and over while fio writes, and until it ends; what fio saw. */
async function underLoad(
  bench: Workbench,
  server: Server,
  work: () => Promise<void>,
): Promise<FioFigures> {
  const { seconds, sizeBytes } = bench.options;
  let ended = false;
  const length = { seconds: seconds + BEGIN_MS / 1000, sizeBytes };
  const loading = runWorkload(server.uri, LOAD, length).finally(() => {
    ended = true;
  });
  // Whoever waits for both must learn of its failure, too.
  loading.catch(() => undefined);
  await sleep(BEGIN_MS);
  while (!ended) {
    await work();
    await sleep(REST_MS);
  }
  return loading;
}

function verbTable(verbMs: Record<string, Record<string, number[]>>): Table {
  const rows = Object.entries(verbMs).flatMap(([log, byVerb]) =>
    Object.entries(byVerb).map(([verb, took]) => [
      log,
      verb,
      formatFigure(median(took)),
      formatLimit(percentile(took, 0.99), VERB_MS_MAX, 'ms'),
      formatFigure(Math.max(...took)),
      String(took.length),
    ]),
  );
  return {
    title: 'Verbs under full load (4 KiB random writes, 16 in flight), milliseconds',
    header: ['log', 'verb', 'median', '99 of 100', 'longest', 'calls'],
    rows,
  };
}

function reloadTable(reloading: readonly Reloading[]): Table {
  const rows = LOGS.flatMap((log) =>
    Object.keys(RELOADS).map((how) => {
      const runs = reloading.filter((one) => one.log === log && one.how === how);
      const longest = runs.map(({ longestMs }) => longestMs);
      return [
        log,
        how,
        formatLimit(median(longest), PAUSE_MS_MAX, 'ms'),
        formatFigure(Math.max(...longest)),
        String(runs.reduce((sum, { reloads }) => sum + reloads, 0)),
        formatFigure(median(runs.map(({ iops }) => iops))),
      ];
    }),
  );
  return {
    title: 'Reloads under full load: the longest request of a client',
    header: ['log', 'reload', 'longest in a run', 'of all', 'reloads', 'IOPS'],
    rows,
  };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
