/** The cluster's side of a log server: the options understood, etcd connected, the lease taken. */

import type { Clock } from '../../base/clock.ts';
import { UserError } from '../../base/failure.ts';
import type { Logger } from '../../base/log.ts';
import type { ClusterContext } from '../../cluster/cluster-context.ts';
import type { Engine } from '../../cluster/engine.ts';
import { MemoryEngine, MemoryStore } from '../../cluster/memory-engine.ts';
import { NodeLease } from '../../cluster/node-lease.ts';
import type { ClusterStatus } from './logd-status.ts';
import { hasProcessEnded, processIdentity } from './process-identity.ts';

export interface ClusterOptions {
  readonly etcd?: string;
  readonly node?: string;
  readonly leaseSeconds?: string;
}

export interface ClusterPlan {
  /** None: the store is in this process, and gone with it. */
  readonly hosts: readonly string[];
  readonly node: string;
  readonly leaseMs: number;
}

const LEASE_SECONDS_DEFAULT = 5;
/** etcd's own shortest lease. */
const LEASE_SECONDS_MIN = 2;
const LEASE_SECONDS_MAX = 600;
const NODE_LENGTH_MAX = 64;
/** How long etcd may take over an answer. */
const ANSWER_MS_MAX = 1000;
const ALONE: ClusterPlan = { hosts: [], node: 'local', leaseMs: LEASE_SECONDS_DEFAULT * 1000 };

/** @throws UserError naming the option. */
export function planCluster({ etcd, node, leaseSeconds }: ClusterOptions): ClusterPlan {
  if (etcd === undefined) {
    if (node === undefined && leaseSeconds === undefined) return ALONE;
    throw badOption('--node and --lease are given without --etcd, which they require');
  }
  if (node === undefined) throw badOption('--etcd is given without --node NAME, which it requires');
  if (!/^[\x21-\x7e]+$/.test(node) || node.length > NODE_LENGTH_MAX) {
    const shown = JSON.stringify(node.slice(0, 80));
    throw badOption(`--node is ${shown}, must be 1 to ${NODE_LENGTH_MAX} printable characters`);
  }
  const seconds = leaseSeconds === undefined ? LEASE_SECONDS_DEFAULT : Number(leaseSeconds);
  const isWhole = Number.isInteger(seconds) && /^[0-9]+$/.test(leaseSeconds ?? '5');
  if (!isWhole || seconds < LEASE_SECONDS_MIN || seconds > LEASE_SECONDS_MAX) {
    throw badOption(
      `--lease is "${leaseSeconds}", must be ${LEASE_SECONDS_MIN} to ${LEASE_SECONDS_MAX} seconds`,
    );
  }
  return { hosts: etcd.split(',').map(parseHost), node, leaseMs: seconds * 1000 };
}

export interface JoinOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Nobody wants to join any more. */
  readonly stopped: Promise<unknown>;
}

/** @throws UserError where etcd does not answer, or the node's name is somebody else's. */
export async function joinCluster(
  { hosts, node, leaseMs }: ClusterPlan,
  { clock, log, stopped }: JoinOptions,
): Promise<ClusterContext> {
  const engine = await connect(hosts, { clock, log });
  const lease = new NodeLease({
    engine,
    clock,
    log,
    node,
    lastsMs: leaseMs,
    marginMs: Math.max(500, leaseMs / 5),
    identity: processIdentity(),
    hasEnded: hasProcessEnded,
  });
  let isJoining = true;
  void stopped.then(() => (isJoining ? lease.stop({ giveBack: true }) : undefined));
  try {
    await lease.start();
    isJoining = false;
  } catch (error) {
    await engine.close();
    throw error;
  }
  const counters = { transactions: 0, conflicts: 0, unknown: 0 };
  return { engine, lease, clock, log, counters };
}

/** etcd's client is loaded only where there is an etcd. */
async function connect(
  hosts: readonly string[],
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Promise<Engine> {
  if (hosts.length === 0) return new MemoryEngine(new MemoryStore(clock), clock);
  const { connectEtcd } = await import('../../cluster/etcd-engine.ts');
  return connectEtcd({ hosts, clock, log, deadlineMs: ANSWER_MS_MAX });
}

export function describeCluster(plan: ClusterPlan, context: ClusterContext): ClusterStatus | null {
  const { lease, counters, engine } = context;
  if (plan.hosts.length === 0) return null;
  return {
    node: plan.node,
    etcd: plan.hosts,
    leaseMs: plan.leaseMs,
    leaseRemainingMs: Math.floor(lease.remainingMs),
    problem: engine.problem,
    ...counters,
  };
}

function parseHost(text: string): string {
  const match = /^(https?:\/\/)?([^/:\s]+|\[[^\]\s]+\]):([0-9]{1,5})\/?$/.exec(text);
  if (match === null || Number(match[3]) > 65_535) {
    throw badOption(
      `--etcd has "${text.slice(0, 80)}", must be http://HOST:PORT, with commas between`,
    );
  }
  return `${match[1] ?? 'http://'}${match[2]}:${match[3]}`;
}

function badOption(problem: string): UserError {
  return new UserError('bad-logd-option', `Cannot serve logs: ${problem}`);
}
