/**
 * What every dirty log must do, whatever it stores its bits in: contract tests, and a comparison
 * with a model under random operations, suspends, reopenings and, for durable logs, power cuts.
 */

import fc from 'fast-check';
import type { Test } from 'tap';
import { type Region, toRegion } from '../../src/base/units.ts';
import type { DirtyLog } from '../../src/dirtylog/dirty-log.ts';
import type { SyncWord } from '../../src/dirtylog/log-args.ts';
import { asInTable } from '../../src/dm/device-naming.ts';
import { KernelLogModel, type LogModel, type Stored } from './log-model.ts';
import { SharedLogModel } from './shared-log-model.ts';

/** Storage for one log, and the ways to end and begin its life. */
export interface LogBed {
  /** A new instance over the same storage, before its first resume. */
  open(syncWord?: SyncWord): Promise<DirtyLog>;
  /** Some of what was not made durable is lost; absent where nothing is promised. */
  readonly cutPower?: (seed: number) => void;
}

export interface LogConformance {
  readonly name: string;
  /** Reopened in good order, the log knows what it knew. */
  readonly remembers: boolean;
  /**
   * A server keeps it: what is marked and cleared is with the server from the flush on; work is
   * handed out again until it is settled; regions are counted once; one that is out of sync cannot
   * be cleared; and nothing is handed out any more once all of them were counted as in sync
   * (specification 10.7).
   */
  readonly served?: boolean;
  /** Nodes share it: what is clean, and whose word counts, is another matter then. */
  readonly shared?: boolean;
  /** Storage for a target of so many regions. */
  makeBed(regionCount: number): LogBed;
}

export function testDirtyLog(t: Test, conformance: LogConformance): void {
  const { name } = conformance;
  t.test(`${name} log: contract`, async (t) => {
    await testRegions(t, conformance);
    await testLife(t, conformance);
  });
  t.test(`${name} log: agrees with its model`, async () => {
    await checkModel(conformance);
  });
}

type Opener = (regionCount: number, syncWord?: SyncWord) => Promise<DirtyLog>;

function openerOf(t: Test, { makeBed }: LogConformance): Opener {
  return async (regionCount, syncWord = null) => {
    const log = await makeBed(regionCount).open(syncWord);
    t.equal(await log.resume(), 0);
    return log;
  };
}

async function testRegions(t: Test, conformance: LogConformance): Promise<void> {
  const served = conformance.served ?? false;
  const open = openerOf(t, conformance);

  t.test('a new log has no region in sync and hands out each one once', async (t) => {
    for (const regionCount of [1, 2, 63, 64, 65, 130]) {
      const log = await open(regionCount);
      t.equal(await log.getSyncCount(), 0);
      t.same(await takeAllWork(log, served), upTo(regionCount), `${regionCount} regions`);
      t.equal(await log.getResyncWork(), null, 'and then none');
      t.same(await inSyncRegions(log, regionCount), [], 'handing out does not make it in sync');
    }
  });

  t.test('with nosync every region is in sync and there is no work', async (t) => {
    for (const regionCount of [1, 64, 65]) {
      const log = await open(regionCount, 'nosync');
      t.equal(await log.getSyncCount(), regionCount);
      t.same(await inSyncRegions(log, regionCount), upTo(regionCount));
      t.equal(await log.getResyncWork(), null);
    }
  });

  t.test('a recovered region is in sync, one that failed is not and comes again', async (t) => {
    const log = await open(3);
    for (const region of [0, 1, 2]) {
      t.equal(await log.getResyncWork(), region);
      await log.setRegionSync(toRegion(region), region === 0);
    }
    t.same(await inSyncRegions(log, 3), [0]);
    t.equal(await log.getSyncCount(), 1);
    t.equal(await log.flush(), 0);
    t.equal(await log.getResyncWork(), null, 'what lies behind is not looked at again');
    await log.presuspend();
    t.equal(await log.postsuspend(), 0);
    t.equal(await log.resume(), 0);
    const again = await takeAllWork(log, served);
    t.ok(again.includes(1 as Region), 'what failed is handed out after a resume');
    t.equal(await log.inSync(toRegion(1)), 0);
  });

  t.test('marking and clearing concern cleanness, not sync', async (t) => {
    const log = await open(70, 'nosync');
    log.markRegion(toRegion(69));
    t.equal(await log.flush(), 0);
    t.equal(await log.isClean(toRegion(69)), false);
    t.equal(await log.isClean(toRegion(68)), true);
    t.equal(await log.inSync(toRegion(69)), 1);
    log.clearRegion(toRegion(69));
    t.equal(await log.flush(), 0);
    t.equal(await log.isClean(toRegion(69)), true);
    t.equal(await log.getSyncCount(), 70);
  });
}

async function testLife(t: Test, conformance: LogConformance): Promise<void> {
  const open = openerOf(t, conformance);

  t.test('a region beyond the last is a broken invariant', async (t) => {
    const log = await open(10);
    t.throws(() => log.markRegion(toRegion(10)));
    t.throws(() => log.clearRegion(toRegion(10)));
  });

  t.test('status words count themselves; a table has the arguments', async (t) => {
    for (const word of [null, 'sync', 'nosync'] as const) {
      const log = await open(4, word);
      const [count, ...info] = (await log.status('info', asInTable)).split(' ');
      t.equal(Number(count), info.length);
      if (conformance.served !== true) t.equal(info[0], log.type.name);
      const [type, argumentCount, ...args] = (await log.status('table', asInTable)).split(' ');
      t.equal(type, log.type.name);
      t.equal(Number(argumentCount), args.length);
      t.equal(args.at(-1), word ?? String(log.regionSizeSectors));
    }
  });

  t.test('it can be destroyed before its first resume, and after a suspend', async (t) => {
    const bed = conformance.makeBed(5);
    await (await bed.open()).destroy();
    const log = await bed.open();
    await log.resume();
    await log.postsuspend();
    await log.destroy();
    t.pass('both end');
  });
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, region) => region);
}

/** Each copy fails at once where work has to be settled before there is more. */
async function takeAllWork(log: DirtyLog, settle: boolean): Promise<Region[]> {
  const regions: Region[] = [];
  for (
    let region = await log.getResyncWork();
    region !== null;
    region = await log.getResyncWork()
  ) {
    regions.push(region);
    if (settle) await log.setRegionSync(region, false);
  }
  return regions.sort((a, b) => a - b);
}

async function inSyncRegions(log: DirtyLog, regionCount: number): Promise<number[]> {
  const regions: number[] = [];
  for (let region = 0; region < regionCount; region++) {
    const inSync = await log.inSync(toRegion(region));
    const now = log.inSyncNow(toRegion(region));
    if (now !== 'would-block' && now !== inSync) throw new Error(`inSyncNow says ${now}`);
    if (inSync === 1) regions.push(region);
  }
  return regions;
}

type Operation =
  | { readonly op: 'mark' | 'clear' | 'in-sync' | 'out-of-sync'; readonly at: number }
  | { readonly op: 'work' | 'flush' | 'suspend-resume' | 'reopen' }
  | { readonly op: 'cut'; readonly seed: number };

function effortFor({ served, shared }: LogConformance): { regions: number; runs: number } {
  if (shared === true) return { regions: 20, runs: 8 };
  return served === true ? { regions: 40, runs: 12 } : { regions: 140, runs: 200 };
}

async function checkModel(conformance: LogConformance): Promise<void> {
  const at = fc.nat(1000);
  const plain = (op: 'work' | 'flush' | 'suspend-resume' | 'reopen') =>
    fc.constant({ op } as const);
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    { weight: 6, arbitrary: fc.record({ op: fc.constant('mark' as const), at }) },
    { weight: 5, arbitrary: fc.record({ op: fc.constant('clear' as const), at }) },
    { weight: 3, arbitrary: fc.record({ op: fc.constant('in-sync' as const), at }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('out-of-sync' as const), at }) },
    { weight: 4, arbitrary: plain('work') },
    { weight: 6, arbitrary: plain('flush') },
    { weight: 1, arbitrary: plain('suspend-resume') },
    { weight: 1, arbitrary: plain('reopen') },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('cut' as const), seed: fc.nat() }) },
  );
  // Every bit that is looked at is a request there.
  const effort = effortFor(conformance);
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: effort.regions }),
      fc.constantFrom<SyncWord>(null, null, 'sync', 'nosync'),
      fc.array(operation, { minLength: 1, maxLength: 60, size: 'max' }),
      async (regionCount, syncWord, operations) => {
        await new ModelRun(conformance, regionCount, syncWord).run(operations);
      },
    ),
    { numRuns: effort.runs },
  );
}

class ModelRun {
  readonly #conformance: LogConformance;
  readonly #bed: LogBed;
  readonly #regionCount: number;
  readonly #syncWord: SyncWord;

  constructor(conformance: LogConformance, regionCount: number, syncWord: SyncWord) {
    this.#conformance = conformance;
    this.#bed = conformance.makeBed(regionCount);
    this.#regionCount = regionCount;
    this.#syncWord = syncWord;
  }

  async run(operations: readonly Operation[]): Promise<void> {
    let log = await this.#bed.open(this.#syncWord);
    expectEqual(await log.resume(), 0, 'resume');
    let model = this.#newModel(Array(this.#regionCount).fill(this.#syncWord === 'nosync'));
    for (const operation of operations) {
      if (operation.op === 'reopen') {
        expectEqual(await log.postsuspend(), 0, 'postsuspend');
        await log.destroy();
        log = await this.#bed.open();
        model = await this.#reopened(
          log,
          model.clean.map((clean) => (clean ? 'clean' : 'dirty')),
        );
      } else if (operation.op === 'cut') {
        if (this.#bed.cutPower === undefined) continue;
        this.#bed.cutPower(operation.seed);
        log = await this.#bed.open();
        model = await this.#reopened(log, model.stored);
      } else if (operation.op === 'suspend-resume') {
        model = await this.#suspendAndResume(log, model);
      } else {
        await this.#step(log, model, operation);
      }
      await this.#compare(log, model);
    }
  }

  async #step(log: DirtyLog, model: LogModel, operation: Operation): Promise<void> {
    if (operation.op === 'work') {
      // A turn of a mirror tells what it has cleared before it asks.
      if (this.#conformance.shared) await this.#step(log, model, { op: 'flush' });
      expectEqual(await log.getResyncWork(), model.nextWork(), 'work');
    } else if (operation.op === 'flush') {
      expectEqual(await log.flush(), 0, 'flush');
      model.flushed();
    } else if ('at' in operation) {
      const region = toRegion(operation.at % this.#regionCount);
      if (operation.op !== 'in-sync' && operation.op !== 'out-of-sync' && model.isCopied(region)) {
        return;
      }
      if (operation.op === 'mark') {
        log.markRegion(region);
        model.setClean(region, false);
      } else if (operation.op === 'clear') {
        log.clearRegion(region);
        model.setClean(region, true);
      } else {
        await log.setRegionSync(region, operation.op === 'in-sync');
        model.setSync(region, operation.op === 'in-sync');
      }
    }
  }

  async #suspendAndResume(log: DirtyLog, model: LogModel): Promise<LogModel> {
    expectEqual(await log.presuspend(), 0, 'presuspend');
    expectEqual(await log.postsuspend(), 0, 'postsuspend');
    expectEqual(await log.resume(), 0, 'resume');
    return model.resumed(syncWordOf(await log.status('table', asInTable)));
  }

  /** The log was opened again without a sync word: it says of each region what was stored. */
  async #reopened(log: DirtyLog, stored: readonly Stored[]): Promise<LogModel> {
    expectEqual(await log.resume(), 0, 'resume');
    const inSync = new Set(await inSyncRegions(log, this.#regionCount));
    for (const [region, state] of stored.entries()) {
      const expected = this.#conformance.remembers ? state : 'dirty';
      if (expected === 'either') continue;
      expectEqual(inSync.has(region), expected === 'clean', `region ${region}, stored ${state}`);
    }
    return this.#newModel(stored.map((_, region) => inSync.has(region)));
  }

  #newModel(inSync: readonly boolean[]): LogModel {
    const { served = false, shared = false, remembers } = this.#conformance;
    const options = { inSync, served, remembers };
    return shared ? new SharedLogModel(options) : new KernelLogModel(options);
  }

  async #compare(log: DirtyLog, model: LogModel): Promise<void> {
    expectEqual(await log.getSyncCount(), model.syncCount, 'sync count');
    model.counted();
    for (let region = 0; region < this.#regionCount; region++) {
      const at = toRegion(region);
      expectEqual(await log.isClean(at), model.clean[region], `region ${region} clean`);
      expectEqual(await log.inSync(at), model.sync[region] ? 1 : 0, `region ${region} in sync`);
    }
  }
}

function syncWordOf(table: string): SyncWord {
  const last = table.split(' ').at(-1);
  return last === 'sync' || last === 'nosync' ? last : null;
}

function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${actual}, expected ${expected}`);
}
