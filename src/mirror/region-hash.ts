/**
 * Regions in motion: pending writes, delayed writes, quiescing and settling. Counterpart:
 * dm-region-hash.
 *
 * Invariants (specification 2, numbers as in its section 12):
 * - an entry exists only while something is or was going on; without one the log knows the state;
 * - a region turns DIRTY only together with `markRegion` in the log (1), and is cleared in the
 *   log only by
 *   a turn after its last counted write ended and none failed (2, 6);
 * - a RECOVERING region is copied only at pending zero, and no write to it starts meanwhile (7);
 * - at most `RECOVERIES_MAX` regions recover at once (9): each holds one recovery slot.
 *
 * Who may move a region between states is in `region-state.ts`. Only the worker's turn makes and
 * drops entries; completions lower counts and may come at any time, also while a turn waits for the
 * log.
 */

import { assert } from '../base/assert.ts';
import { type Awaitable, andThen, isPromise } from '../base/awaitable.ts';
import type { Probe } from '../base/probe.ts';
import type { Region } from '../base/units.ts';
import type { DirtyLog } from '../dirtylog/dirty-log.ts';
import type { ClearDelay } from './clear-delay.ts';
import { RecoverySlots } from './recovery-slots.ts';
import { assertTransition, type RegionState, type TransitionOwner } from './region-state.ts';

export interface RegionWrite {
  readonly region: Region;
  counted: boolean;
}

type ListName = 'none' | 'clean' | 'quiesced' | 'recovered' | 'failed-recovered' | 'abandoned';

export interface RegionEntry<W extends RegionWrite> {
  readonly region: Region;
  state: RegionState;
  /** Writes counted and not yet ended, whatever way they take. */
  pending: number;
  /** An entry is on at most one list; an array may still name it after it left (see `#take`). */
  list: ListName;
  /** The log holds the region as dirty, durably, though it may be CLEAN here (clear delay). */
  marked: boolean;
  /** Writes that came while the region was RECOVERING; null as long as there are none. */
  delayed: W[] | null;
}

export interface RegionHashOptions<W extends RegionWrite> {
  readonly log: DirtyLog;
  /**
   * With `handle_errors`, a region whose copy failed stays out of sync; without, it counts as in
   * sync.
   */
  readonly handleErrors: boolean;
  readonly probe: Probe;
  readonly clearDelay: ClearDelay;
  /** Takes delayed writes back into the write queue, and sees to a turn. */
  readonly requeue: (writes: W[]) => void;
  readonly wake: () => void;
}

export class RegionHash<W extends RegionWrite> {
  readonly #options: RegionHashOptions<W>;
  readonly #log: DirtyLog;
  readonly #entries = new Map<Region, RegionEntry<W>>();
  /** What a log that takes its time is being asked. */
  readonly #questions = new Map<Region, Promise<number>>();
  #clean: RegionEntry<W>[] = [];
  /** A log that failed once may have lost marks: nothing is taken as marked any more. */
  #marksHold = true;
  #quiesced: RegionEntry<W>[] = [];
  #recovered: RegionEntry<W>[] = [];
  #failedRecovered: RegionEntry<W>[] = [];
  /** Departure: recoveries that a failed flush turned NOSYNC; the kernel never ends them (2.11). */
  #abandoned: RegionEntry<W>[] = [];
  /**
   * Sticky: a flush of the legs failed, so nothing that drains may count as clean any more (2.8).
   */
  #flushFailed = false;
  readonly #slots = new RecoverySlots();

  constructor(options: RegionHashOptions<W>) {
    this.#options = options;
    this.#log = options.log;
  }

  /**
   * The state of a region, asking the log where there is no entry: in sync means exactly 1 there.
   */
  stateOf(region: Region): Awaitable<RegionState> {
    const entry = this.#entries.get(region);
    if (entry !== undefined) return entry.state;
    const inSync = this.#askInSync(region);
    if (isPromise(inSync)) return inSync.then((answer) => (answer === 1 ? 'clean' : 'nosync'));
    return inSync === 1 ? 'clean' : 'nosync';
  }

  /** Null without an entry: the log knows, and is not asked. For status displays. */
  stateNow(region: Region): RegionState | null {
    return this.#entries.get(region)?.state ?? null;
  }

  /** Regions with an entry, for status displays. */
  entries(): IterableIterator<RegionEntry<W>> {
    return this.#entries.values();
  }

  get flushFailed(): boolean {
    return this.#flushFailed;
  }

  /** Counts a write as pending; a CLEAN region turns DIRTY and is marked in the log. */
  countWrite(write: W): Awaitable<void> {
    const entry = this.#find(write.region);
    if (isPromise(entry)) return entry.then((found) => this.#count(found, write));
    this.#count(entry, write);
  }

  /** Keeps a write until the recovery of its region is over. */
  delay(write: W): void {
    const entry = this.#entryOf(write.region);
    // Abandoned meanwhile by a failed flush: the next turn sends it round again.
    const mayWait = entry.state === 'recovering' || entry.list === 'abandoned';
    assert(mayWait, `A write is delayed on a region that is ${entry.state}`);
    entry.delayed ??= [];
    entry.delayed.push(write);
  }

  /** A counted write has ended, whatever became of it. */
  writeEnded(write: W): void {
    const entry = this.#entryOf(write.region);
    assert(write.counted && entry.pending > 0, 'A write ends that is not pending');
    write.counted = false;
    entry.pending -= 1;
    this.#options.probe.reached('W10', -1, entry.region);
    if (entry.pending > 0) return;
    if (this.#flushFailed) {
      if (entry.state === 'recovering') this.#putOn('abandoned', entry);
      this.#move('completion', entry, 'nosync');
    } else if (entry.state === 'recovering') {
      this.#putOn('quiesced', entry);
    } else if (entry.state === 'dirty') {
      this.#move('completion', entry, 'clean');
      this.#putOn('clean', entry);
      if (this.#options.clearDelay.putsOff()) return;
    }
    this.#options.wake();
  }

  /** A flush of the log has failed. */
  noteLogFailure(): void {
    this.#marksHold = false;
  }

  /** The legs' caches could not be flushed: from now on no region that drains counts as clean. */
  noteFlushFailure(): void {
    this.#flushFailed = true;
  }

  /** A write to the region failed on a leg: the legs differ now (specification 2.10). */
  markNosync(write: W): Awaitable<void> {
    const told = this.#log.setRegionSync(write.region, false);
    return andThen(told, () => this.#becomeNosync(write));
  }

  /**
   * Settles what has ended since the last turn: recovered, failed, then clean regions leave, the
   * log is told and flushed. The result of this flush is ignored, as in the kernel (2.4).
   */
  updateStates(): Awaitable<void> {
    const recovered = this.#take('recovered', this.#recovered);
    const failed = this.#take('failed-recovered', this.#failedRecovered);
    const abandoned = this.#abandoned;
    const clean = this.#takeClean();
    this.#recovered = [];
    this.#failedRecovered = [];
    this.#abandoned = [];
    if (recovered.length + failed.length + abandoned.length > 0) {
      return this.#settleAll(recovered, failed, abandoned, clean);
    }
    this.#settleClean(clean);
    const flushed = this.#log.flush();
    if (isPromise(flushed)) return flushed.then(() => undefined);
  }

  /** Claims resync work while a slot is free. */
  prepareRecovery(): Awaitable<void> {
    if (!this.#slots.tryTake()) return;
    return andThen(this.#log.getResyncWork(), (region) => this.#claim(region));
  }

  /** The next region that is ready to be copied; null when there is none. */
  nextQuiesced(): RegionEntry<W> | null {
    for (;;) {
      const entry = this.#quiesced.shift();
      if (entry === undefined) return null;
      if (entry.list !== 'quiesced') continue;
      entry.list = 'none';
      return entry;
    }
  }

  /** The copy of a region has ended; the next turn settles it. */
  recoveryEnded(entry: RegionEntry<W>, success: boolean): void {
    this.#putOn(success ? 'recovered' : 'failed-recovered', entry);
    this.#options.wake();
  }

  /** Lets recovery run (again). */
  startRecovery(): void {
    this.#slots.open();
    this.#options.wake();
  }

  /** Ends when no region recovers; none starts until `startRecovery`. */
  stopRecovery(): Promise<void> {
    return this.#slots.close();
  }

  /** Nothing is pending, delayed or recovering any more. */
  assertIdle(): void {
    assert(this.#slots.inFlight === 0, 'A recovery is in flight');
    for (const entry of this.#entries.values()) {
      assert(entry.pending === 0, `Region ${entry.region} has ${entry.pending} pending writes`);
      assert(entry.delayed === null, `Region ${entry.region} has delayed writes`);
    }
  }

  // --- lookup -----------------------------------------------------------------------------------

  #find(region: Region): Awaitable<RegionEntry<W>> {
    const entry = this.#entries.get(region);
    if (entry !== undefined) return entry;
    const inSync = this.#askInSync(region);
    if (isPromise(inSync)) return this.#createLater(region, inSync);
    return this.#create(region, inSync);
  }

  /** One question for all who ask before there is an answer. */
  #askInSync(region: Region): Awaitable<number> {
    const asked = this.#questions.get(region);
    if (asked !== undefined) return asked;
    const inSync = this.#log.inSync(region);
    if (!isPromise(inSync)) return inSync;
    const question = inSync.finally(() => this.#questions.delete(region));
    this.#questions.set(region, question);
    return question;
  }

  /** The first who hears the answer makes the entry. */
  async #createLater(region: Region, inSync: Promise<number>): Promise<RegionEntry<W>> {
    const answer = await inSync;
    return this.#entries.get(region) ?? this.#create(region, answer);
  }

  /** Here, unlike in `stateOf`, any answer but 0 means CLEAN: the kernel is inconsistent (2.1). */
  #create(region: Region, inSync: number): RegionEntry<W> {
    const state = inSync === 0 ? 'nosync' : 'clean';
    const entry: RegionEntry<W> = {
      region,
      state,
      pending: 0,
      list: 'none',
      marked: false,
      delayed: null,
    };
    this.#entries.set(region, entry);
    if (state === 'clean') this.#putOn('clean', entry);
    return entry;
  }

  #entryOf(region: Region): RegionEntry<W> {
    const entry = this.#entries.get(region);
    assert(entry !== undefined, 'A region with a write is not in the hash');
    return entry;
  }

  #claim(region: Region | null): Awaitable<void> {
    if (region === null) {
      this.#slots.release();
      return;
    }
    this.#options.probe.reached('R0', -1, region);
    return andThen(this.#find(region), (entry) => this.#beginRecovery(entry));
  }

  #beginRecovery(entry: RegionEntry<W>): Awaitable<void> {
    this.#move('turn', entry, 'recovering');
    if (entry.pending > 0) entry.list = 'none';
    else this.#putOn('quiesced', entry);
    return this.prepareRecovery();
  }

  // --- changes ----------------------------------------------------------------------------------

  #count(entry: RegionEntry<W>, write: W): void {
    assert(!write.counted, 'A write is counted twice');
    write.counted = true;
    entry.pending += 1;
    this.#options.probe.reached('W1', -1, entry.region);
    if (entry.state !== 'clean') return;
    this.#move('turn', entry, 'dirty');
    entry.list = 'none';
    if (entry.marked && this.#marksHold) return;
    entry.marked = !this.#options.clearDelay.isOff;
    this.#log.markRegion(entry.region);
    this.#options.probe.reached('W2', -1, entry.region);
  }

  #becomeNosync(write: W): void {
    const entry = this.#entryOf(write.region);
    assert(write.counted, 'A write that failed is still counted');
    assert(entry.list === 'none', `Region ${entry.region} with a failed write is ${entry.list}`);
    const wasRecovering = entry.state === 'recovering';
    this.#move('turn', entry, 'nosync');
    if (wasRecovering) this.#recoveryOver(entry);
  }

  async #settleAll(
    recovered: RegionEntry<W>[],
    failed: RegionEntry<W>[],
    abandoned: RegionEntry<W>[],
    clean: RegionEntry<W>[],
  ): Promise<void> {
    for (const entry of recovered) {
      this.#log.clearRegion(entry.region);
      await this.#settleRecovery(entry, true);
    }
    for (const entry of failed) await this.#settleRecovery(entry, !this.#options.handleErrors);
    for (const entry of abandoned) {
      // Stays in the hash: a write may have been counted for it meanwhile.
      if (entry.list === 'abandoned') entry.list = 'none';
      await this.#settleRecovery(entry, false);
    }
    this.#settleClean(clean);
    await this.#log.flush();
  }

  async #settleRecovery(entry: RegionEntry<W>, inSync: boolean): Promise<void> {
    const told = this.#log.setRegionSync(entry.region, inSync);
    if (isPromise(told)) await told;
    this.#options.probe.reached('R4', -1, entry.region);
    this.#recoveryOver(entry);
  }

  #settleClean(clean: readonly RegionEntry<W>[]): void {
    for (const entry of clean) {
      this.#log.clearRegion(entry.region);
      this.#options.probe.reached('W11', -1, entry.region);
    }
  }

  /**
   * Delayed writes go back first, so that a suspend which waits for the slot waits for them too.
   */
  #recoveryOver(entry: RegionEntry<W>): void {
    const { delayed } = entry;
    entry.delayed = null;
    if (delayed !== null) this.#options.requeue(delayed);
    this.#slots.release();
  }

  #move(owner: TransitionOwner, entry: RegionEntry<W>, to: RegionState): void {
    assertTransition(owner, entry.state, to);
    entry.state = to;
  }

  // --- lists ------------------------------------------------------------------------------------

  #putOn(list: Exclude<ListName, 'none'>, entry: RegionEntry<W>): void {
    entry.list = list;
    if (list === 'clean') {
      if (this.#options.clearDelay.isOff) this.#clean.push(entry);
    } else if (list === 'quiesced') this.#quiesced.push(entry);
    else if (list === 'recovered') this.#recovered.push(entry);
    else if (list === 'failed-recovered') this.#failedRecovered.push(entry);
    else this.#abandoned.push(entry);
  }

  /**
   * The regions to be cleared in this turn. Where clears are put off, regions become idle many
   * times before one, so that no array names them: they are looked for.
   */
  #takeClean(): RegionEntry<W>[] {
    const { clearDelay } = this.#options;
    if (!clearDelay.isTime()) return [];
    const named = clearDelay.isOff ? this.#clean : [...this.#entries.values()];
    this.#clean = [];
    return this.#take('clean', named);
  }

  /** The entries that are still on the list, each once, taken off it and out of the hash. */
  #take(list: ListName, named: readonly RegionEntry<W>[]): RegionEntry<W>[] {
    const taken: RegionEntry<W>[] = [];
    for (const entry of named) {
      if (entry.list !== list) continue;
      entry.list = 'none';
      assert(entry.pending === 0, 'A region leaves the hash with writes pending');
      this.#entries.delete(entry.region);
      taken.push(entry);
    }
    return taken;
  }
}
