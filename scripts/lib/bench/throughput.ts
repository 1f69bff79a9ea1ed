/**
 * Requests per second, and what each costs: ours beside nbdkit's file plugin with one leg,
 * qemu-storage-daemon's quorum of two, and the physical limit.
 *
 * Each round has fresh servers on warm files, and measures them in an order of chance: the
 * machine's mood changes slowly, and so hits all alike. Read the ratios, not the digits.
 */

import { runWorkload, type Workload, warm } from './fio.ts';
import { buildLimit, type Limit } from './limit.ts';
import type { Section, SectionResult } from './section.ts';
import { PLANS, type Server, type ServerName } from './server.ts';
import { shuffled } from './statistics.ts';
import {
  type Measurement,
  type Results,
  reportThroughput,
  type Subject,
} from './throughput-report.ts';
import type { Workbench } from './workbench.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

export const WORKLOADS: readonly Workload[] = [
  { name: 'randwrite-4k-1', rw: 'randwrite', blockBytes: 4 * KIB, inFlight: 1 },
  { name: 'randwrite-4k-16', rw: 'randwrite', blockBytes: 4 * KIB, inFlight: 16 },
  { name: 'randwrite-64k-16', rw: 'randwrite', blockBytes: 64 * KIB, inFlight: 16 },
  { name: 'write-1m-4', rw: 'write', blockBytes: MIB, inFlight: 4 },
  { name: 'randread-4k-1', rw: 'randread', blockBytes: 4 * KIB, inFlight: 1 },
  { name: 'randread-4k-16', rw: 'randread', blockBytes: 4 * KIB, inFlight: 16 },
  { name: 'read-1m-4', rw: 'read', blockBytes: MIB, inFlight: 4 },
];

/** Before each measurement: code is compiled, estimates have settled. */
const WARM_UP_SECONDS = 0.3;

export const THROUGHPUT: Section = {
  name: 'throughput',
  summary: 'requests of fio beside nbdkit and QEMU, and their price',
  parts: WORKLOADS.map((work) => work.name),
  async run(bench, parts): Promise<SectionResult> {
    const works = WORKLOADS.filter((work) => parts.includes(work.name));
    const names = bench.options.servers;
    const subjects: Subject[] = [...names];
    const limit = await buildLimit(bench.directory);
    if (limit !== null) subjects.push('limit');
    const results: Results = Object.fromEntries(works.map((work) => [work.name, {}]));
    for (let round = 0; round < bench.options.rounds; round++) {
      await runRound(bench, { works, subjects, limit }, results, `round ${round + 1}`);
    }
    return { tables: reportThroughput(works, subjects, results), figures: results };
  },
};

interface Plan {
  readonly works: readonly Workload[];
  readonly subjects: readonly Subject[];
  readonly limit: Limit | null;
}

async function runRound(
  bench: Workbench,
  { works, subjects, limit }: Plan,
  results: Results,
  title: string,
): Promise<void> {
  const { seconds, sizeBytes, servers: names } = bench.options;
  const servers = new Map<ServerName, Server>();
  for (const name of names) {
    bench.progress(`${title}: ${name} starts`);
    const server = await bench.start(PLANS[name], sizeBytes);
    await warm(server.uri, sizeBytes);
    servers.set(name, server);
  }
  const files = limit === null ? [] : await limit.makeFiles(bench.makeDirectory(), sizeBytes);
  for (const work of works) {
    const note = (subject: Subject, measurement: Measurement) => {
      const own = results[work.name]!;
      own[subject] = [...(own[subject] ?? []), measurement];
    };
    for (const subject of shuffled(subjects)) {
      bench.progress(`${title}: ${work.name} ${subject}`);
      await bench.pause();
      if (subject === 'limit') note(subject, await limit!.measure(work, files, bench.options));
      else note(subject, await measure(servers.get(subject)!, work, { seconds, sizeBytes }));
    }
  }
  await bench.stop();
}

async function measure(
  server: Server,
  work: Workload,
  length: { readonly seconds: number; readonly sizeBytes: number },
): Promise<Measurement> {
  await runWorkload(server.uri, work, { ...length, seconds: WARM_UP_SECONDS });
  const before = server.cpuSeconds();
  const figures = await runWorkload(server.uri, work, length);
  const cpuMicroseconds = ((server.cpuSeconds() - before) * 1e6) / figures.ios;
  const { iops, mibPerSecond, p99Microseconds, clientCores } = figures;
  return { iops, mibPerSecond, p99Microseconds, cpuMicroseconds, clientCores };
}
