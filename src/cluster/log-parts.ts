/** What a shared log is made of, from one resume to the next, and how it hangs together. */

import { Bitset } from '../base/bitset.ts';
import type { BlockDevice } from '../block/block-device.ts';
import type { ClusterContext } from './cluster-context.ts';
import type { LogKeys } from './cluster-keys.ts';
import { LogReplica } from './log-replica.ts';
import { MarkSet } from './mark-set.ts';
import { Membership } from './membership.ts';
import type { SharedLogArgs } from './shared-log-args.ts';
import { SharedLogFile } from './shared-log-file.ts';

export interface LogPartsOptions {
  readonly args: SharedLogArgs;
  readonly context: ClusterContext;
  /** Of a `clustered-disk` log. */
  readonly device: BlockDevice | null;
}

export interface LogParts {
  readonly replica: LogReplica;
  readonly marks: MarkSet;
  readonly membership: Membership;
  readonly file: SharedLogFile | null;
}

export function makeLogParts({ context, device, args }: LogPartsOptions, keys: LogKeys): LogParts {
  const { engine, log, clock, lease } = context;
  const replica = new LogReplica({
    keys,
    regionCount: args.regionCount,
    engine,
    log,
    after: (delayMs, task) => void clock.after(delayMs, task),
  });
  const marks = new MarkSet(lease.node, replica);
  let file: SharedLogFile | null = null;
  const membership: Membership = new Membership({
    context,
    keys,
    replica,
    marks,
    config: args.config,
    keepMs: 2 * lease.lastsMs,
    initialSync: async () => (file === null ? initialBits(args) : file.load()),
  });
  if (device !== null) {
    const { syncWord } = args;
    file = new SharedLogFile({ device, context, keys, replica, membership, syncWord });
  }
  return { replica, marks, membership, file };
}

/** Without a device: as the words say (specification 11.5). */
function initialBits({ regionCount, syncWord }: SharedLogArgs): Bitset {
  const bits = new Bitset(regionCount);
  bits.fillFrom(0, syncWord === 'nosync');
  return bits;
}
