/**
 * The region hash against a model: random writes, completions, turns and recoveries, shrunk on
 * failure.
 *
 * The model knows of each region only how many writes are pending and what the log was told; after
 * every step the rules of specification 2.3 and invariants 1, 2, 5, 6, 7, 9 must hold.
 */

import fc from 'fast-check';
import t from 'tap';
import { isPromise } from '../../src/base/awaitable.ts';
import { silentProbe } from '../../src/base/probe.ts';
import { type Region, type SectorCount, toRegion } from '../../src/base/units.ts';
import { coreLogType } from '../../src/dirtylog/core-log.ts';
import type { DirtyLog } from '../../src/dirtylog/dirty-log.ts';
import { ClearDelay } from '../../src/mirror/clear-delay.ts';
import { type RegionEntry, RegionHash, type RegionWrite } from '../../src/mirror/region-hash.ts';
import { byEffort } from '../support/effort.ts';

const REGIONS = 4;

function noTimer(): never {
  throw new Error('Without a delay nothing waits for a timer');
}

class TestWrite implements RegionWrite {
  readonly region: Region;
  counted = false;
  constructor(region: number) {
    this.region = toRegion(region);
  }
}

/** A log that only remembers, with every region in sync or out of it. */
class ModelLog implements DirtyLog {
  readonly type = coreLogType;
  readonly regionSizeSectors = 8 as SectorCount;
  readonly devices = [];
  readonly clean = Array<boolean>(REGIONS).fill(true);
  readonly sync: boolean[];
  readonly handedOut = new Set<number>();
  marks = 0;
  constructor(sync: boolean[]) {
    this.sync = sync;
  }
  presuspend = () => 0;
  postsuspend = () => 0;
  resume = () => 0;
  destroy = async () => undefined;
  isClean = (region: Region) => this.clean[region]!;
  inSync = (region: Region) => (this.sync[region] ? 1 : 0);
  inSyncNow = (region: Region) => (this.sync[region] ? 1 : 0);
  flush = () => 0;
  markRegion(region: Region): void {
    this.marks += 1;
    this.clean[region] = false;
  }
  clearRegion(region: Region): void {
    this.clean[region] = true;
  }
  getResyncWork(): Region | null {
    const region = this.sync.findIndex((inSync, index) => !inSync && !this.handedOut.has(index));
    if (region < 0) return null;
    this.handedOut.add(region);
    return toRegion(region);
  }
  setRegionSync(region: Region, inSync: boolean): void {
    this.handedOut.delete(region);
    this.sync[region] = inSync;
  }
  getSyncCount = () => this.sync.filter(Boolean).length;
  status = () => '';
}

type Step =
  | { readonly do: 'write'; readonly region: number }
  | { readonly do: 'end'; readonly pick: number }
  | { readonly do: 'fail'; readonly pick: number }
  | { readonly do: 'settle' }
  | { readonly do: 'recover' }
  | { readonly do: 'copied'; readonly ok: boolean }
  | { readonly do: 'delay-passes' }
  | { readonly do: 'flush-fails' };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant('write' as const), region: fc.nat(REGIONS - 1) }),
    },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('end' as const), pick: fc.nat(7) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), pick: fc.nat(7) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('recover' as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('copied' as const), ok: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('delay-passes' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('flush-fails' as const) }) },
  ),
  { maxLength: 60 },
);

class Model {
  readonly log: ModelLog;
  readonly hash: RegionHash<TestWrite>;
  /** Counted and not yet ended. */
  pending: TestWrite[] = [];
  /** Given to the region's recovery to wait. */
  delayed: TestWrite[] = [];
  copying: RegionEntry<TestWrite> | null = null;
  diverged = new Set<number>();

  #timer: (() => void) | null = null;
  readonly clearDelay: ClearDelay;

  constructor(sync: boolean[], delayMs: number) {
    this.log = new ModelLog(sync);
    this.clearDelay = new ClearDelay({
      delayMs,
      after: (_delayMs, task) => {
        if (this.#timer !== null) throw new Error('Two timers for one delay');
        this.#timer = task;
        return { cancel: () => this.stopTimer() };
      },
      wake: () => undefined,
    });
    this.hash = new RegionHash<TestWrite>({
      log: this.log,
      handleErrors: true,
      probe: silentProbe,
      clearDelay: this.clearDelay,
      requeue: (writes) => {
        for (const write of writes) this.delayed = this.delayed.filter((other) => other !== write);
      },
      wake: () => undefined,
    });
    this.hash.startRecovery();
  }

  stopTimer(): void {
    this.#timer = null;
  }

  /** The delay is over, if it runs. */
  delayPasses(): void {
    const task = this.#timer;
    this.#timer = null;
    task?.();
  }

  now<T>(value: T | Promise<T>): T {
    if (isPromise(value)) throw new Error('A log that answers at once made the hash wait');
    return value;
  }

  async take(step: Step): Promise<void> {
    if (step.do === 'write') this.write(step.region);
    else if (step.do === 'end') this.end(step.pick, false);
    else if (step.do === 'fail') this.end(step.pick, true);
    else if (step.do === 'settle') await this.hash.updateStates();
    else if (step.do === 'recover') this.recover();
    else if (step.do === 'copied') this.copied(step.ok);
    else if (step.do === 'delay-passes') this.delayPasses();
    else this.hash.noteFlushFailure();
  }

  write(region: number): void {
    const write = new TestWrite(region);
    const state = this.now(this.hash.stateOf(write.region));
    if (state === 'recovering') {
      this.hash.delay(write);
      this.delayed.push(write);
      return;
    }
    this.now(this.hash.countWrite(write));
    this.pending.push(write);
  }

  end(pick: number, failed: boolean): void {
    const write = this.pending[pick % Math.max(1, this.pending.length)];
    if (write === undefined) return;
    if (failed) {
      this.now(this.hash.markNosync(write));
      this.diverged.add(write.region);
    }
    this.pending = this.pending.filter((other) => other !== write);
    this.hash.writeEnded(write);
  }

  recover(): void {
    this.now(this.hash.prepareRecovery());
    const entry = this.hash.nextQuiesced();
    if (entry === null) return;
    if (this.copying !== null) throw new Error('Two regions are copied at once');
    this.copying = entry;
  }

  copied(ok: boolean): void {
    if (this.copying === null) return;
    const entry = this.copying;
    this.copying = null;
    if (ok) this.diverged.delete(entry.region);
    this.hash.recoveryEnded(entry, ok);
  }

  /** After a suspend every region in sync is clean in the log, whatever the delay. */
  checkCleared(): void {
    for (const [region, inSync] of this.log.sync.entries()) {
      if (inSync && !this.log.clean[region]) throw new Error(`Region ${region} was never cleared`);
    }
  }

  check(): void {
    for (const { region } of this.pending) {
      if (this.log.clean[region] && this.log.sync[region]) {
        throw new Error(`Region ${region} has a write pending and is clean in the log`);
      }
    }
    for (const region of this.diverged) {
      if (this.log.sync[region]) throw new Error(`Region ${region} differs and counts as in sync`);
    }
    if (
      this.copying !== null &&
      this.pending.some(({ region }) => region === this.copying?.region)
    ) {
      throw new Error(`Region ${this.copying.region} is copied under a pending write`);
    }
  }
}

t.test('RegionHash keeps its invariants over random programs', async (t) => {
  const runs = byEffort({ quick: 300, standard: 2000, full: 50_000 });
  let programs = 0;
  const property = fc.asyncProperty(
    fc.array(fc.boolean(), { minLength: REGIONS, maxLength: REGIONS }),
    fc.constantFrom(0, 100),
    steps,
    async (sync, delayMs, program) => {
      programs += 1;
      const model = new Model([...sync], delayMs);
      for (const step of program) {
        await model.take(step);
        model.check();
      }
      // Let everything end: nothing may stay behind, and a suspend must find an end.
      while (model.pending.length > 0) model.end(0, false);
      model.copied(true);
      model.clearDelay.suspending();
      await model.hash.updateStates();
      const stopped = model.hash.stopRecovery();
      model.recover();
      model.copied(true);
      for (let turn = 0; turn < 4; turn++) await model.hash.updateStates();
      await stopped;
      model.hash.assertIdle();
      if (!model.hash.flushFailed) model.checkCleared();
      if (model.delayed.length > 0) throw new Error('A delayed write was forgotten');
    },
  );
  await fc.assert(property, { numRuns: runs });
  t.ok(programs >= runs, `${programs} programs`);
});

t.test(
  'a write that was to wait for a recovery abandoned meanwhile goes round again',
  async (t) => {
    const requeued: TestWrite[] = [];
    const hash = new RegionHash<TestWrite>({
      log: new ModelLog([false, true, true, true]),
      handleErrors: true,
      probe: silentProbe,
      clearDelay: new ClearDelay({ delayMs: 0, after: noTimer, wake: () => undefined }),
      requeue: (writes) => requeued.push(...writes),
      wake: () => undefined,
    });
    const early = new TestWrite(0);
    const late = new TestWrite(0);
    await hash.countWrite(early);
    hash.startRecovery();
    await hash.prepareRecovery();
    t.equal(await hash.stateOf(toRegion(0)), 'recovering');
    // While the turn waits for its log, a flush fails and the last write before the copy ends.
    hash.noteFlushFailure();
    hash.writeEnded(early);
    hash.delay(late);
    await hash.updateStates();
    t.same(requeued, [late]);
    hash.assertIdle();
  },
);

t.test(
  'RegionHash with a clear delay marks a region once, and clears it when the time is over',
  async (t) => {
    const model = new Model([true, true, true, true], 100);
    for (let round = 0; round < 3; round++) {
      model.write(1);
      model.end(0, false);
      await model.hash.updateStates();
    }
    t.equal(model.log.marks, 1);
    t.notOk(model.log.clean[1]);
    model.delayPasses();
    await model.hash.updateStates();
    t.ok(model.log.clean[1]);

    model.write(1);
    model.hash.noteLogFailure();
    model.end(0, false);
    model.write(1);
    t.equal(model.log.marks, 3, 'after a failure of the log nothing counts as marked');
  },
);
