/** The cluster's side of a log server: the options understood, etcd connected, the lease taken. */

import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { quoted } from '../../base/printable.ts';
import type { ClusterContext } from '../../cluster/cluster-context.ts';
import type { Engine } from '../../cluster/engine.ts';
import { MemoryEngine, MemoryStore } from '../../cluster/memory-engine.ts';
import { NodeLease } from '../../cluster/node-lease.ts';
import { badOption } from './bad-option.ts';
import { type EtcdAccess, type EtcdOptions, planEtcd } from './etcd-access.ts';
import type { ClusterStatus } from './logd-status.ts';
import { hasProcessEnded, processIdentity } from './process-identity.ts';

export interface ClusterOptions extends EtcdOptions {
  readonly node?: string;
  readonly leaseSeconds?: string;
}

export interface ClusterPlan {
  /** Null: the store is in this process, and gone with it. */
  readonly etcd: EtcdAccess | null;
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
const ALONE: ClusterPlan = { etcd: null, node: 'local', leaseMs: LEASE_SECONDS_DEFAULT * 1000 };

const OPTIONS_WITH_ETCD = [
  ['node', '--node'],
  ['leaseSeconds', '--lease'],
  ['etcdCacert', '--etcd-cacert'],
  ['etcdCert', '--etcd-cert'],
  ['etcdKey', '--etcd-key'],
  ['etcdUser', '--etcd-user'],
] as const;

/** @throws UserError naming the option. */
export function planCluster(options: ClusterOptions, environment: NodeJS.ProcessEnv): ClusterPlan {
  const { etcd, node, leaseSeconds } = options;
  if (etcd === undefined) {
    const given = OPTIONS_WITH_ETCD.filter(([key]) => options[key] !== undefined);
    if (given.length === 0) return ALONE;
    const names = given.map(([, name]) => name).join(', ');
    throw badOption(`${names} given without --etcd URL, which is required then`);
  }
  if (node === undefined) throw badOption('--etcd is given without --node NAME, which it requires');
  if (!/^[\x21-\x7e]+$/.test(node) || node.length > NODE_LENGTH_MAX) {
    throw badOption(
      `--node is ${quoted(node)}, must be 1 to ${NODE_LENGTH_MAX} printable characters`,
    );
  }
  const seconds = leaseSeconds === undefined ? LEASE_SECONDS_DEFAULT : Number(leaseSeconds);
  const isWhole = Number.isInteger(seconds) && /^[0-9]+$/.test(leaseSeconds ?? '5');
  if (!isWhole || seconds < LEASE_SECONDS_MIN || seconds > LEASE_SECONDS_MAX) {
    throw badOption(
      `--lease is "${leaseSeconds}", must be ${LEASE_SECONDS_MIN} to ${LEASE_SECONDS_MAX} seconds`,
    );
  }
  return { etcd: planEtcd(etcd, options, environment), node, leaseMs: seconds * 1000 };
}

export interface JoinOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Nobody wants to join any more. */
  readonly stopped: Promise<unknown>;
}

/** @throws UserError where etcd does not answer, or the node's name is somebody else's. */
export async function joinCluster(
  { etcd, node, leaseMs }: ClusterPlan,
  { clock, log, stopped }: JoinOptions,
): Promise<ClusterContext> {
  const engine = await connect(etcd, { clock, log });
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
  access: EtcdAccess | null,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Promise<Engine> {
  if (access === null) return new MemoryEngine(new MemoryStore(clock), clock);
  // gRPC names a server by its address, of which Node warns whoever starts this.
  process.noDeprecation = true;
  const { connectEtcd } = await import('../../cluster/etcd-engine.ts');
  return connectEtcd({ ...access, clock, log, deadlineMs: ANSWER_MS_MAX });
}

export function describeCluster(plan: ClusterPlan, context: ClusterContext): ClusterStatus | null {
  const { lease, counters, engine } = context;
  if (plan.etcd === null) return null;
  return {
    node: plan.node,
    etcd: plan.etcd.hosts,
    leaseMs: plan.leaseMs,
    leaseRemainingMs: Math.floor(lease.remainingMs),
    problem: engine.problem,
    ...counters,
  };
}
