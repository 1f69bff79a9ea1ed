/**
 * Resynchronisation of 1 GiB against `cp` of the same file, on tmpfs.
 *
 * Timed from the request that makes the mirror to the event that says it is in sync. Both legs are
 * warm. `cp` cuts the old file off and so writes to new pages; `dd` without that writes to warm
 * ones, as the mirror does, and is shown beside it.
 */

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { RESYNC_GOAL } from './goals.ts';
import type { Section, SectionResult } from './section.ts';
import { control, DELAYED_ARGS, daemonPlan, OUR_NAMES, type OurName } from './server.ts';
import { median, medianRatio, shuffled } from './statistics.ts';
import { formatFigure, formatGoal } from './table.ts';
import type { Workbench } from './workbench.ts';

const run = promisify(execFile);
const GIB = 2 ** 30;
const SECTORS = GIB / 512;
const REGION_SECTORS = 1024;

type Subject = OurName | 'cp' | 'dd';

export const RESYNC: Section = {
  name: 'resync',
  summary: 'copying a whole mirror of 1 GiB, against cp',
  async run(bench): Promise<SectionResult> {
    const ours = OUR_NAMES.filter((name) => bench.options.servers.includes(name));
    const seconds: Partial<Record<Subject, number[]>> = {};
    for (let round = 0; round < bench.options.rounds; round++) {
      for (const subject of shuffled<Subject>([...ours, 'cp', 'dd'])) {
        bench.progress(`round ${round + 1}: resync ${subject}`);
        await bench.pause();
        const took = await measure(bench, subject);
        seconds[subject] = [...(seconds[subject] ?? []), took];
        await bench.stop();
      }
    }
    const speeds = (subject: Subject) => seconds[subject]!.map((took) => GIB / 2 ** 20 / took);
    const subjects: readonly Subject[] = [...ours, 'cp', 'dd'];
    const table = {
      title: 'Resynchronisation of 1 GiB',
      header: ['figure', ...subjects],
      rows: [
        ['MiB/s', ...subjects.map((subject) => formatFigure(median(speeds(subject))))],
        ...(['cp', 'dd'] as const).map((peer) => [
          `x ${peer}`,
          ...subjects.map((subject) => {
            const isGoal = peer === 'cp' && subject !== 'cp' && subject !== 'dd';
            const ratio = medianRatio(speeds(subject), speeds(peer));
            return formatGoal(ratio, isGoal ? RESYNC_GOAL : undefined);
          }),
        ]),
      ],
    };
    return { tables: [table], figures: seconds };
  },
};

async function measure(bench: Workbench, subject: Subject): Promise<number> {
  const directory = bench.makeDirectory();
  const [from, to] = [join(directory, 'from'), join(directory, 'to')];
  for (const file of [from, to]) {
    await run('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', `count=${GIB / 2 ** 20}`]);
  }
  if (subject === 'cp') return timed(() => run('cp', [from, to]));
  if (subject === 'dd') {
    return timed(() => run('dd', [`if=${from}`, `of=${to}`, 'bs=1M', 'conv=notrunc']));
  }
  const server = await bench.start(daemonPlan(subject === 'delayed' ? DELAYED_ARGS : []), GIB);
  const log = subject === 'core' ? 'core 2' : `disk 3 ${server.files.log}`;
  const table = `0 ${SECTORS} mirror ${log} ${REGION_SECTORS} sync 2 ${from} 0 ${to} 0`;
  return timed(async () => {
    await control(server, 'create', { device: 'data', table });
    await control(server, 'wait', { device: 'data', eventNumber: 0 });
  });
}

/** Seconds. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
