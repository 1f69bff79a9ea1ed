/**
 * The sweep over a cluster: one story, played again and again, with one thing going wrong at the
 * first event, the second, the third …; afterwards everything is repaired, and all must be well.
 */

import { Prng } from '../../../src/base/prng.ts';
import {
  LEASE_MS,
  REGIONS,
  SimCluster,
  type SimClusterOptions,
  type SimNode,
} from './sim-cluster.ts';

export interface Mishap {
  readonly name: string;
  /** Happens to node a. */
  readonly strike: (node: SimNode) => void;
  /** Undoes it; after a kill it starts the processes that are missing. */
  readonly repair: (node: SimNode) => Promise<void>;
  /** How long the others go on before it is undone. */
  readonly lastsMs: number;
  /** A mirror must tell another log server what the last one knew, as only ours does. */
  readonly needsOurSide?: boolean;
}

const nothing = async (): Promise<void> => {};

export const MISHAPS: readonly Mishap[] = [
  {
    name: 'the node is killed',
    strike: (node) => node.kill(),
    repair: (node) => node.start(),
    lastsMs: LEASE_MS + 1500,
  },
  {
    name: 'the node is killed and starts at once',
    strike: (node) => node.kill(),
    repair: (node) => node.start(),
    lastsMs: 50,
  },
  {
    name: 'the log server is killed and starts at once',
    strike: (node) => node.killServer(),
    repair: (node) => node.startServer(),
    lastsMs: 50,
    needsOurSide: true,
  },
  {
    name: 'the mirror is killed',
    strike: (node) => node.killMirror(),
    repair: (node) => node.startMirror(),
    lastsMs: 500,
  },
  {
    name: 'the mirror is killed and stays away',
    strike: (node) => node.killMirror(),
    repair: (node) => node.startMirror(),
    lastsMs: 2 * LEASE_MS + 1500,
  },
  {
    name: 'the node is stopped longer than its lease',
    strike: (node) => node.stop(),
    repair: async (node) => node.go(),
    lastsMs: LEASE_MS * 2,
  },
  {
    name: 'the log server loses the store longer than its lease',
    strike: (node) => {
      node.isPartitioned = true;
    },
    repair: async (node) => {
      node.isPartitioned = false;
    },
    lastsMs: LEASE_MS * 2,
  },
  {
    name: 'the log server loses the store for a moment',
    strike: (node) => {
      node.isPartitioned = true;
    },
    repair: async (node) => {
      node.isPartitioned = false;
    },
    lastsMs: 300,
  },
  {
    name: 'the lease is in doubt for a moment',
    strike: (node) => {
      node.areRenewalsLost = true;
    },
    repair: async (node) => {
      node.areRenewalsLost = false;
    },
    lastsMs: 0.7 * LEASE_MS,
  },
  { name: 'nothing', strike: () => {}, repair: nothing, lastsMs: 1 },
];

export interface SweepRun {
  readonly violations: readonly string[];
  readonly lateLandings: number;
  /** The story ended before the event came. */
  readonly isOver: boolean;
}

const WRITES = 6;

/** One play: `mishap` strikes at event `at` after both nodes began. */
export async function playStory(
  options: Omit<SimClusterOptions, 'onEvent'>,
  mishap: Mishap,
  at: number,
): Promise<SweepRun> {
  let strikeAt = Number.POSITIVE_INFINITY;
  let hasStruck = false;
  const cluster = new SimCluster({
    ...options,
    onEvent: (event) => {
      if (event < strikeAt || hasStruck) return;
      hasStruck = true;
      // Not in the middle of what is happening: between two steps, as a signal comes.
      cluster.clock.defer(() => mishap.strike(a));
    },
  });
  const a = cluster.node('a');
  const b = cluster.node('b');
  await cluster.until(a.start());
  strikeAt = cluster.events + at;
  const started = b.start();
  const story = [started.then(() => writer(cluster, b, 'b')), writer(cluster, a, 'a')];
  const told = Promise.all(story).then(() => true);
  await cluster
    .untilTrue('a strike, or the end', () => hasStruck || story.length === 0, 4000)
    .catch(() => undefined);
  const isOver = !hasStruck;
  strikeAt = Number.POSITIVE_INFINITY;
  await cluster.pass(mishap.lastsMs);
  // What was never struck is not to be started a second time.
  if (!isOver) await cluster.until(mishap.repair(a));
  void told;
  await finish(cluster);
  return { violations: cluster.violations, lateLandings: cluster.lateLandings, isOver };
}

/** Writes to regions of its choice, one at a time each; those that never end are given up. */
async function writer(cluster: SimCluster, node: SimNode, name: string): Promise<void> {
  const prng = new Prng(`${cluster.options.seed}/${name}`);
  const lanes = [0, 1].map(async (lane) => {
    for (let count = 0; count < WRITES; count++) {
      await node.write(prng.between(0, REGIONS / 2 - 1) * 2 + lane);
      await new Promise<void>((resolve) => {
        cluster.clock.after(prng.pick([0, 5, 50, 1200]), resolve);
      });
      if (!node.isUp) return;
    }
  });
  await Promise.all(lanes);
}

/** Nothing goes wrong any more: all comes into sync, legs are equal, what was promised is there. */
async function finish(cluster: SimCluster): Promise<void> {
  const isDone = (): boolean => {
    const { replica } = cluster;
    return replica.syncCount === REGIONS && replica.markers.every((name) => !hasMarks(name));
  };
  const hasMarks = (name: string): boolean => cluster.replica.marksOf(name)?.weight() !== 0;
  try {
    await cluster.untilTrue('all in sync and unmarked', isDone, 60_000);
  } catch (error) {
    const { replica } = cluster;
    const marks = replica.markers.map((name) => `${name}:${replica.marksOf(name)?.weight()}`);
    const copying = JSON.stringify(replica.copying);
    const nodes = `nodes ${replica.nodes} marks ${marks} copying ${copying}`;
    cluster.fail(`${(error as Error).message}: ${replica.syncCount} in sync, ${nodes}`);
    return;
  }
  for (const node of cluster.nodes) {
    try {
      await cluster.until(node.write(0));
    } catch (error) {
      cluster.fail(`${node.name} writes no more: ${(error as Error).message}`);
    }
  }
  for (let region = 0; region < REGIONS; region++) {
    if (cluster.legsDifferIn(region)) cluster.fail(`region ${region} differs in the end`);
    for (const node of cluster.nodes) {
      const acknowledged = node.acknowledged.get(region) ?? 0;
      const found = node.valueOn(0, region);
      if (found < acknowledged) {
        cluster.fail(`${node.name} wrote ${acknowledged} to region ${region}, it has ${found}`);
      }
    }
  }
}
