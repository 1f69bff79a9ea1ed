/**
 * The log that nodes share, `clustered-core` and `clustered-disk`, as one mirror of this node sees
 * it (specification 11.3, 11.5). What it is better at than `cmirrord` is in docs/quirks.md.
 *
 * Invariants:
 * - a flush is answered with 0 only when every mark is stored, and by our own clock the lease that
 *   protects them still lasts;
 * - a region is copied by one node only, and only while no other node has it marked; a region that
 *   is being copied is marked by nobody else until that has ended;
 * - a region is clean only where it is in sync and no node has it marked. Whoever copies a region
 *   has it marked until the mirror clears it, which it does after flushing the legs.
 */

import { type IoResult, OK } from '../base/errno.ts';
import type { Region, SectorCount } from '../base/units.ts';
import type { RemoteRecovering, UlogLease } from '../dirtylog/userspace/ulog-payloads.ts';
import { CLEAR_DELAY_MS } from './cluster-context.ts';
import { encodeJson, LogKeys } from './cluster-keys.ts';
import { isCopiedBy, planCopy, planSetSync, type Taker } from './copy-plans.ts';
import { describeShared } from './describe-shared.ts';
import { type LogPartsOptions, makeLogParts } from './log-parts.ts';
import type { LogReplica } from './log-replica.ts';
import type { MarkSet } from './mark-set.ts';
import type { Membership } from './membership.ts';
import { type LogDescription, NO_ANSWER, type NoAnswer, type ServedLog } from './served-log.ts';
import type { SharedLogFile } from './shared-log-file.ts';
import type { Step } from './take-over.ts';

/** Regions that writes wait for, remembered at most. */
const WANTED_MAX = 64;

export interface ClusteredLogOptions extends LogPartsOptions {
  readonly uuid: string;
}

export class ClusteredLog implements ServedLog {
  readonly regionSizeSectors: SectorCount;
  readonly regionCount: number;
  readonly deviceName: string | null;
  readonly #options: ClusteredLogOptions;
  readonly #node: string;
  readonly #keys: LogKeys;
  #replica: LogReplica;
  #marks: MarkSet;
  #membership: Membership;
  #file: SharedLogFile | null;
  #isLive = false;
  /** From presuspend to resume: writes must not wait for copies, or the suspend would hang. */
  #isHalted = false;
  /**
   * Regions below this number the mirror has been told to be in sync, so that it does not ask
   * again. It goes on writing them to all legs, and marking them, whatever becomes of them.
   */
  #toldBelow = 0;
  /**
   * Regions of which it was told that nobody copies them. It asks next whether they are in sync,
   * and would write unmarked, on one leg only, what has come out of sync between the questions.
   */
  readonly #toldFree = new Set<number>();
  /** Regions whose copy failed here: another node may do better. */
  readonly #failed = new Set<number>();
  /** Of the region being copied, the mark is that of the copy alone. */
  #markedForCopy: Region | null = null;
  #clearTimer: { cancel(): void } | null = null;
  #markTurn: Promise<unknown> = Promise.resolve();

  constructor(options: ClusteredLogOptions) {
    const { uuid, args, context, device } = options;
    this.#options = options;
    this.#node = context.lease.node;
    this.regionSizeSectors = args.regionSizeSectors;
    this.regionCount = args.regionCount;
    this.deviceName = device?.name ?? null;
    this.#keys = new LogKeys(uuid);
    const parts = makeLogParts(options, this.#keys);
    this.#replica = parts.replica;
    this.#marks = parts.marks;
    this.#membership = parts.membership;
    this.#file = parts.file;
  }

  get isLive(): boolean {
    return this.#isLive;
  }

  // --- life -------------------------------------------------------------------------------------

  presuspend(): IoResult {
    this.#isHalted = true;
    return OK;
  }

  async postsuspend(): Promise<IoResult | NoAnswer> {
    if (!this.#isLive) return OK;
    this.#clearTimer?.cancel();
    const isStored = await this.#membership.settle(() => this.#planLastMarks());
    if (!isStored) return NO_ANSWER;
    await this.#file?.settle();
    if (!(await this.#membership.leave())) return NO_ANSWER;
    this.#isLive = false;
    this.#close();
    return OK;
  }

  async resume({ again }: { readonly again: boolean }): Promise<IoResult | NoAnswer> {
    this.#isHalted = false;
    this.#failed.clear();
    if (again && this.#isLive) {
      // It may be another mirror with the same numbers, after a crash; else it is superfluous.
      return (await this.#membership.distrust(new Set(this.#marks.marked))) ? OK : NO_ANSWER;
    }
    const parts = makeLogParts(this.#options, this.#keys);
    this.#replica = parts.replica;
    this.#marks = parts.marks;
    this.#membership = parts.membership;
    this.#file = parts.file;
    this.#toldBelow = 0;
    this.#toldFree.clear();
    const result = await this.#membership.join();
    if (result === null) return NO_ANSWER;
    if (result !== OK) {
      this.#close();
      return result;
    }
    this.#isLive = true;
    this.#replica.onChange(() => this.#noticed());
    this.#noticed();
    this.#tidySoon();
    if (this.#file === null) return OK;
    const covered = await this.#file.cover(this.#replica.markedAt(this.#node));
    return covered ?? NO_ANSWER;
  }

  /** Whoever waits gets no answer. What is marked stays marked, for others to take over. */
  abandon(): void {
    this.#membership.abandon();
  }

  /** The mirror is gone for good: what it had marked is as after a crash. */
  async orphaned(): Promise<void> {
    if (!this.#isLive) return;
    await this.#membership.leave();
    this.#isLive = false;
    this.#close();
  }

  async destroy(): Promise<void> {
    this.#close();
    this.#isLive = false;
    await this.#options.device?.close();
  }

  // --- questions --------------------------------------------------------------------------------

  isClean(region: Region): boolean {
    return this.#replica.isClean(region);
  }

  inSync(region: Region): boolean {
    if (!this.#isLive) return this.#options.args.syncWord === 'nosync';
    if (region < this.#toldBelow || this.#toldFree.has(region)) return true;
    return this.#replica.sync.test(region);
  }

  getSyncCount(): number {
    if (!this.#isLive) return this.#options.args.syncWord === 'nosync' ? this.regionCount : 0;
    const count = this.#replica.syncCount;
    if (count >= this.regionCount) this.#toldBelow = this.regionCount;
    return count;
  }

  isRemoteRecovering(region: Region): RemoteRecovering {
    if (this.#isHalted) {
      this.#toldBelow = this.regionCount;
      return { recovering: false, inSyncHint: this.regionCount };
    }
    const recovering = !this.#replica.sync.test(region);
    if (recovering) this.#toldFree.delete(region);
    else this.#toldFree.add(region);
    if (recovering && this.#replica.copying?.region !== region) this.#want(region);
    // All of it only where that is so: a mirror that was told everything asks for no work (10.7).
    const first = this.#replica.sync.findNextZero(0);
    const hint = first === this.regionCount ? first : Math.min(first, this.regionCount - 1);
    this.#toldBelow = Math.max(this.#toldBelow, hint);
    return { recovering, inSyncHint: hint };
  }

  lease(): UlogLease {
    const { epoch } = this.#replica;
    if (!this.#isLive) return { remainingMs: 0, epoch };
    if (!this.#membership.isEntitled) {
      // A mirror whose marks are all stored asks for nothing else until it may write.
      this.#comeBack();
      return { remainingMs: 0, epoch };
    }
    return { remainingMs: Math.floor(this.#options.context.lease.remainingMs), epoch };
  }

  status(kind: 'info' | 'table'): string {
    const { implementation, text } = this.#options.args;
    if (kind === 'table') return `${text} `;
    if (this.deviceName === null) return `1 ${implementation}`;
    return `3 ${implementation} ${this.deviceName} ${this.#file?.health ?? 'A'}`;
  }

  describe(): LogDescription {
    return describeShared({
      implementation: this.#options.args.implementation,
      regionSizeSectors: this.regionSizeSectors,
      device: this.deviceName,
      node: this.#node,
      replica: this.#replica,
    });
  }

  // --- marks ------------------------------------------------------------------------------------

  markRegion(region: Region): void {
    this.#marks.add(region);
  }

  clearRegion(region: Region): void {
    const { clock } = this.#options.context;
    // Others wait to copy a region that is out of sync.
    const isWaitedFor = !this.#replica.sync.test(region);
    this.#marks.clear(region, clock.now() + (isWaitedFor ? 0 : CLEAR_DELAY_MS));
    this.#tidySoon(isWaitedFor ? 0 : CLEAR_DELAY_MS);
  }

  async flush(): Promise<IoResult | NoAnswer> {
    const isStored = await this.#inMarkTurn(() =>
      this.#membership.settle(() => {
        if (this.#marks.isStored) return 'done';
        return this.#membership.planMarks();
      }),
    );
    if (!isStored) return NO_ANSWER;
    if (this.#file === null) return OK;
    const covered = await this.#file.cover(this.#replica.markedAt(this.#node));
    if (covered === null) return NO_ANSWER;
    return (await this.#membership.entitled()) ? covered : NO_ANSWER;
  }

  // --- copying ----------------------------------------------------------------------------------

  async getResyncWork(): Promise<Region | null | NoAnswer> {
    let work: Region | null = null;
    const before = this.#markedForCopy;
    const isSettled = await this.#inMarkTurn(() =>
      this.#membership.settle(() => {
        const step = this.#planCopy();
        work = typeof step === 'number' ? step : null;
        if (work !== null) this.#beginCopy(work);
        return typeof step === 'number' ? 'done' : (step ?? 'done');
      }),
    );
    if (!isSettled) return NO_ANSWER;
    if (before !== null && before !== work) {
      // It asks for work, so that it does not copy: it never heard of that one.
      if (this.#markedForCopy === before) this.#markedForCopy = null;
      this.clearRegion(before);
    }
    return work;
  }

  async setRegionSync(region: Region, inSync: boolean): Promise<IoResult | NoAnswer> {
    const isSettled = await this.#inMarkTurn(() =>
      this.#membership.settle(() => this.#planSetSync(region, inSync)),
    );
    if (!isSettled) return NO_ANSWER;
    if (this.#markedForCopy === region) {
      this.#markedForCopy = null;
      // Nothing was written there but by the copy; another node may do better.
      if (!inSync) this.clearRegion(region);
    }
    return OK;
  }

  /** It is marked until the mirror clears it. Asked for twice, it is given twice. */
  #beginCopy(region: Region): void {
    if (!this.#marks.marked.has(region)) this.#markedForCopy = region;
    this.#marks.add(region);
  }

  #planCopy(): Step | Region | null {
    if (this.#isHalted) return null;
    return planCopy(this.#replica, this.#membership.plan(), this.#self, this.#failed);
  }

  get #self(): Taker {
    return { node: this.#node, owner: this.#membership.owner };
  }

  #planSetSync(region: Region, inSync: boolean): Step {
    const replica = this.#replica;
    const isOurs = isCopiedBy(replica, this.#self, region);
    const isSynced = replica.sync.test(region);
    if (inSync && !isOurs) {
      // Said twice; or the copy was taken from us meanwhile, and is not worth anything.
      if (!isSynced) this.#options.context.log.warn('shared log: a copy is too late', { region });
      return 'done';
    }
    if (!inSync) {
      // A copy that failed is not tried again here. A write that failed leaves the mirror with a
      // region that it writes on one leg only, unmarked: the mark stays until it has copied it.
      if (isOurs) this.#failed.add(region);
      else this.#marks.add(region);
      if (!isOurs && !isSynced) return this.#marks.isStored ? 'done' : this.#membership.planMarks();
    }
    return planSetSync(replica, this.#membership.plan(), { region, inSync, isOurs });
  }

  // --- in the background ------------------------------------------------------------------------

  /** Transactions on our own marks, one after the other. */
  #inMarkTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#markTurn.then(work);
    this.#markTurn = result;
    return result;
  }

  #noticed(): void {
    if (!this.#isLive) return;
    if (!this.#membership.isEntitled) {
      this.#comeBack();
      return;
    }
    this.#membership.lookForTheDead();
    this.#file?.noticed();
  }

  /** What happened meanwhile is seen to then: nothing may come later that would tell of it. */
  #comeBack(): void {
    this.#membership.comeBack(() => this.#noticed());
  }

  /** Sees to it that what lingers is not forgotten where nothing else is written. */
  #tidySoon(delayMs = CLEAR_DELAY_MS): void {
    if (this.#clearTimer !== null && delayMs > 0) return;
    this.#clearTimer?.cancel();
    this.#clearTimer = this.#options.context.clock.after(delayMs, () => {
      this.#clearTimer = null;
      if (!this.#isLive || !this.#marks.hasLingering) return;
      void this.#inMarkTurn(() => this.#tidy()).then(() => {
        if (this.#isLive && this.#marks.hasLingering) this.#tidySoon();
      });
    });
  }

  /** Once; what does not succeed now will the next time. */
  async #tidy(): Promise<void> {
    if (!this.#isLive || !this.#membership.isEntitled) return;
    const step = this.#membership.planMarks();
    if (typeof step !== 'string') await this.#membership.commitMarks(step);
  }

  #planLastMarks(): Step {
    this.#marks.expireAll();
    return this.#membership.planMarks();
  }

  /** Remembered for whoever copies next; of no account where it does not succeed. */
  #want(region: Region): void {
    const { wanted } = this.#replica;
    if (!this.#isLive || !this.#membership.isEntitled || wanted.includes(region)) return;
    const plan = this.#membership.plan();
    plan.put(this.#keys.wanted, encodeJson([region, ...wanted].slice(0, WANTED_MAX)));
    void this.#membership.commit(plan);
  }

  #close(): void {
    this.#clearTimer?.cancel();
    this.#clearTimer = null;
    this.#membership.abandon();
    this.#file?.close();
    this.#replica.close();
  }
}
