/**
 * The benchmark: ours beside nbdkit's file plugin with one leg and qemu-storage-daemon's quorum of
 * two.
 *
 * Everything is on tmpfs behind unix sockets, so that software is compared and not disks. The runs
 * of the servers are interleaved in rounds, in turning order, and medians are printed: the
 * machine's mood changes slowly, and so hits all alike. Read the ratios, not the digits.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type FootprintRow, printFootprint, printWorkloads } from './lib/bench-report.ts';
import {
  mirrorPlan,
  PLANS,
  SERVER_NAMES,
  Server,
  type ServerName,
  type ServerPlan,
} from './lib/bench-servers.ts';
import {
  type Measurement,
  measure,
  scatter,
  WORKLOADS,
  type Workload,
  warm,
} from './lib/bench-workloads.ts';

const USAGE = `usage: scripts/bench [OPTION]...

  --rounds N        measure everything N times and print medians (3)
  --seconds S       length of one measurement (3)
  --size MIB        size of the device (512)
  --only NAME,...   only these: ${WORKLOADS.map((work) => work.name).join(', ')}, footprint
  --servers A,...   only these: ${SERVER_NAMES.join(', ')}
  --json FILE       where to write the figures (bench.json)`;

const MIB = 2 ** 20;
const TIB = 2 ** 40;
const STARTS = 5;
const SCATTERED_WRITES = 20_000;

type Results = Record<string, Partial<Record<ServerName, Measurement[]>>>;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      size: { type: 'string', default: '512' },
      only: { type: 'string' },
      servers: { type: 'string', default: SERVER_NAMES.join(',') },
      json: { type: 'string', default: 'bench.json' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const known = [...WORKLOADS.map((work) => work.name), 'footprint'];
  const chosen = choose('--only', values.only?.split(',') ?? known, known);
  const names = choose('--servers', values.servers.split(','), SERVER_NAMES);
  const works = WORKLOADS.filter((work) => chosen.includes(work.name));
  const directory = mkdtempSync('/dev/shm/nbd-mirror-bench.');
  const bench = new Bench(directory, Number(values.size) * MIB, Number(values.seconds));
  process.once('SIGINT', () => bench.abort(130)).once('SIGTERM', () => bench.abort(143));
  try {
    const results = await bench.workloads(works, names, Number(values.rounds));
    if (works.length > 0) printWorkloads(works, names, results);
    const footprint =
      chosen.includes('footprint') && names.includes('mirror') ? await bench.footprint() : [];
    if (footprint.length > 0) printFootprint(footprint);
    const machine = { cpus: cpus().length, kernel: release(), node: process.version };
    writeFileSync(
      values.json,
      `${JSON.stringify({ machine, options: values, results, footprint }, null, 2)}\n`,
    );
    console.log(`\nAll measurements: ${values.json}`);
  } finally {
    await bench.stop();
    rmSync(directory, { recursive: true });
  }
}

function choose<T extends string>(option: string, wanted: string[], known: readonly T[]): T[] {
  const unknown = wanted.find((name) => !known.includes(name as T));
  if (unknown === undefined) return wanted as T[];
  throw new Error(`Unknown name in ${option}: "${unknown}", must be of ${known.join(', ')}`);
}

class Bench {
  readonly #directory: string;
  readonly #sizeBytes: number;
  readonly #seconds: number;
  readonly #running = new Set<Server>();
  #started = 0;

  constructor(directory: string, sizeBytes: number, seconds: number) {
    this.#directory = directory;
    this.#sizeBytes = sizeBytes;
    this.#seconds = seconds;
  }

  async workloads(
    works: readonly Workload[],
    names: readonly ServerName[],
    rounds: number,
  ): Promise<Results> {
    const results: Results = Object.fromEntries(works.map((work) => [work.name, {}]));
    if (works.length === 0) return results;
    const servers = new Map<ServerName, Server>();
    for (const name of names) {
      const server = await this.#start(PLANS[name], this.#sizeBytes);
      await warm(server.uri, this.#sizeBytes);
      servers.set(name, server);
    }
    for (let round = 0; round < rounds; round++) {
      for (const work of works) {
        process.stderr.write(`\rround ${round + 1} of ${rounds}: ${work.name.padEnd(20)}`);
        for (let turn = 0; turn < names.length; turn++) {
          const name = names[(turn + round) % names.length]!;
          const measurement = await measure(servers.get(name)!.uri, work, {
            seconds: this.#seconds,
            sizeBytes: this.#sizeBytes,
          });
          const own = results[work.name]!;
          own[name] = [...(own[name] ?? []), measurement];
        }
      }
    }
    process.stderr.write('\n');
    await this.stop();
    return results;
  }

  /** Time to start, and memory: idle, and with the region maps of a huge device. */
  async footprint(): Promise<FootprintRow[]> {
    const readyMs: number[] = [];
    const idleMiB: number[] = [];
    for (let start = 0; start < STARTS; start++) {
      const server = await this.#start(PLANS.mirror, this.#sizeBytes);
      readyMs.push(server.readyMs);
      idleMiB.push(server.memoryMiB().now);
      await this.stop();
    }
    const rows: FootprintRow[] = [
      { name: 'start to ready', values: readyMs, unit: 'ms', atMost: 500 },
      { name: 'memory, idle', values: idleMiB, unit: 'MiB', atMost: 120 },
    ];
    for (const log of ['core', 'disk'] as const) {
      const server = await this.#start(mirrorPlan(log), 8 * TIB);
      await scatter(server.uri, 8 * TIB, SCATTERED_WRITES);
      const { most } = server.memoryMiB();
      const name = `memory at most, 8 TiB, 512 KiB regions, ${log} log, scattered writes`;
      rows.push({ name, values: [most], unit: 'MiB', atMost: 200 });
      await this.stop();
    }
    return rows;
  }

  /** Stops every server that runs, and frees their files. */
  async stop(): Promise<void> {
    for (const server of this.#running) await server.stop();
    this.#running.clear();
    for (let index = 0; index < this.#started; index++) {
      rmSync(join(this.#directory, String(index)), { recursive: true, force: true });
    }
  }

  /** Interrupted: leaves nothing behind. */
  abort(status: number): void {
    for (const server of this.#running) server.kill();
    rmSync(this.#directory, { recursive: true, force: true });
    process.exit(status);
  }

  async #start(plan: ServerPlan, sizeBytes: number): Promise<Server> {
    const directory = join(this.#directory, String(this.#started++));
    mkdirSync(directory);
    const server = await Server.start(plan, directory, sizeBytes);
    this.#running.add(server);
    return server;
  }
}

await main().catch((error: Error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});
