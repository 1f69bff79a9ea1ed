/**
 * What a device-mapper target is. Counterpart: `struct target_type` and `struct dm_target`.
 *
 * Life: `create`, then `resume`, then any number of (`presuspend`, `postsuspend`, `resume`), and
 * after the last postsuspend (or before the first resume) `destroy`. `map` is called only while
 * resumed, or while a suspend waits for what is in flight.
 */

import type { Awaitable } from '../base/awaitable.ts';
import type { Sector, SectorCount } from '../base/units.ts';
import type { Bio } from '../block/bio.ts';
import type { Allocation, AllocationLearnt, BlockDevice } from '../block/block-device.ts';
import type { TargetContext } from './target-context.ts';

/**
 * A result beside errnos with which a target, and nobody else, may end a bio: "put it back". The
 * mapped device submits it again to the table that is live after a noflush suspend, and otherwise
 * fails it with EIO (specification 6.1). It never leaves `dm`.
 */
export const REQUEUE = -1;

export type TargetVersion = readonly [major: number, minor: number, patch: number];

export interface TargetType {
  readonly name: string;
  readonly version: TargetVersion;
  /**
   * Builds a target from the words behind its name in a table line.
   *
   * @throws UserError naming the word and the requirement; nothing stays open then.
   */
  create(context: TargetContext, args: readonly string[]): Promise<Target>;
}

export type StatusKind = 'info' | 'table';

/** How status lines write a device: as it was named in the table, or as `major:minor`. */
export type DeviceNaming = (device: BlockDevice) => string;

/**
 * One device below a target, as listed by `deps` and checked by the table (specification 1.4, 15).
 */
export interface TargetDevice {
  readonly device: BlockDevice;
  /** First sector used, and how many: 0 of both for a device that is not checked, such as a log. */
  readonly start: number;
  readonly length: number;
}

export interface Target {
  /**
   * Bios reaching `map` lie inside one stretch of this many sectors of the target; null: no limit.
   */
  readonly maxIoSectors: SectorCount | null;
  /** Discards are accepted. They are never split at `maxIoSectors`. */
  readonly discardSupported: boolean;
  /** Flushes are sent to the target; one that is not has nothing to flush. */
  readonly flushSupported: boolean;
  readonly writeZeroesSupported: boolean;
  /** Every device the target holds, in table order. */
  readonly devices: readonly TargetDevice[];
  /**
   * Takes a bio whose sector is relative to the target's start. The target owns it until it ends
   * it, with an `IoResult` or `REQUEUE`; it may do so before `map` returns. Flushes have no
   * position.
   */
  map(bio: Bio): void;
  /** As those of a device (`block-device.ts`), with a sector relative to the target's start. */
  allocation?(sector: Sector, count: SectorCount): Allocation;
  learnAllocation?(sector: Sector, count: SectorCount, done: AllocationLearnt): void;
  /** A suspend has begun: let everything end that a target may be holding back. */
  presuspend(): Promise<void>;
  /** All bios have ended. */
  postsuspend(): Promise<void>;
  resume(): Promise<void>;
  /** The part of the status line behind the target's name; "" when there is none. */
  status(kind: StatusKind, nameOf: DeviceNaming): Awaitable<string>;
  /**
   * What the kernel would report of it for measurement (specification 7.3); absent, or "", for a
   * target that reports nothing.
   */
  measure?(nameOf: DeviceNaming): string;
  /** Answers a message. @throws UserError when it is not understood. */
  message(words: readonly string[]): Promise<string>;
  destroy(): Promise<void>;
}
