/**
 * Whether slow storage below one device holds up the others of the same process: legs and a disk
 * log on real storage get into one trouble after the other, and a bystander with legs on tmpfs is
 * driven by fio meanwhile. The daemon's `stalls` tells how long its event loop was held up.
 */

import { execFile } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { LoopDelays } from '../../../src/control/verbs/loop-delays.ts';
import { runFio } from './fio.ts';
import type { Section, SectionResult } from './section.ts';
import { control, daemonPlan, exportUri, makeSparse, type Server } from './server.ts';
import { median } from './statistics.ts';
import { formatFigure, formatGoal, formatLimit, type Table } from './table.ts';
import type { Workbench } from './workbench.ts';

const run = promisify(execFile);
const MIB = 2 ** 20;
const TROUBLED_BYTES = 1024 * MIB;
const BYSTANDER_BYTES = 128 * MIB;
const STALL_MS_MAX = 20;
const DELAY_MS = 100;
const TMPFS_MAGIC = 0x01021994;

interface Trouble {
  /** For --only, behind "stalls-". */
  readonly id: string;
  readonly name: string;
  /** fio's arguments on the troubled device; null where the trouble comes without clients. */
  readonly load: readonly string[] | null;
  readonly prepare?: (stage: Stage) => Promise<void>;
  readonly settle?: (stage: Stage) => Promise<void>;
}

const RANDOM_WRITES = ['--rw=randwrite', '--bs=4k', '--iodepth=16'];

const TROUBLES: readonly Trouble[] = [
  { id: 'none', name: 'none', load: null },
  {
    id: 'flushed-writes',
    name: 'random writes, flushed every 4',
    load: [...RANDOM_WRITES, '--fsync=4'],
  },
  { id: 'large-writes', name: 'writes of 1 MiB, flushed every 64', load: write1m('--fsync=64') },
  { id: 'unflushed-writes', name: 'writes of 1 MiB, never flushed', load: write1m() },
  {
    id: 'cold-reads',
    name: 'reads that are not cached',
    load: ['--rw=randread', '--bs=64k', '--iodepth=16'],
    prepare: (stage) => stage.dropCaches(),
  },
  { id: 'discards', name: 'discards of 1 MiB', load: ['--rw=randtrim', '--bs=1m', '--iodepth=4'] },
  {
    id: 'delayed-leg',
    name: `one leg delayed by ${DELAY_MS} ms`,
    load: RANDOM_WRITES,
    prepare: (stage) => stage.delayLeg(),
  },
  {
    id: 'resync',
    name: 'resynchronisation',
    load: null,
    prepare: async (stage) => {
      await stage.dropCaches();
      await stage.resume('sync');
    },
    settle: (stage) => stage.resume('nosync'),
  },
];

interface Scene {
  readonly trouble: string;
  readonly delays: LoopDelays;
  readonly iops: number;
  readonly longestMs: number;
}

export const STALLS: Section = {
  name: 'stalls',
  summary: 'whether slow storage below one device holds up others (--disk)',
  parts: TROUBLES.map(({ id }) => `stalls-${id}`),
  async run(bench, parts): Promise<SectionResult> {
    // Without trouble there is nothing to compare with.
    const troubles = TROUBLES.filter(({ id }) => id === 'none' || parts.includes(`stalls-${id}`));
    const stage = await Stage.set(bench);
    const scenes: Scene[] = [];
    for (let round = 0; round < bench.options.rounds; round++) {
      for (const trouble of troubles) {
        bench.progress(`round ${round + 1}: ${trouble.name}`);
        await bench.pause();
        scenes.push(await stage.play(trouble));
      }
    }
    await bench.stop();
    return { tables: report(troubles, scenes), figures: scenes };
  },
};

class Stage {
  readonly #server: Server;
  readonly #legs: readonly string[];
  readonly #log: string;
  readonly #seconds: number;

  private constructor(server: Server, directory: string, seconds: number) {
    this.#server = server;
    this.#legs = ['leg0', 'leg1'].map((name) => join(directory, name));
    this.#log = join(directory, 'log');
    this.#seconds = seconds;
  }

  static async set(bench: Workbench): Promise<Stage> {
    const { disk, seconds } = bench.options;
    if (statfsSync(disk).type === TMPFS_MAGIC) {
      throw new Error(`Cannot measure stalls: "${disk}" is in memory, must be on a disk (--disk)`);
    }
    const server = await bench.start(daemonPlan(), MIB);
    const stage = new Stage(server, bench.makeDirectory(disk), seconds);
    for (const file of [...stage.#legs, stage.#log]) makeSparse(file, TROUBLED_BYTES);
    const quick = [0, 1].map((leg) => join(bench.makeDirectory(), `leg${leg}`));
    for (const file of quick) makeSparse(file, BYSTANDER_BYTES);
    const legs = `2 ${quick.map((file) => `${file} 0`).join(' ')}`;
    const table = `0 ${BYSTANDER_BYTES / 512} mirror core 2 1024 nosync ${legs}`;
    await control(server, 'create', { device: 'bystander', table });
    await control(server, 'create', { device: 'troubled', table: stage.#table('nosync') });
    for (const name of ['bystander', 'troubled']) {
      const bytes = name === 'troubled' ? TROUBLED_BYTES : BYSTANDER_BYTES;
      await runFio(stage.#uri(name), ['--rw=write', '--bs=1m', '--iodepth=4', `--size=${bytes}`]);
    }
    return stage;
  }

  async play(trouble: Trouble): Promise<Scene> {
    await trouble.prepare?.(this);
    const load = trouble.load === null ? null : this.#load(trouble.load);
    await sleep(500);
    const [delays, figures] = await Promise.all([
      control(this.#server, 'stalls', { seconds: this.#seconds }) as Promise<LoopDelays>,
      runFio(this.#uri('bystander'), [
        ...[...RANDOM_WRITES, `--size=${BYSTANDER_BYTES}`],
        ...['--time_based', `--runtime=${this.#seconds * 1000}ms`],
      ]),
    ]);
    await load;
    await control(this.#server, 'fault-remove', { all: true });
    await trouble.settle?.(this);
    await run('sync', [...this.#legs]);
    const { iops, maxMilliseconds: longestMs } = figures;
    return { trouble: trouble.name, delays, iops, longestMs };
  }

  async dropCaches(): Promise<void> {
    for (const leg of this.#legs) {
      await run('dd', [`if=${leg}`, 'iflag=nocache', 'of=/dev/null', 'count=0', 'status=none']);
    }
  }

  async delayLeg(): Promise<void> {
    const fault = `delay --ms ${DELAY_MS}`;
    await control(this.#server, 'fault', { device: 'troubled', target: 'leg1', fault });
  }

  async resume(sync: 'sync' | 'nosync'): Promise<void> {
    await control(this.#server, 'load', { device: 'troubled', table: this.#table(sync) });
    await control(this.#server, 'resume', { device: 'troubled' });
  }

  async #load(args: readonly string[]): Promise<void> {
    await runFio(this.#uri('troubled'), [
      ...[...args, `--size=${TROUBLED_BYTES}`],
      ...['--time_based', `--runtime=${this.#seconds * 1000 + 800}ms`],
    ]);
  }

  #table(sync: 'sync' | 'nosync'): string {
    const legs = `2 ${this.#legs.map((file) => `${file} 0`).join(' ')}`;
    return `0 ${TROUBLED_BYTES / 512} mirror disk 3 ${this.#log} 1024 ${sync} ${legs}`;
  }

  #uri(name: string): string {
    return exportUri(this.#server.files.socket, name);
  }
}

function report(troubles: readonly Trouble[], scenes: readonly Scene[]): Table[] {
  const of = (trouble: string) => scenes.filter((scene) => scene.trouble === trouble);
  const usual = median(of('none').map((scene) => scene.iops));
  const classes = scenes[0]!.delays.histogram;
  const names = classes.map(({ atLeastMs, belowMs }) =>
    belowMs === null ? `>=${atLeastMs}` : `<${belowMs}`,
  );
  return [
    {
      title: 'Stalls of the event loop, and what a bystander noticed',
      header: ['trouble', 'longest stall', 'bystander keeps', 'its longest request, ms'],
      rows: troubles.map(({ name }) => [
        name,
        formatLimit(Math.max(...of(name).map(({ delays }) => delays.maxMs)), STALL_MS_MAX, 'ms'),
        formatGoal(median(of(name).map((scene) => scene.iops)) / usual, undefined),
        formatFigure(Math.max(...of(name).map((scene) => scene.longestMs))),
      ]),
    },
    {
      title: 'How late the event loop was, in milliseconds, all rounds together',
      header: ['trouble', ...names],
      rows: troubles.map(({ name }) => [
        name,
        ...classes.map((_, index) => {
          const counts = of(name).map(({ delays }) => delays.histogram[index]!.count);
          const sum = counts.reduce((total, count) => total + count, 0);
          return sum === 0 ? '-' : sum.toLocaleString('en');
        }),
      ]),
    },
  ];
}

function write1m(...more: string[]): string[] {
  return ['--rw=write', '--bs=1m', '--iodepth=4', ...more];
}
