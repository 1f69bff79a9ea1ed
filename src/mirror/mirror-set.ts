/**
 * The state of one mirror: legs, features, flags, queues. Counterpart: `struct mirror_set`.
 *
 * Everything the mirror decides happens in the worker's turn; arriving requests and completions
 * only put things on the queues here and wake it. Every queue is bounded by what clients may have
 * in flight.
 */

import { assert } from '../base/assert.ts';
import { EIO, type IoResult, OK } from '../base/errno.ts';
import type { RegionGeometry } from '../base/geometry.ts';
import type { Bio } from '../block/bio.ts';
import type { DirtyLog } from '../dirtylog/dirty-log.ts';
import { REQUEUE } from '../dm/target.ts';
import type { TargetContext } from '../dm/target-context.ts';
import { firstHealthyLeg } from './choose-leg.ts';
import type { Leg, LegError } from './leg.ts';
import type { MirrorFeatures } from './mirror-args.ts';
import { type MirrorWrite, NO_REGION } from './mirror-write.ts';
import type { RegionHash } from './region-hash.ts';

export interface MirrorSetOptions {
  readonly context: TargetContext;
  readonly legs: readonly Leg[];
  readonly features: MirrorFeatures;
  readonly geometry: RegionGeometry;
  readonly log: DirtyLog;
}

/** What the kernel does silently and to the user's loss is done too, and counted. */
export interface MirrorCounters {
  /** Writes sent to the legs although their mark could not be made durable. */
  unloggedWrites: number;
  /** Writes acknowledged although a leg missed them. */
  degradedWrites: number;
  /** Flushes acknowledged although a leg did not flush. */
  degradedFlushes: number;
  /** Regions counted as in sync although their copy failed. */
  blindRecoveries: number;
}

export class MirrorSet {
  readonly context: TargetContext;
  readonly legs: readonly Leg[];
  readonly features: MirrorFeatures;
  readonly geometry: RegionGeometry;
  readonly log: DirtyLog;
  readonly counters: MirrorCounters = {
    unloggedWrites: 0,
    degradedWrites: 0,
    degradedFlushes: 0,
    blindRecoveries: 0,
  };
  /**
   * The primary: read from, copied from, and the only one that out-of-sync regions are written to.
   */
  defaultLeg: Leg;
  /** All regions were in sync when last looked. */
  inSync = false;
  /** A log flush has failed; only a new table resets it. */
  logFailure = false;
  /** Some leg has had an error since the last reset. */
  legFailure = false;
  suspended = false;

  #reads: Bio[] = [];
  #writes: MirrorWrite[] = [];
  #failures: MirrorWrite[] = [];
  #holds: MirrorWrite[] = [];
  #hash: RegionHash<MirrorWrite> | null = null;
  #wake: (() => void) | null = null;
  #eventQueued = false;

  constructor(options: MirrorSetOptions) {
    this.context = options.context;
    this.legs = options.legs;
    this.features = options.features;
    this.geometry = options.geometry;
    this.log = options.log;
    const first = options.legs[0];
    assert(first !== undefined, 'A mirror has legs');
    this.defaultLeg = first;
  }

  /** Ties the knot between set, hash and worker, once. */
  attach(parts: { hash: RegionHash<MirrorWrite>; wake: () => void }): void {
    assert(this.#hash === null, 'A mirror set is attached twice');
    this.#hash = parts.hash;
    this.#wake = parts.wake;
  }

  get hash(): RegionHash<MirrorWrite> {
    assert(this.#hash !== null, 'The mirror set has no region hash yet');
    return this.#hash;
  }

  wake(): void {
    this.#wake?.();
  }

  // --- queues -----------------------------------------------------------------------------------

  queueRead(bio: Bio): void {
    this.#reads.push(bio);
    this.wake();
  }

  queueWrite(write: MirrorWrite): void {
    this.#writes.push(write);
    this.wake();
  }

  /** Puts writes back behind those that wait, without a turn of their own. */
  requeueWrites(writes: readonly MirrorWrite[]): void {
    for (const write of writes) this.#writes.push(write);
  }

  queueFailure(write: MirrorWrite): void {
    this.#failures.push(write);
    this.wake();
  }

  /** Takes and empties the three input queues in one step; what comes now is for the next turn. */
  takeQueues(): { reads: Bio[]; writes: MirrorWrite[]; failures: MirrorWrite[] } {
    const taken = { reads: this.#reads, writes: this.#writes, failures: this.#failures };
    this.#reads = [];
    this.#writes = [];
    this.#failures = [];
    return taken;
  }

  get heldCount(): number {
    return this.#holds.length;
  }

  // --- endings ----------------------------------------------------------------------------------

  /** Gives a write back to whoever sent it; its region's pending count drops first. */
  endWrite(write: MirrorWrite, result: IoResult | typeof REQUEUE): void {
    const { bio } = write;
    if (write.counted) this.hash.writeEnded(write);
    if (result === OK) this.context.probe.reached('W9', -1, write.region);
    bio.end(result);
  }

  /**
   * Keeps a write until the mirror is suspended; once that has begun there is nothing to wait for.
   */
  hold(write: MirrorWrite): void {
    if (!this.suspended) {
      this.#holds.push(write);
      this.context.probe.reached('F2', -1, write.region);
      return;
    }
    this.endWrite(write, this.context.noflushSuspending() ? REQUEUE : EIO);
  }

  /** At suspend: every held write is put back (noflush) or fails. */
  releaseHolds(): void {
    assert(this.suspended, 'Held writes are released by a suspend only');
    const holds = this.#holds;
    this.#holds = [];
    for (const write of holds) this.hold(write);
    if (holds.length > 0) this.context.probe.reached('F6', -1, NO_REGION);
  }

  // --- errors of legs ---------------------------------------------------------------------------

  /**
   * Records an error of a leg, moves the default leg away from it, raises an event (3.1). `why` is
   * for people, who are told of the first error of each type only: a leg that is gone fails all.
   */
  failLeg(leg: Leg, type: LegError, why: string): void {
    this.legFailure = true;
    const isNew = leg.recordError(type);
    this.context.probe.reached('F0', leg.index, NO_REGION);
    if (isNew) this.context.log.error(`Leg ${leg.index} "${leg.device.name}" has failed: ${why}`);
    if (!isNew || !this.features.handleErrors) return;
    if (leg === this.defaultLeg) this.#leaveDefaultLeg(leg);
    this.#queueEvent();
  }

  #leaveDefaultLeg(leg: Leg): void {
    const { log } = this.context;
    if (!this.inSync && !this.features.keepLog) {
      // Better to fail reads than to serve them from a leg that never got the data.
      log.error(`Leg ${leg.index} stays the default leg, no other has all data: reads may fail`);
      return;
    }
    const healthy = firstHealthyLeg(this.legs);
    if (healthy === null) {
      log.warn('All legs of the mirror have failed');
      return;
    }
    this.defaultLeg = healthy;
    this.context.probe.reached('F4', healthy.index, NO_REGION);
  }

  /** Coalesced: errors that come together raise one event. */
  #queueEvent(): void {
    if (this.#eventQueued) return;
    this.#eventQueued = true;
    this.context.clock.defer(() => {
      this.#eventQueued = false;
      this.context.event();
    });
  }

  /** Every region is in sync: say so, and forgive the legs (5.5). */
  becomeInSync(): void {
    this.context.event();
    this.inSync = true;
    this.legFailure = false;
    for (const leg of this.legs) leg.resetErrors();
  }
}
