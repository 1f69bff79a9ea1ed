/** A shared log for people: its nodes, their marks, who copies and who writes. */

import type { Bitset } from '../base/bitset.ts';
import type { LogReplica } from './log-replica.ts';
import type { LogDescription, NodeDescription } from './served-log.ts';

/** How many marked regions are listed of each node. */
const REGIONS_LISTED_MAX = 1000;

export function describeShared(options: {
  readonly implementation: string;
  readonly regionSizeSectors: number;
  readonly device: string | null;
  /** This one. */
  readonly node: string;
  readonly replica: LogReplica;
}): LogDescription {
  const { implementation, regionSizeSectors, device, node, replica } = options;
  const names = [...new Set([...replica.nodes, ...replica.markers])].sort();
  const { copying, writer } = replica;
  return {
    implementation,
    regionSizeSectors,
    regionCount: replica.regionCount,
    syncCount: replica.syncCount,
    device,
    nodes: names.map((name) => describeNode(name, name === node, replica.marksOf(name))),
    recovering: copying === null ? null : { region: copying.region, node: copying.node },
    writer: writer?.node ?? null,
  };
}

function describeNode(name: string, isThisNode: boolean, bits: Bitset | null): NodeDescription {
  const marked: number[] = [];
  if (bits !== null) {
    for (
      let at = bits.findNextOne(0);
      at < bits.size && marked.length < REGIONS_LISTED_MAX;
      at = bits.findNextOne(at + 1)
    ) {
      marked.push(at);
    }
  }
  return { name, isThisNode, marked, markedCount: bits?.weight() ?? 0 };
}
