/** The way from a node's log server to the store: late, lost, cut off, or without renewals. */

import type { Clock } from '../../../src/base/clock.ts';
import type { Engine } from '../../../src/cluster/engine.ts';
import { MemoryEngine, type MemoryStore } from '../../../src/cluster/memory-engine.ts';

export interface LinkedNode {
  readonly cluster: {
    readonly store: MemoryStore;
    isLost(): boolean;
    delayMs(): number;
  };
  readonly isPartitioned: boolean;
  readonly areRenewalsLost: boolean;
}

export function storeLink(node: LinkedNode, clock: Clock): Engine {
  const { cluster } = node;
  const engine = new MemoryEngine(cluster.store, clock, {
    deadlineMs: 100,
    delayMs: () => (node.isPartitioned || cluster.isLost() ? null : cluster.delayMs()),
  });
  const renew = engine.keepAlive.bind(engine);
  engine.keepAlive = async (lease) => (node.areRenewalsLost ? 'unknown' : renew(lease));
  return engine;
}
