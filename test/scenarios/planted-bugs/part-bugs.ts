/** Mistakes in the mirror's own parts: region hash, fan-out to the legs, copying. */

import type { Awaitable } from '../../../src/base/awaitable.ts';
import { isPromise } from '../../../src/base/awaitable.ts';
import { OK } from '../../../src/base/errno.ts';
import { type Region, type SectorCount, sectorAfter } from '../../../src/base/units.ts';
import { Bio } from '../../../src/block/bio.ts';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import type { DirtyLog } from '../../../src/dirtylog/dirty-log.ts';
import { LOG_TYPES } from '../../../src/dirtylog/log-types.ts';
import { DeviceFilter } from '../../../src/fault/filter.ts';
import {
  type CopyJob,
  type CopyResult,
  type KcopydOptions,
  PiecewiseKcopyd,
} from '../../../src/mirror/kcopyd.ts';
import type { Leg } from '../../../src/mirror/leg.ts';
import type { FanOutEnd, LegIo } from '../../../src/mirror/leg-io.ts';
import { createMirrorTargetType, type MirrorParts } from '../../../src/mirror/mirror-target.ts';
import { type MirrorWrite, NO_REGION } from '../../../src/mirror/mirror-write.ts';
import { RegionHash, type RegionHashOptions } from '../../../src/mirror/region-hash.ts';
import type { RegionState } from '../../../src/mirror/region-state.ts';
import { mirrorStack, mirrorStackWith } from '../../../src/sim/machine/mirror-stack.ts';
import type { StackFactory } from '../../../src/sim/machine/sim-stack.ts';
import type { PlantedBug } from './planted-bug.ts';

function mirrorWithParts(parts: Partial<MirrorParts>): StackFactory {
  return mirrorStackWith(createMirrorTargetType({ logTypes: LOG_TYPES, parts }));
}

// --- fan-out ------------------------------------------------------------------------------------

interface FanOutMistakes {
  /** Which legs get a request at all. */
  readonly goesTo?: (leg: Leg, write: MirrorWrite) => boolean;
  /** Which legs get FUA. */
  readonly fuaOn?: (leg: Leg) => boolean;
  /** Answers after so many legs; after all when absent. */
  readonly enough?: (write: MirrorWrite) => number;
  readonly ignoresErrors?: boolean;
  readonly swallowsErrors?: boolean;
  readonly answersTwice?: boolean;
}

class MistakenLegIo implements LegIo {
  readonly #legs: readonly Leg[];
  readonly #mistakes: FanOutMistakes;

  constructor(legs: readonly Leg[], mistakes: FanOutMistakes) {
    this.#legs = legs;
    this.#mistakes = mistakes;
  }

  fanOut(write: MirrorWrite, onEnd: FanOutEnd): void {
    const mistakes = this.#mistakes;
    const { op, sector, count, data, fua } = write.bio;
    const legs = this.#legs.filter((leg) => mistakes.goesTo?.(leg, write) ?? true);
    const enough = mistakes.enough?.(write) ?? legs.length;
    let ended = 0;
    let failedLegs = 0;
    for (const leg of legs) {
      leg.device.submit(
        new Bio({
          op,
          sector: op === 'flush' ? sector : sectorAfter(leg.offset, sector),
          count,
          data: data === null ? null : data.slice(),
          fua: fua && (mistakes.fuaOn?.(leg) ?? true),
          onEnd: (_bio, result) => {
            if (result !== OK && mistakes.swallowsErrors === true) return;
            if (result !== OK && mistakes.ignoresErrors !== true) failedLegs |= 1 << leg.index;
            ended += 1;
            if (ended === enough) onEnd(write, failedLegs);
            if (ended === enough && mistakes.answersTwice === true) write.bio.end(OK);
          },
        }),
      );
    }
  }
}

function mirrorWithFanOut(mistakes: FanOutMistakes): StackFactory {
  return mirrorWithParts({ createLegIo: (legs) => new MistakenLegIo(legs, mistakes) });
}

// --- region hash --------------------------------------------------------------------------------

type HashOptions = RegionHashOptions<MirrorWrite>;

class ForgetfulHash extends RegionHash<MirrorWrite> {
  protected readonly log: DirtyLog;

  constructor(options: HashOptions) {
    super(options);
    this.log = options.log;
  }

  protected entryOf(region: Region) {
    return [...this.entries()].find((entry) => entry.region === region);
  }
}

/** A region that is out of sync is cleared when its writes have ended. */
class ClearsOutOfSync extends ForgetfulHash {
  override writeEnded(write: MirrorWrite): void {
    super.writeEnded(write);
    const entry = this.entryOf(write.region);
    if (entry?.state === 'nosync' && entry.pending === 0) this.log.clearRegion(write.region);
  }
}

/** The first of several writes in flight to end clears the region. */
class ClearsAtFirstEnd extends ForgetfulHash {
  override writeEnded(write: MirrorWrite): void {
    super.writeEnded(write);
    const entry = this.entryOf(write.region);
    if (entry?.state === 'dirty') this.log.clearRegion(write.region);
  }
}

/** Writes to a region that is being copied go to the legs at once. */
class WritesDuringCopy extends RegionHash<MirrorWrite> {
  override stateOf(region: Region): Awaitable<RegionState> {
    const state = super.stateOf(region);
    if (isPromise(state)) return state;
    return state === 'recovering' ? 'clean' : state;
  }
}

/** A failed write leaves its region dirty, and so clean soon. */
class ForgetsFailedWrites extends RegionHash<MirrorWrite> {
  override markNosync(): void {}
}

// --- copying ------------------------------------------------------------------------------------

class MistakenKcopyd extends PiecewiseKcopyd {
  readonly #job: (job: CopyJob) => CopyJob;
  readonly #result: (result: CopyResult) => CopyResult;

  constructor(
    options: KcopydOptions,
    mistakes: { job?: (job: CopyJob) => CopyJob; result?: (result: CopyResult) => CopyResult },
  ) {
    super(options);
    this.#job = mistakes.job ?? ((job) => job);
    this.#result = mistakes.result ?? ((result) => result);
  }

  override copy(job: CopyJob, onEnd: (result: CopyResult) => void): void {
    super.copy(this.#job(job), (result) => onEnd(this.#result(result)));
  }
}

function mirrorWithCopy(mistakes: ConstructorParameters<typeof MistakenKcopyd>[1]): StackFactory {
  return mirrorWithParts({ createKcopyd: (options) => new MistakenKcopyd(options, mistakes) });
}

// --- reads --------------------------------------------------------------------------------------

/** Reads of the first leg are answered by the second, every so often. */
class ReadsElsewhere extends DeviceFilter {
  readonly #other: BlockDevice;
  #reads: number;

  constructor(next: BlockDevice, other: BlockDevice, first: number) {
    super(next);
    this.#other = other;
    this.#reads = first;
  }

  override submit(bio: Bio): void {
    const elsewhere = bio.op === 'read' && this.#reads++ % 2 === 0;
    (elsewhere ? this.#other : this.next).submit(bio);
  }
}

function balancedReads(first: number): StackFactory {
  return (environment) => {
    const devices = new Map(environment.devices);
    devices.set('leg0', new ReadsElsewhere(devices.get('leg0')!, devices.get('leg1')!, first));
    return mirrorStack({ ...environment, devices });
  };
}

export const PART_BUGS: readonly PlantedBug[] = [
  {
    name: 'ended-at-first-leg',
    mistake: 'a write ends, and its region is cleared, when one leg has answered',
    scenario: 'overlapping-writes',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithFanOut({ enough: (write) => (write.region === NO_REGION ? 2 : 1) }),
  },
  {
    name: 'fua-on-one-leg',
    mistake: 'FUA is carried to the first leg only',
    scenario: 'flush-and-fua',
    caughtBy: 'acknowledged-durable-everywhere',
    stackFactory: mirrorWithFanOut({ fuaOn: (leg) => leg.index === 0 }),
  },
  {
    name: 'fua-dropped',
    mistake: 'FUA is carried to no leg',
    scenario: 'flush-and-fua',
    caughtBy: 'flushed-data-survives',
    stackFactory: mirrorWithFanOut({ fuaOn: () => false }),
  },
  {
    name: 'flush-on-one-leg',
    mistake: 'a flush goes to the last leg only',
    scenario: 'flush-and-fua',
    caughtBy: 'acknowledged-durable-everywhere',
    stackFactory: mirrorWithFanOut({
      goesTo: (leg, write) => write.bio.op !== 'flush' || leg.index === 1,
    }),
  },
  {
    name: 'flush-ended-at-first-leg',
    mistake: 'a flush is acknowledged when one leg has answered',
    scenario: 'flush-and-fua',
    caughtBy: 'acknowledged-durable-everywhere',
    stackFactory: mirrorWithFanOut({ enough: (write) => (write.region === NO_REGION ? 1 : 2) }),
  },
  {
    name: 'leg-error-ignored',
    mistake: 'a write that a leg missed counts as complete',
    scenario: 'leg-1-misses-write',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithFanOut({ ignoresErrors: true }),
  },
  {
    name: 'failed-write-lost',
    mistake: 'a write that a leg missed is never answered',
    scenario: 'leg-1-misses-write',
    caughtBy: 'held-requests-end',
    stackFactory: mirrorWithFanOut({ swallowsErrors: true }),
  },
  {
    name: 'answered-twice',
    mistake: 'a write is answered twice',
    scenario: 'single-write',
    caughtBy: 'broken-invariant',
    stackFactory: mirrorWithFanOut({ answersTwice: true }),
  },
  {
    name: 'out-of-sync-turns-clean',
    mistake: 'a region out of sync counts as clean when its writes have ended',
    scenario: 'leg-1-misses-write',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithParts({ createRegionHash: (options) => new ClearsOutOfSync(options) }),
  },
  {
    name: 'clear-at-first-end',
    mistake: 'of two writes in one region the first to end clears it',
    scenario: 'overlapping-writes',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithParts({ createRegionHash: (options) => new ClearsAtFirstEnd(options) }),
  },
  {
    name: 'writes-during-copy',
    mistake: 'writes are not kept away from a region that is being copied',
    scenario: 'writes-during-recovery',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithParts({ createRegionHash: (options) => new WritesDuringCopy(options) }),
  },
  {
    name: 'failed-write-turns-clean',
    mistake: 'a region stays in sync after a failed write',
    scenario: 'leg-1-misses-write',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithParts({
      createRegionHash: (options) => new ForgetsFailedWrites(options),
    }),
  },
  {
    name: 'failed-copy-in-sync',
    mistake: 'a region whose copy failed counts as in sync although errors are handled',
    scenario: 'copy-fails',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithCopy({
      result: () => ({ readError: false, failedDestinations: [] }),
    }),
  },
  {
    name: 'copied-backwards',
    mistake: 'a resynchronisation copies from the second leg to the first',
    scenario: 'single-write',
    caughtBy: 'resync-exact',
    stackFactory: mirrorWithCopy({
      job: (job) => ({ ...job, source: job.destinations[0]!, destinations: [job.source] }),
    }),
  },
  {
    name: 'copied-backwards-loses',
    mistake: 'the same, where only the first leg has what was flushed',
    scenario: 'writes-during-recovery',
    caughtBy: 'flushed-data-survives',
    stackFactory: mirrorWithCopy({
      job: (job) => ({ ...job, source: job.destinations[0]!, destinations: [job.source] }),
    }),
  },
  {
    name: 'copy-one-sector-short',
    mistake: 'the last sector of a region is not copied',
    scenario: 'dirty-start',
    caughtBy: 'legs-equal',
    stackFactory: mirrorWithCopy({
      job: (job) => ({ ...job, count: (job.count - 1) as SectorCount }),
    }),
  },
  {
    name: 'short-region-copied-whole',
    mistake: 'the short last region is copied as if it were whole',
    scenario: 'short-last-region',
    caughtBy: 'resync-exact',
    stackFactory: mirrorWithCopy({ job: (job) => ({ ...job, count: 8 as SectorCount }) }),
  },
  {
    name: 'reads-balanced',
    mistake: 'reads are spread over the legs whether or not a region is in sync',
    scenario: 'reads-during-recovery',
    caughtBy: 'stale-leg-not-read',
    stackFactory: balancedReads(0),
  },
  {
    name: 'stale-data-read',
    mistake: 'the same, as its users see it',
    scenario: 'reads-during-recovery',
    caughtBy: 'reads-current',
    stackFactory: balancedReads(0),
  },
  {
    name: 'unstable-reads',
    mistake: 'the same, after a power cut',
    scenario: 'reads-during-recovery',
    caughtBy: 'reads-stable',
    stackFactory: balancedReads(1),
  },
];
