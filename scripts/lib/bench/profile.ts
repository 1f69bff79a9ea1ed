/** Where the write path spends its time: a CPU profile of our server under 4 KiB random writes. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CpuProfile, type Share, summarizeProfile } from './cpu-profile.ts';
import { runWorkload, type Workload, warm } from './fio.ts';
import type { Section, SectionResult } from './section.ts';
import { mirrorPlan, type OurName, type ServerPlan } from './server.ts';
import type { Table } from './table.ts';
import type { Workbench } from './workbench.ts';

const WRITES: Workload = { name: 'writes', rw: 'randwrite', blockBytes: 4096, inFlight: 16 };
const LOGS = ['core', 'disk'] as const;
/** Until code is compiled. */
const WARM_UP_MICROSECONDS = 1e6;
const FUNCTIONS = 15;

export const PROFILE: Section = {
  name: 'profile',
  summary: 'where our server spends its time on small writes',
  onDemand: true,
  async run(bench): Promise<SectionResult> {
    const tables: Table[] = [];
    const figures: Record<string, unknown> = {};
    for (const log of LOGS) {
      bench.progress(`profile: ${log} log`);
      const { profile, skipMicroseconds } = await record(bench, log);
      const summary = summarizeProfile(profile, skipMicroseconds);
      const busy = `the event loop was busy for ${percent(summary.busyShare)} of the time`;
      const title = `${log} log, 4 KiB random writes, 16 in flight; ${busy}`;
      tables.push(toTable(`By place: ${title}`, 'place', summary.byPlace));
      const first = summary.byFunction.slice(0, FUNCTIONS);
      tables.push(toTable(`By function: ${title}`, 'function', first));
      figures[log] = summary;
    }
    return { tables, figures };
  },
};

interface Recording {
  readonly profile: CpuProfile;
  /** What is no steady load. */
  readonly skipMicroseconds: number;
}

async function record(bench: Workbench, log: OurName): Promise<Recording> {
  const { seconds, sizeBytes } = bench.options;
  const directory = bench.makeDirectory();
  const server = await bench.start(profiled(mirrorPlan(log), directory), sizeBytes);
  await warm(server.uri, sizeBytes);
  await bench.pause();
  const start = monotonicMicroseconds();
  await runWorkload(server.uri, WRITES, { seconds: seconds + 1, sizeBytes });
  // The profile is written at the end of the process.
  await server.stop();
  const file = readdirSync(directory).find((name) => name.endsWith('.cpuprofile'));
  if (file === undefined) throw new Error(`No profile was written to "${directory}"`);
  const profile = JSON.parse(readFileSync(join(directory, file), 'utf8')) as CpuProfile;
  await bench.stop();
  return { profile, skipMicroseconds: start - profile.startTime + WARM_UP_MICROSECONDS };
}

/** Of the clock that profiles are kept by. */
function monotonicMicroseconds(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

function profiled(plan: ServerPlan, directory: string): ServerPlan {
  return {
    ...plan,
    command: (files) => {
      const [node, ...words] = plan.command(files);
      return [node!, '--cpu-prof', `--cpu-prof-dir=${directory}`, ...words];
    },
  };
}

function toTable(title: string, what: string, shares: readonly Share[]): Table {
  const rows = shares.map(({ name, share }) => [name, percent(share)]);
  return { title, header: [what, 'share'], rows };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
