/**
 * The benchmark: every figure that the project gives of itself comes from here. What is measured,
 * and how, stands in the sections.
 *
 * Servers are on tmpfs behind unix sockets, so that software is compared and not disks; a section
 * that does otherwise says so.
 */

import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { CONTROL } from './lib/bench/control.ts';
import { FOOTPRINT } from './lib/bench/footprint.ts';
import { GROWTH } from './lib/bench/growth.ts';
import { HOSTILE } from './lib/bench/hostile.ts';
import { LOGS } from './lib/bench/logs.ts';
import { PROFILE } from './lib/bench/profile.ts';
import { RESYNC } from './lib/bench/resync.ts';
import type { Section } from './lib/bench/section.ts';
import { DELAYED_ARGS, OUR_NAMES, PEER_NAMES, type ServerName } from './lib/bench/server.ts';
import { STALLS } from './lib/bench/stalls.ts';
import { formatMarkdown, formatTable } from './lib/bench/table.ts';
import { THROUGHPUT } from './lib/bench/throughput.ts';
import { type BenchOptions, serveKnows, Workbench } from './lib/bench/workbench.ts';

const SECTIONS: readonly Section[] = [
  THROUGHPUT,
  RESYNC,
  FOOTPRINT,
  CONTROL,
  HOSTILE,
  STALLS,
  LOGS,
  GROWTH,
  PROFILE,
];

const SERVER_NAMES: readonly ServerName[] = [...OUR_NAMES, ...PEER_NAMES];

const USAGE = `usage: scripts/bench [OPTION]...

  --rounds N        measure everything N times and print medians (5)
  --seconds S       length of one measurement (3)
  --pause S         wait so long before each measurement, where others share the machine (0)
  --size MIB        size of the devices that are compared (256)
  --only NAME,...   only these sections, or parts of them
  --servers A,...   only these: ${SERVER_NAMES.join(', ')}
  --disk DIRECTORY  on real storage, for the sections that need it (/var/tmp)
  --plot            only the section growth, or parts of it, with pictures in docs/performance
  --json FILE       where to write all measurements (bench.json)
  --markdown        print the tables as Markdown

Sections, and their parts:
${SECTIONS.map(describe).join('\n')}`;

const MIB = 2 ** 20;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      pause: { type: 'string', default: '0' },
      size: { type: 'string', default: '256' },
      only: { type: 'string' },
      servers: { type: 'string', default: SERVER_NAMES.join(',') },
      disk: { type: 'string', default: '/var/tmp' },
      plot: { type: 'boolean', default: false },
      json: { type: 'string', default: 'bench.json' },
      markdown: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const chosen = chooseSections(values.only ?? (values.plot ? GROWTH.name : undefined));
  const options: BenchOptions = {
    rounds: positive('--rounds', values.rounds),
    seconds: positive('--seconds', values.seconds),
    pauseSeconds: numberOf('--pause', values.pause, 0),
    sizeBytes: positive('--size', values.size) * MIB,
    disk: values.disk,
    plot: values.plot ? 'docs/performance' : null,
    servers: await usable(choose('--servers', values.servers.split(','), SERVER_NAMES)),
  };
  const bench = new Workbench(options);
  process.once('SIGINT', () => bench.abort(130)).once('SIGTERM', () => bench.abort(143));
  const figures: Record<string, unknown> = {};
  const machine = { cpus: cpus().length, kernel: release(), node: process.version };
  try {
    for (const { section, parts } of chosen) {
      const result = await section.run(bench, parts);
      bench.progress('');
      for (const table of result.tables) {
        console.log(values.markdown ? formatMarkdown(table) : formatTable(table));
      }
      figures[section.name] = result.figures;
      // After each section: a later one that fails takes nothing away.
      const everything = { machine, options: values, figures };
      writeFileSync(values.json, `${JSON.stringify(everything, null, 2)}\n`);
    }
    console.log(`All measurements: ${values.json}`);
  } finally {
    await bench.end();
  }
}

interface Choice {
  readonly section: Section;
  readonly parts: readonly string[];
}

function chooseSections(only: string | undefined): Choice[] {
  if (only === undefined) {
    return SECTIONS.filter((section) => section.onDemand !== true).map((section) => ({
      section,
      parts: section.parts ?? [],
    }));
  }
  const known = SECTIONS.flatMap((section) => [section.name, ...(section.parts ?? [])]);
  const names = choose('--only', only.split(','), known);
  return SECTIONS.flatMap((section) => {
    const all = section.parts ?? [];
    if (names.includes(section.name)) return [{ section, parts: all }];
    const parts = all.filter((part) => names.includes(part));
    return parts.length > 0 ? [{ section, parts }] : [];
  });
}

function choose<T extends string>(option: string, wanted: string[], known: readonly T[]): T[] {
  const unknown = wanted.find((name) => !known.includes(name as T));
  if (unknown === undefined) return wanted as T[];
  throw new Error(`Unknown name in ${option}: "${unknown}", must be of ${known.join(', ')}`);
}

function positive(option: string, text: string): number {
  return numberOf(option, text, Number.MIN_VALUE);
}

function numberOf(option: string, text: string, least: number): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= least && Number.isFinite(value)) return value;
  const requirement = least > 0 ? 'a number above 0' : 'a number, 0 or more';
  throw new Error(`Bad ${option}: "${text}", must be ${requirement}`);
}

/** Without those that this version of ours cannot be. */
async function usable(names: readonly ServerName[]): Promise<ServerName[]> {
  const option = DELAYED_ARGS[0]!;
  if (!names.includes('delayed') || (await serveKnows(option))) return [...names];
  console.error(`bench: "delayed" is left out: this nbd-mirror has no ${option}`);
  return names.filter((name) => name !== 'delayed');
}

function describe({ name, summary, parts = [], onDemand = false }: Section): string {
  const text = `  ${name.padEnd(12)}${summary}${onDemand ? ' (only when named)' : ''}`;
  return parts.length === 0 ? text : `${text}\n${parts.map((part) => `    ${part}`).join('\n')}`;
}

await main().catch((error: Error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});
