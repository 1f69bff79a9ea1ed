/**
 * An honest client beside many that are up to no good: how much of its throughput it keeps, and how
 * much memory the server takes at most. The clients are hostile-clients.ts.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { runWorkload, type Workload, warm } from './fio.ts';
import type { Section, SectionResult } from './section.ts';
import { mirrorPlan, type Server, type ServerPlan } from './server.ts';
import { median, medianRatio } from './statistics.ts';
import { formatFigure, formatGoal, formatLimit } from './table.ts';
import { serveKnows, type Workbench } from './workbench.ts';

const HONEST: Workload = { name: 'honest', rw: 'randwrite', blockBytes: 4096, inFlight: 16 };
const KEPT_SHARE_MIN = 0.5;
/** Idle; and for each client that never reads, as many replies as may be queued, and buffers. */
const MEMORY_MIB_MAX = 120;
const MEMORY_MIB_PER_MUTE = 10;
const CONNECTIONS_OPTION = '--max-connections';

interface Scene {
  readonly name: string;
  readonly stalled: number;
  readonly mute: number;
  readonly flooding: number;
}

const SCENES: readonly Scene[] = [
  { name: 'alone', stalled: 0, mute: 0, flooding: 0 },
  { name: 'stalled in the handshake', stalled: 100, mute: 0, flooding: 0 },
  { name: 'never reading', stalled: 0, mute: 100, flooding: 0 },
  { name: 'flooding', stalled: 0, mute: 0, flooding: 1 },
  { name: 'all of them', stalled: 100, mute: 100, flooding: 1 },
];

interface Figures {
  readonly iops: number;
  readonly memoryMiB: number;
}

export const HOSTILE: Section = {
  name: 'hostile',
  summary: 'an honest client beside 201 that are up to no good',
  async run(bench): Promise<SectionResult> {
    // Where there is no such option, fewer hostile clients get in, and the honest one last.
    const more = (await serveKnows(CONNECTIONS_OPTION)) ? [CONNECTIONS_OPTION, '1000'] : null;
    const scenes = more === null ? SCENES.map(fewer) : SCENES;
    const results: Record<string, Figures[]> = {};
    for (let round = 0; round < bench.options.rounds; round++) {
      for (const scene of scenes) {
        bench.progress(`round ${round + 1}: hostile clients: ${scene.name}`);
        await bench.pause();
        const figures = await play(bench, scene, more ?? []);
        results[scene.name] = [...(results[scene.name] ?? []), figures];
      }
    }
    const iops = (name: string) => results[name]!.map((figures) => figures.iops);
    const rows = scenes.map(({ name, stalled, mute, flooding }) => {
      const isGoal = stalled + mute + flooding > 0;
      const kept = medianRatio(iops(name), iops('alone'));
      const memory = Math.max(...results[name]!.map((figures) => figures.memoryMiB));
      return [
        name,
        `${stalled + mute + flooding}`,
        formatFigure(median(iops(name))),
        formatGoal(kept, isGoal ? KEPT_SHARE_MIN : undefined),
        formatLimit(memory, MEMORY_MIB_MAX + mute * MEMORY_MIB_PER_MUTE, 'MiB'),
      ];
    });
    const header = ['hostile clients', 'how many', 'honest IOPS', 'it keeps', 'memory at most'];
    return {
      tables: [{ title: 'An honest client among hostile ones', header, rows }],
      figures: results,
    };
  },
};

async function play(bench: Workbench, scene: Scene, more: readonly string[]): Promise<Figures> {
  const { seconds, sizeBytes } = bench.options;
  const server = await bench.start(withOptions(mirrorPlan('core'), more), sizeBytes);
  await warm(server.uri, sizeBytes);
  const hostile = await startHostile(server, scene);
  try {
    const { iops } = await runWorkload(server.uri, HONEST, { seconds, sizeBytes });
    return { iops, memoryMiB: server.memoryMiB().most };
  } finally {
    hostile?.kill('SIGKILL');
    await bench.stop();
  }
}

async function startHostile(server: Server, scene: Scene): Promise<ChildProcess | null> {
  const counts = [scene.stalled, scene.mute, scene.flooding];
  if (counts.every((count) => count === 0)) return null;
  const words = ['--import', 'tsx', 'scripts/lib/bench/hostile-clients.ts', server.files.socket];
  const child = spawn(process.execPath, [...words, ...counts.map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

function withOptions(plan: ServerPlan, more: readonly string[]): ServerPlan {
  return { ...plan, command: (files) => [...plan.command(files), ...more] };
}

/** As many as an ordinary server admits beside the honest one. */
function fewer(scene: Scene): Scene {
  const half = (count: number) => Math.min(count, scene.name === 'all of them' ? 49 : 98);
  return { ...scene, stalled: half(scene.stalled), mute: half(scene.mute) };
}
