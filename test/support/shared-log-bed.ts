/** One node with a log that could be shared: its log server over a store in memory. */

import { silentLogger } from '../../src/base/log.ts';
import { clusteredLogs } from '../../src/cluster/clustered-logs.ts';
import { MemoryEngine, MemoryStore } from '../../src/cluster/memory-engine.ts';
import { NodeLease } from '../../src/cluster/node-lease.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';
import type { LogDisk } from './log-fixture.ts';
import { LogServerBed, unclosed } from './log-server-bed.ts';

const LEASE_MS = 5000;

/** All of it new: also the store. */
export async function sharedLogBed(disk: LogDisk, seed: number): Promise<LogServerBed> {
  const clock = new VirtualClock();
  const log = silentLogger;
  const engine = new MemoryEngine(new MemoryStore(clock), clock);
  const lease = new NodeLease({
    ...{ engine, clock, log, node: 'a', identity: 'a', hasEnded: () => true },
    lastsMs: LEASE_MS,
    marginMs: LEASE_MS / 5,
  });
  const counters = { transactions: 0, conflicts: 0, unknown: 0 };
  const context = { engine, lease, clock, log, counters };
  const openDevice = async () => unclosed(disk);
  const implementations = clusteredLogs(context, { clock, log, openDevice });
  const bed = new LogServerBed({ clock, seed, devices: [disk], implementations });
  await bed.until(lease.start());
  return bed;
}
