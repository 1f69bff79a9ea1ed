/**
 * Logs in another process: mirrors whose log is at a log server, beside the same mirrors with logs
 * of their own; how often a log server is asked, and etcd written; and how soon a dead node is
 * taken over.
 *
 * Of a device of few regions most writes go to regions that are marked already. With many regions,
 * all written at random, nearly every write marks one, and each turn of the mirror waits for the
 * log server: that is the worst that can be asked.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../../src/base/log.ts';
import { silentProbe } from '../../../src/base/probe.ts';
import { toRegion, toSectorCount } from '../../../src/base/units.ts';
import { openLogChannel } from '../../../src/daemon/logd/log-socket-transport.ts';
import { SystemClock } from '../../../src/daemon/system-clock.ts';
import { createUserspaceLogType } from '../../../src/dirtylog/userspace/userspace-log.ts';
import { type Logd, startEtcd, startLogd } from './daemon.ts';
import { runWorkload, type Workload, warm } from './fio.ts';
import type { Section, SectionResult } from './section.ts';
import { makeSparse, type ServerPlan, serveCommand } from './server.ts';
import { median, medianRatio, shuffled } from './statistics.ts';
import { formatFigure, formatGoal, formatLimit, type Table } from './table.ts';
import type { Workbench } from './workbench.ts';

const WRITES: Workload = { name: 'writes', rw: 'randwrite', blockBytes: 4096, inFlight: 16 };
const WARM_UP_SECONDS = 0.5;
const SECTOR_BYTES = 512;

/** A kind of log, and what it is compared with. */
interface Subject {
  readonly name: string;
  /** The log's words in the table; null: none before the count. */
  readonly words: (log: string, region: string) => string[];
  readonly served: 'no' | 'local' | 'etcd';
  readonly against: string | null;
  readonly wanted?: number;
}

const SUBJECTS: readonly Subject[] = [
  { name: 'core', words: (_, region) => ['core', region], served: 'no', against: null },
  { name: 'disk', words: (log, region) => ['disk', log, region], served: 'no', against: null },
  {
    name: 'userspace core',
    words: (_, region) => ['userspace', 'bench', 'core', region],
    served: 'local',
    against: 'core',
    wanted: 0.5,
  },
  {
    name: 'userspace disk',
    words: (log, region) => ['userspace', 'bench', 'disk', log, region],
    served: 'local',
    against: 'disk',
  },
  {
    name: 'clustered-core',
    words: (_, region) => ['userspace', 'bench', 'clustered-core', region],
    served: 'etcd',
    against: 'core',
  },
  {
    name: 'clustered-disk',
    words: (log, region) => ['userspace', 'bench', 'clustered-disk', log, region],
    served: 'etcd',
    against: 'disk',
  },
];

/** Regions of 512 KiB, and of 4 KiB: 512 and 65,536 of a device of 256 MiB. */
const REGION_SECTORS: Readonly<Record<string, number>> = { 'logs-few': 1024, 'logs-many': 8 };
/** A mark that was cleared stays in the store for 3 s, and would spare a transaction. */
const FORGOTTEN_MS = 4000;
/** Etcd's transactions for each time that a mirror marks regions. */
const TRANSACTIONS_PER_TURN_MAX = 1;

interface Figures {
  readonly iops: number;
  /** Of the log server; null where there is none. */
  readonly messagesPerWrite: number | null;
  /** Of etcd, for each request that marks regions; null where there is none. */
  readonly transactionsPerTurn: number | null;
}

export const LOGS: Section = {
  name: 'logs',
  summary: 'logs at a log server and in etcd, beside logs of the mirror',
  parts: ['logs-few', 'logs-many', 'round-trips', 'takeover'],
  async run(bench, parts): Promise<SectionResult> {
    const tables: Table[] = [];
    const figures: Record<string, unknown> = {};
    for (const part of parts.filter((name) => name in REGION_SECTORS)) {
      const results = await compare(bench, part);
      tables.push(toTable(part, results));
      figures[part] = results;
    }
    if (parts.includes('round-trips')) {
      const rates = await repeat(bench, 'round trips', roundTrips);
      figures['round-trips'] = rates;
      tables.push(
        summary('A region marked and flushed, one after the other', [
          ['round trips per second', formatFigure(median(rates))],
        ]),
      );
    }
    if (parts.includes('takeover')) {
      const seconds = await repeat(bench, 'takeover', takeover);
      figures.takeover = seconds;
      const limit = formatLimit(Math.max(...seconds), LEASE_SECONDS + 1, 's');
      tables.push(
        summary(`Death of a node to its takeover; a lease lasts ${LEASE_SECONDS} s`, [
          ['median, s', formatFigure(median(seconds))],
          ['longest', limit],
        ]),
      );
    }
    return { tables, figures };
  },
};

async function repeat(
  bench: Workbench,
  what: string,
  measure: (bench: Workbench) => Promise<number>,
): Promise<number[]> {
  const results: number[] = [];
  for (let round = 0; round < bench.options.rounds; round++) {
    bench.progress(`round ${round + 1}: ${what}`);
    await bench.pause();
    try {
      results.push(await measure(bench));
    } finally {
      await bench.stop();
    }
  }
  return results;
}

// --- beside logs of the mirror ------------------------------------------------------------------

type Results = Record<string, Figures[]>;

async function compare(bench: Workbench, part: string): Promise<Results> {
  const results: Results = {};
  for (let round = 0; round < bench.options.rounds; round++) {
    for (const subject of shuffled(SUBJECTS)) {
      bench.progress(`round ${round + 1}: ${part}: ${subject.name}`);
      await bench.pause();
      const figures = await write(bench, subject, REGION_SECTORS[part]!);
      results[subject.name] = [...(results[subject.name] ?? []), figures];
      await bench.stop();
    }
  }
  return results;
}

async function write(bench: Workbench, subject: Subject, regionSectors: number): Promise<Figures> {
  const { seconds, sizeBytes } = bench.options;
  const logd = await logdFor(bench, subject);
  const server = await bench.start(planOf(subject, regionSectors, logd), sizeBytes);
  await warm(server.uri, sizeBytes);
  await runWorkload(server.uri, WRITES, { seconds: WARM_UP_SECONDS, sizeBytes });
  if (subject.served === 'etcd') await sleep(FORGOTTEN_MS);
  const before = await logd?.status();
  const { iops, ios } = await runWorkload(server.uri, WRITES, { seconds, sizeBytes });
  const after = await logd?.status();
  if (before === undefined || after === undefined) {
    return { iops, messagesPerWrite: null, transactionsPerTurn: null };
  }
  const sum = (counts: Readonly<Record<string, number>>) =>
    Object.values(counts).reduce((total, count) => total + count, 0);
  const marks = (after.requests.MARK_REGION ?? 0) - (before.requests.MARK_REGION ?? 0);
  const transactions =
    (after.cluster?.transactions ?? Number.NaN) - (before.cluster?.transactions ?? Number.NaN);
  return {
    iops,
    messagesPerWrite: (sum(after.requests) - sum(before.requests)) / ios,
    transactionsPerTurn: subject.served === 'etcd' ? transactions / Math.max(1, marks) : null,
  };
}

async function logdFor(bench: Workbench, { served }: Subject): Promise<Logd | undefined> {
  if (served === 'no') return undefined;
  if (served === 'local') return startLogd(bench);
  return startLogd(bench, ['--etcd', await startEtcd(bench), '--node', 'a']);
}

function planOf(subject: Subject, regionSectors: number, logd: Logd | undefined): ServerPlan {
  return {
    label: `nbd-mirror, ${subject.name} log`,
    legs: 2,
    command: (files) => {
      const [type, ...words] = subject.words(files.log, String(regionSectors));
      const log = [type, words.length + 1, ...words, 'nosync'].join(' ');
      const sectors = files.sizeBytes / SECTOR_BYTES;
      const legs = [files.legs.length, ...files.legs.flatMap((leg) => [leg, 0])].join(' ');
      const table = `0 ${sectors} mirror ${log} ${legs}`;
      const at = logd === undefined ? [] : ['--log-server', logd.socket];
      return [...serveCommand(files, false), ...at, '--table', table];
    },
  };
}

function toTable(part: string, results: Results): Table {
  const iops = (name: string) => results[name]!.map((figures) => figures.iops);
  const rows = SUBJECTS.map(({ name, against, wanted }) => {
    const ratio = against === null ? Number.NaN : medianRatio(iops(name), iops(against));
    const own = results[name]!;
    const messages = median(own.map((figures) => figures.messagesPerWrite ?? Number.NaN));
    const transactions = median(own.map((figures) => figures.transactionsPerTurn ?? Number.NaN));
    return [
      name,
      formatFigure(median(iops(name))),
      against === null ? '-' : `${formatGoal(ratio, wanted)} x ${against}`,
      formatFigure(messages),
      formatLimit(transactions, TRANSACTIONS_PER_TURN_MAX, '').replace('  ', ' '),
    ];
  });
  const regions = part === 'logs-few' ? 'few regions' : 'many regions, each write marks one';
  return {
    title: `Logs at a log server: 4 KiB random writes, 16 in flight; ${regions}`,
    header: ['log', 'IOPS', 'ratio', 'messages per write', 'etcd transactions per turn'],
    rows,
  };
}

// --- round trips --------------------------------------------------------------------------------

/** One client, which marks one region after the other. */
async function roundTrips(bench: Workbench): Promise<number> {
  const { socket } = await startLogd(bench);
  const clock = new SystemClock();
  const channel = openLogChannel(socket, { clock, log: silentLogger });
  const regionCount = 2 ** 20;
  const log = await createUserspaceLogType(channel).create({
    args: ['bench', 'core', '8', 'nosync'],
    flushLegs: () => 0,
    target: {
      length: toSectorCount(regionCount * 8),
      deviceName: 'bench',
      clock,
      log: silentLogger,
      probe: silentProbe,
      getDevice: () => Promise.reject(new Error('A core log has no device')),
      putDevice: async () => undefined,
      event: () => undefined,
      noflushSuspending: () => false,
    },
  });
  await log.resume();
  let marked = 0;
  const markFor = async (seconds: number): Promise<number> => {
    const [start, first] = [performance.now(), marked];
    while (performance.now() - start < seconds * 1000) {
      log.markRegion(toRegion(marked++ % regionCount));
      if ((await log.flush()) !== 0) throw new Error('A flush failed');
    }
    return ((marked - first) * 1000) / (performance.now() - start);
  };
  await markFor(WARM_UP_SECONDS);
  const rate = await markFor(bench.options.seconds);
  channel.close();
  return rate;
}

// --- takeover -----------------------------------------------------------------------------------

/** The shortest that etcd knows. */
const LEASE_SECONDS = 2;
const TAKEN_OVER = 'taking over from a dead node';

/** Seconds from the death of a node that writes until another one takes over. */
async function takeover(bench: Workbench): Promise<number> {
  const sizeBytes = 64 * 2 ** 20;
  const etcd = await startEtcd(bench);
  const files = bench.makeDirectory();
  const [log, ...legs] = ['log', 'leg0', 'leg1'].map((name) => join(files, name));
  for (const leg of legs) makeSparse(leg, sizeBytes);
  makeSparse(log!, 2 ** 20);
  const table = [
    ...['0', sizeBytes / SECTOR_BYTES, 'mirror userspace 5 bench clustered-disk', log, '1024'],
    ...['nosync 2', legs[0], '0', legs[1], '0 1 handle_errors'],
  ].join(' ');
  const start = async (node: string) => {
    const more = ['--etcd', etcd, '--node', node, '--lease', String(LEASE_SECONDS)];
    const logd = await startLogd(bench, more);
    const server = await bench.start(
      {
        label: `node ${node}`,
        legs: 0,
        command: (own) => [
          ...serveCommand(own, false),
          ...['--log-server', logd.socket, '--table', table],
        ],
      },
      sizeBytes,
    );
    return { logd, server };
  };
  const survivor = await start('a');
  const victim = await start('b');
  const load = spawn(
    'fio',
    [
      ...['--name=load', '--ioengine=nbd', `--uri=${victim.server.uri}`, '--rw=randwrite'],
      ...['--bs=4k', '--iodepth=16', `--size=${sizeBytes}`, '--time_based', '--runtime=60'],
    ],
    { stdio: 'ignore' },
  );
  const isOver = once(load, 'exit');
  await sleep(1000);
  const killedAt = performance.now();
  victim.logd.daemon.kill();
  victim.server.kill();
  const giveUpAt = killedAt + 30_000;
  while (!survivor.logd.daemon.said.includes(TAKEN_OVER)) {
    if (performance.now() > giveUpAt) throw new Error('A dead node was not taken over');
    await sleep(5);
  }
  const seconds = (performance.now() - killedAt) / 1000;
  load.kill('SIGKILL');
  await isOver;
  return seconds;
}

function summary(title: string, rows: readonly (readonly string[])[]): Table {
  return { title, header: ['figure', 'value'], rows };
}
