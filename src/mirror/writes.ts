/**
 * Writes, in the order that durability rests on: classify, mark, flush the log, then the legs
 * (specification 2.5).
 *
 * No leg sees a byte of a write to a region in sync before the log flush that recorded the region
 * returned. One flush serves the whole batch.
 */

import { type Awaitable, andThen, forEachAtOnce, isPromise } from '../base/awaitable.ts';
import { EOPNOTSUPP, errnoName, type IoResult, OK } from '../base/errno.ts';
import { REMOTE_RECOVERY_RETRY_MS } from '../base/limits.ts';
import { sectorAfter } from '../base/units.ts';
import { Bio } from '../block/bio.ts';
import type { FailedLegs, FanOutEnd, LegIo } from './leg-io.ts';
import type { MirrorSet } from './mirror-set.ts';
import { type MirrorWrite, NO_REGION } from './mirror-write.ts';
import type { RegionState } from './region-state.ts';

export interface WritesOptions {
  readonly set: MirrorSet;
  readonly legIo: LegIo;
  /** Sees to a turn after a while, for writes that another node's recovery holds up. */
  readonly wakeAfter: (delayMs: number) => void;
}

/** A batch, sorted by where its writes may go. */
interface Piles {
  /** To every leg. */
  readonly sync: MirrorWrite[];
  /** To the default leg only. */
  readonly nosync: MirrorWrite[];
  /** Wait for their region's recovery. */
  readonly recovering: MirrorWrite[];
  /** Wait for another node's recovery. */
  readonly remote: MirrorWrite[];
}

export class Writes {
  readonly #set: MirrorSet;
  readonly #legIo: LegIo;
  readonly #wakeAfter: (delayMs: number) => void;
  readonly #fanOutEnded: FanOutEnd = (write, failedLegs, reasons): void => {
    if (failedLegs === 0) this.#set.endWrite(write, OK);
    else this.#fanOutFailed(write, failedLegs, reasons ?? []);
  };
  readonly #redirectEnded = (bio: Bio, result: IoResult): void => {
    const write = bio.context as MirrorWrite;
    write.bio.detail = bio.detail;
    this.#set.context.probe.reached('W7', this.#set.defaultLeg.index, write.region);
    this.#set.endWrite(write, result);
  };

  constructor(options: WritesOptions) {
    this.#set = options.set;
    this.#legIo = options.legIo;
    this.#wakeAfter = options.wakeAfter;
  }

  serve(writes: readonly MirrorWrite[]): Awaitable<void> {
    if (writes.length === 0) return;
    const piles: Piles = { sync: [], nosync: [], recovering: [], remote: [] };
    const sorted = forEachAtOnce(writes, (write) => this.#classify(write, piles));
    const counted = andThen(sorted, () => this.#count(piles));
    const flushed = andThen(counted, () => this.#set.log.flush());
    const writable = andThen(flushed, (result) => {
      if (result !== OK) this.#logFailed(result);
      return this.#set.log.untilWritable?.();
    });
    return andThen(writable, () => this.#dispatch(piles));
  }

  #classify(write: MirrorWrite, piles: Piles): Awaitable<void> {
    if (write.region === NO_REGION) {
      piles.sync.push(write);
      return;
    }
    const { log } = this.#set;
    if (log.isRemoteRecovering === undefined) return this.#classifyByState(write, piles);
    return andThen(log.isRemoteRecovering(write.region), (isRemote) => {
      if (!isRemote) return this.#classifyByState(write, piles);
      piles.remote.push(write);
    });
  }

  #classifyByState(write: MirrorWrite, piles: Piles): Awaitable<void> {
    const state = this.#set.hash.stateOf(write.region);
    if (isPromise(state)) return state.then((known) => putOnPile(write, piles, known));
    putOnPile(write, piles, state);
  }

  #count(piles: Piles): Awaitable<void> {
    if (piles.remote.length > 0) {
      this.#set.requeueWrites(piles.remote);
      this.#wakeAfter(REMOTE_RECOVERY_RETRY_MS);
    }
    const count = (write: MirrorWrite): Awaitable<void> => {
      if (write.region !== NO_REGION) return this.#set.hash.countWrite(write);
    };
    const counted = andThen(forEachAtOnce(piles.sync, count), () =>
      forEachAtOnce(piles.nosync, count),
    );
    return isPromise(counted) ? counted.then(() => this.#sortAgain(piles)) : counted;
  }

  /**
   * A log that takes its time was asked twice, and may have answered this and that, be it since a
   * request failed. What is counted is what counts: a write to one leg alone must never be to a
   * region that turns clean, nor one to all legs to a region that nobody marked.
   */
  #sortAgain(piles: Piles): void {
    const { hash } = this.#set;
    const isNosync = (write: MirrorWrite): boolean =>
      write.region !== NO_REGION && hash.stateOf(write.region) === 'nosync';
    const nosync = [...piles.sync, ...piles.nosync].filter(isNosync);
    const sync = [...piles.sync, ...piles.nosync].filter((write) => !isNosync(write));
    piles.sync.splice(0, piles.sync.length, ...sync);
    piles.nosync.splice(0, piles.nosync.length, ...nosync);
  }

  #dispatch(piles: Piles): void {
    this.#dispatchSync(piles.sync);
    for (const write of piles.recovering) this.#set.hash.delay(write);
    this.#dispatchNosync(piles.nosync);
  }

  #logFailed(result: IoResult): void {
    this.#set.hash.noteLogFailure();
    if (this.#set.logFailure) return;
    this.#set.logFailure = true;
    this.#set.context.probe.reached('F3', -1, NO_REGION);
    this.#set.context.log.error('The dirty log cannot be written', { result: errnoName(result) });
  }

  #dispatchSync(writes: readonly MirrorWrite[]): void {
    const set = this.#set;
    if (set.logFailure && set.features.handleErrors) {
      for (const write of writes) set.queueFailure(write);
      return;
    }
    if (set.logFailure) set.counters.unloggedWrites += writes.length;
    for (const write of writes) this.#legIo.fanOut(write, this.#fanOutEnded);
  }

  #dispatchNosync(writes: readonly MirrorWrite[]): void {
    const set = this.#set;
    const { handleErrors, keepLog } = set.features;
    for (const write of writes) {
      if (set.legFailure && handleErrors && !keepLog) set.queueFailure(write);
      else this.#redirect(write);
    }
  }

  /**
   * To the default leg as a plain request: its error goes to the issuer and is recorded nowhere.
   */
  #redirect(write: MirrorWrite): void {
    const { bio } = write;
    const leg = this.#set.defaultLeg;
    this.#set.context.probe.reached('W6', leg.index, write.region);
    leg.device.submit(
      new Bio({
        op: bio.op,
        sector: sectorAfter(leg.offset, bio.sector),
        count: bio.count,
        data: bio.data,
        fua: bio.fua,
        onEnd: this.#redirectEnded,
        context: write,
      }),
    );
  }

  #fanOutFailed(
    write: MirrorWrite,
    failedLegs: FailedLegs,
    reasons: readonly (string | null)[],
  ): void {
    const set = this.#set;
    if (write.bio.op === 'discard') {
      write.bio.detail ??= 'A leg cannot discard';
      set.endWrite(write, EOPNOTSUPP);
      return;
    }
    for (const leg of set.legs) {
      if ((failedLegs & (1 << leg.index)) === 0) continue;
      set.failLeg(leg, 'write', reasons[leg.index] ?? `${write.bio.op} failed`);
    }
    set.queueFailure(write);
  }
}

function putOnPile(write: MirrorWrite, piles: Piles, state: RegionState): void {
  if (state === 'nosync') piles.nosync.push(write);
  else if (state === 'recovering') piles.recovering.push(write);
  else piles.sync.push(write);
}
