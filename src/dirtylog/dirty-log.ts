/**
 * The contract of a dirty log: what is durably known about the regions of a mirror.
 *
 * Counterpart: `struct dm_dirty_log_type` (specification 9). Two facts are kept of each region:
 * *clean* (idle, nothing to copy after a crash) and *in sync* (legs equal). The mirror relies on
 * this order: `markRegion`, then `flush`, and only then a byte to a leg. Operations that return an
 * `Awaitable` may block; all others never do. A log is used by one mirror, one operation at a time,
 * except `inSyncNow`, `getSyncCount` and `status`, which may come at any moment.
 */

import type { Awaitable } from '../base/awaitable.ts';
import type { IoResult } from '../base/errno.ts';
import type { Region, SectorCount } from '../base/units.ts';
import type { DeviceNaming, StatusKind, TargetDevice } from '../dm/target.ts';
import type { TargetContext } from '../dm/target-context.ts';

export interface DirtyLogCreation {
  readonly target: TargetContext;
  /** The words behind the count of log arguments. */
  readonly args: readonly string[];
  /**
   * Flushes the caches of every leg; the log calls it before it writes a newly clean bit. It
   * records which leg failed, and its result is 0 only if none did (specification 2.7).
   */
  readonly flushLegs: () => Awaitable<IoResult>;
  /** The log tells that there may be resync work again. Absent: nobody listens. */
  readonly onWork?: () => void;
}

export interface DirtyLogType {
  /** The word in the table. */
  readonly name: string;
  /** @throws UserError (specification 1.4, rows 4a to 4f); nothing stays open then. */
  create(creation: DirtyLogCreation): Promise<DirtyLog>;
}

export interface DirtyLog {
  readonly type: DirtyLogType;
  /** A power of two, at least 2, fixed for life. */
  readonly regionSizeSectors: SectorCount;
  /** The log's own devices, for `deps`. */
  readonly devices: readonly TargetDevice[];
  /** Other nodes have mirrors with the same log, and so the same legs. Absent: none has. */
  readonly shared?: boolean;

  /** Stop handing out resync work; a suspend has begun. 0, or an errno that is only logged. */
  presuspend(): Awaitable<IoResult>;
  /** The last write-out; nothing is written afterwards until `resume`. */
  postsuspend(): Awaitable<IoResult>;
  /** (Re)load the state. An errno means that what was stored could not be trusted or rewritten. */
  resume(): Awaitable<IoResult>;
  /** Release everything. Comes after postsuspend, or before the first resume. */
  destroy(): Promise<void>;

  isClean(region: Region): Awaitable<boolean>;
  /** 1: in sync. Anything else counts as out of sync, 0 being the ordinary way to say so. */
  inSync(region: Region): Awaitable<number>;
  /** The same without blocking: `"would-block"` where the answer is not at hand. */
  inSyncNow(region: Region): number | 'would-block';
  /** `isClean` without blocking, where the answer can be at hand; absent where it never is. */
  isCleanNow?(region: Region): boolean | 'would-block';
  /** Makes every mark and clear so far durable, as far as this type of log promises durability. */
  flush(): Awaitable<IoResult>;
  /** The region is dirty; effective with the next `flush`. */
  markRegion(region: Region): void;
  /** The region is clean; effective with the next `flush`; may be forgotten, which is safe. */
  clearRegion(region: Region): void;
  /** Assigns a region to copy, once each; null when there is none (now). */
  getResyncWork(): Awaitable<Region | null>;
  /** The region became in sync or out of sync; a recovery of it, if any, is over. */
  setRegionSync(region: Region, inSync: boolean): Awaitable<void>;
  /**
   * `status`: somebody looks, and nothing depends on it; a log that waits for others for long
   * answers 0.
   */
  getSyncCount(purpose?: 'status'): Awaitable<number>;
  /**
   * The log's words of a status line, without surrounding spaces, e.g. "1 core" or "core 1 1024".
   */
  status(kind: StatusKind, nameOf: DeviceNaming): Awaitable<string>;
  /**
   * True: another node may be copying the region, do not write now. Absent where logs are not
   * shared.
   */
  isRemoteRecovering?(region: Region): Awaitable<boolean>;
  /**
   * Ends when bytes may go to the legs: at once, unless nodes share the log and this one may have
   * been cut off from the others, who then take it for dead. To be asked directly before. Absent:
   * at once.
   */
  untilWritable?(): Awaitable<void>;
}
