/**
 * What the log server asks of a log, whatever it keeps its bits in. Counterpart: the operations of
 * a dirty log (specification 9) as they look from the server's side of the protocol (10.4).
 *
 * One instance serves one mirror: one table of one node. Its requests come one at a time, in the
 * order in which the mirror sent them. Every operation may come twice, since a mirror that got no
 * answer asks again, and doing it twice must be as good as doing it once.
 */

import type { Awaitable } from '../base/awaitable.ts';
import type { Clock } from '../base/clock.ts';
import type { IoResult } from '../base/errno.ts';
import type { Logger } from '../base/log.ts';
import type { Region, SectorCount } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';
import type { RemoteRecovering, UlogLease } from '../dirtylog/userspace/ulog-payloads.ts';

export interface LogCreation {
  readonly uuid: string;
  /** The mirror's own number of this instance: two tables of one log differ in it. */
  readonly luid: bigint;
  readonly targetSectors: SectorCount;
  /** The words behind the name of the implementation. */
  readonly args: readonly string[];
}

/** What a log needs of the process around it. */
export interface LogSurroundings {
  readonly clock: Clock;
  readonly log: Logger;
  /**
   * Opens a log's device, together with whoever else opens it for a log server. Where a missing
   * one may be made, it is made with `neededBytes`.
   *
   * @throws UserError saying why it cannot be opened.
   */
  openDevice(name: string, neededBytes: number): Promise<BlockDevice>;
}

export interface LogImplementation {
  /** The word behind the uuid in a table. */
  readonly name: string;
  /** @throws UserError; nothing stays open then. */
  create(creation: LogCreation): Promise<ServedLog>;
}

/** Instead of an answer: there is none, so that the mirror waits and asks again. */
export const NO_ANSWER = Symbol('no answer');
export type NoAnswer = typeof NO_ANSWER;

export interface ServedLog {
  readonly regionSizeSectors: SectorCount;
  readonly regionCount: number;
  /** The log's own device as named in the table, which the mirror's side shows; null for none. */
  readonly deviceName: string | null;
  /** Resumed, and not suspended since. */
  readonly isLive: boolean;

  presuspend(): Awaitable<IoResult | NoAnswer>;
  postsuspend(): Awaitable<IoResult | NoAnswer>;
  /**
   * `again`: the mirror lost its connection and has not been suspended; it may have writes under
   * way, all of them marked.
   */
  resume(options: { readonly again: boolean }): Awaitable<IoResult | NoAnswer>;
  /** Requests that wait for something get no answer; none comes any more but `destroy`. */
  abandon?(): void;
  /**
   * The mirror has gone without a word and has not come back for longer than its lease lasts.
   * Absent where nobody else waits for what it left behind: there it is as after a crash.
   */
  orphaned?(): Promise<void>;
  /** Also of an instance that was never resumed, or whose mirror is gone. */
  destroy(): Promise<void>;

  isClean(region: Region): Awaitable<boolean>;
  inSync(region: Region): Awaitable<boolean>;
  /** 0 only when every mark so far will be found by whoever has to know of it. */
  flush(): Awaitable<IoResult | NoAnswer>;
  markRegion(region: Region): void;
  clearRegion(region: Region): void;
  getResyncWork(): Awaitable<Region | null | NoAnswer>;
  setRegionSync(region: Region, inSync: boolean): Awaitable<IoResult | NoAnswer>;
  getSyncCount(): Awaitable<number>;
  status(kind: 'info' | 'table'): Awaitable<string>;
  isRemoteRecovering(region: Region): Awaitable<RemoteRecovering>;
  /**
   * How long, from now on, the mirror may rely on its marks, and a number that rises whenever there
   * may be new work for it. Absent: for ever, and never.
   */
  lease?(): UlogLease;
  /** For `logd show`. */
  describe(): Awaitable<LogDescription>;
}

/** What a person, or a program, is shown of a log. Regions are listed in order. */
export interface LogDescription {
  readonly implementation: string;
  readonly regionSizeSectors: number;
  readonly regionCount: number;
  readonly syncCount: number;
  readonly device: string | null;
  readonly nodes: readonly NodeDescription[];
  readonly recovering: { readonly region: number; readonly node: string } | null;
  /** Who writes the log's device; null where there is none. */
  readonly writer: string | null;
}

export interface NodeDescription {
  readonly name: string;
  readonly isThisNode: boolean;
  /** Regions that it has marked: all of them, or as many as fit, lowest first. */
  readonly marked: readonly number[];
  readonly markedCount: number;
}
