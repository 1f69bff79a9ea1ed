/**
 * The `mirror` target type: construction, life cycle, and the way in for requests. No policy.
 *
 * Counterpart: dm-raid1, target version 1.14.0 as recorded in the golden cases. `parts` lets tests
 * put other pieces in the place of ours.
 */

import { isPromise } from '../base/awaitable.ts';
import { EINVAL, EIO, errnoName, type IoResult, OK } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { RegionGeometry } from '../base/geometry.ts';
import { type Sector, type SectorCount, toSector } from '../base/units.ts';
import { Worker } from '../base/worker.ts';
import type { Bio } from '../block/bio.ts';
import type { Allocation, AllocationLearnt } from '../block/block-device.ts';
import { runBio } from '../block/run-bio.ts';
import type { DirtyLog, DirtyLogCreation, DirtyLogType } from '../dirtylog/dirty-log.ts';
import { findLogType } from '../dirtylog/log-types.ts';
import { noMessages } from '../dm/stateless-target.ts';
import type { DeviceNaming, StatusKind, Target, TargetDevice, TargetType } from '../dm/target.ts';
import type { TargetContext } from '../dm/target-context.ts';
import { ClearDelay } from './clear-delay.ts';
import { CopyThrottle } from './copy-throttle.ts';
import { type KcopydFactory, PiecewiseKcopyd } from './kcopyd.ts';
import { Leg } from './leg.ts';
import { type LegIoFactory, ParallelLegIo } from './leg-io.ts';
import { learnMirrorAllocation, mirrorAllocation } from './mirror-allocation.ts';
import {
  type LogArgs,
  parseFeatures,
  parseLeg,
  parseLegCount,
  parseLogArgs,
} from './mirror-args.ts';
import { type MirrorCounters, MirrorSet } from './mirror-set.ts';
import { mirrorMeasurement, mirrorStatus } from './mirror-status.ts';
import { MirrorWrite, NO_REGION } from './mirror-write.ts';
import { takeTurn } from './mirrord.ts';
import { mapRead } from './reads.ts';
import { updateInSync } from './recovery.ts';
import { RegionHash, type RegionHashOptions } from './region-hash.ts';
import { Writes } from './writes.ts';

export interface MirrorParts {
  readonly createRegionHash: (options: RegionHashOptions<MirrorWrite>) => RegionHash<MirrorWrite>;
  readonly createLegIo: LegIoFactory;
  readonly createKcopyd: KcopydFactory;
}

export interface MirrorTargetTypeOptions {
  readonly logTypes: readonly DirtyLogType[];
  /** Shared by every mirror of the host; none: no limit. */
  readonly throttle?: CopyThrottle;
  /** Regions are cleared in the log so much later; 0, as in the kernel, by default. */
  readonly clearDelayMs?: number;
  readonly parts?: Partial<MirrorParts>;
}

const ORDINARY_PARTS: MirrorParts = {
  createRegionHash: (options) => new RegionHash(options),
  createLegIo: (legs, probe) => new ParallelLegIo(legs, probe),
  createKcopyd: (options) => new PiecewiseKcopyd(options),
};

export function createMirrorTargetType(options: MirrorTargetTypeOptions): TargetType {
  const type: TargetType = {
    name: 'mirror',
    version: [1, 14, 0],
    create: (context, args) => createMirror(context, args, options),
  };
  return type;
}

/** The log comes first, so that a bad log is reported before bad legs (specification 1.4). */
async function createMirror(
  context: TargetContext,
  words: readonly string[],
  options: MirrorTargetTypeOptions,
): Promise<MirrorTarget> {
  let set: MirrorSet | null = null;
  const { log: logArgs, rest } = parseLogArgs(words);
  const log = await createLog(context, options.logTypes, logArgs, {
    flushLegs: () => (set === null ? OK : flushLegs(set)),
    onWork: () => set?.wake(),
  });
  const legs: Leg[] = [];
  try {
    const legCount = parseLegCount(rest);
    for (let index = 0; index < legCount; index++) {
      const { deviceName, offset } = parseLeg(rest, index);
      const device = await openLeg(context, deviceName, index, log.shared === true);
      legs.push(new Leg({ index, device, offset: toSector(offset) }));
    }
    const features = parseFeatures(rest.slice(1 + legCount * 2));
    const geometry = new RegionGeometry({
      targetSectors: context.length,
      regionSizeSectors: log.regionSizeSectors,
    });
    set = new MirrorSet({ context, legs, features, geometry, log });
  } catch (error) {
    for (const leg of legs) await context.putDevice(leg.device);
    await log.destroy();
    throw error;
  }
  const target = new MirrorTarget(set, options);
  // The kernel's constructor wakes the worker: a log that is born in sync raises no event at
  // resume.
  await updateInSync(set);
  return target;
}

async function createLog(
  context: TargetContext,
  logTypes: readonly DirtyLogType[],
  { typeName, args }: LogArgs,
  hooks: Required<Pick<DirtyLogCreation, 'flushLegs' | 'onWork'>>,
): Promise<DirtyLog> {
  try {
    const type = findLogType(logTypes, typeName);
    return await type.create({ target: context, args, ...hooks });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, error.message, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      kernelMessage: 'Error creating mirror dirty log',
      errno: EINVAL,
      cause: error,
    });
  }
}

async function openLeg(context: TargetContext, name: string, index: number, shared: boolean) {
  try {
    return await context.getDevice(name, shared ? { shared } : {});
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, `Cannot open leg ${index}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.errno === undefined ? {} : { errno: error.errno }),
      kernelMessage: 'Device lookup failure',
      cause: error,
    });
  }
}

/** Flushes every leg for the log; a leg that cannot gets a FLUSH error (specification 2.7). */
function flushLegs(set: MirrorSet): IoResult | Promise<IoResult> {
  const answers = set.legs.map((leg) => runBio(leg.device, { op: 'flush' }));
  const judge = (results: readonly IoResult[]): IoResult => {
    let outcome: IoResult = OK;
    for (const [index, result] of results.entries()) {
      if (result === OK) continue;
      set.failLeg(set.legs[index]!, 'flush', `flush failed with ${errnoName(result)}`);
      outcome = EIO;
    }
    return outcome;
  };
  return answers.some(isPromise) ? Promise.all(answers).then(judge) : judge(answers as IoResult[]);
}

export class MirrorTarget implements Target {
  readonly flushSupported = true;
  /** Zeroing is not offered: it reaches the target as writes of zeros (2.9). */
  readonly writeZeroesSupported = false;
  readonly maxIoSectors: SectorCount;
  readonly devices: readonly TargetDevice[];
  readonly #set: MirrorSet;
  readonly #worker: Worker;
  readonly #clearDelay: ClearDelay;

  constructor(set: MirrorSet, options: MirrorTargetTypeOptions) {
    const { context, legs, log, features } = set;
    const { clock, probe } = context;
    const parts = { ...ORDINARY_PARTS, ...options.parts };
    this.#set = set;
    this.maxIoSectors = log.regionSizeSectors;
    this.devices = [
      ...legs.map(({ device, offset }) => ({ device, start: offset, length: context.length })),
      ...log.devices,
    ];
    const throttle = options.throttle ?? new CopyThrottle(clock);
    const kcopyd = parts.createKcopyd({ clock, probe, throttle });
    const writes = new Writes({
      set,
      legIo: parts.createLegIo(legs, probe),
      wakeAfter: (delayMs) => this.#worker.wakeAfter(delayMs),
    });
    this.#worker = new Worker(clock, () => takeTurn(set, { writes, kcopyd }));
    const wake = (): void => this.#worker.wake();
    const clearDelay = new ClearDelay({
      delayMs: options.clearDelayMs ?? 0,
      after: (delayMs, task) => clock.after(delayMs, task),
      wake,
    });
    this.#clearDelay = clearDelay;
    const hash = parts.createRegionHash({
      log,
      handleErrors: features.handleErrors,
      probe,
      clearDelay,
      requeue: (delayed) => {
        set.requeueWrites(delayed);
        wake();
      },
      wake,
    });
    set.attach({ hash, wake });
  }

  /**
   * The mirror's state, for status displays and metadata contexts; not to be changed through this.
   */
  get set(): MirrorSet {
    return this.#set;
  }

  get discardSupported(): boolean {
    return this.#set.legs.every((leg) => leg.device.capabilities.discard);
  }

  get counters(): MirrorCounters {
    return this.#set.counters;
  }

  map(bio: Bio): void {
    const set = this.#set;
    if (bio.op === 'read') {
      mapRead(set, bio);
      return;
    }
    const region = bio.op === 'write' ? set.geometry.regionOf(bio.sector) : NO_REGION;
    set.context.probe.reached('W0', -1, region);
    set.queueWrite(new MirrorWrite(bio, region));
  }

  allocation(sector: Sector, count: SectorCount): Allocation {
    return mirrorAllocation(this.#set, sector, count);
  }

  learnAllocation(sector: Sector, count: SectorCount, done: AllocationLearnt): void {
    learnMirrorAllocation(this.#set, sector, count, done);
  }

  /** In the order of specification 6.2. */
  async presuspend(): Promise<void> {
    const set = this.#set;
    set.suspended = true;
    this.#clearDelay.suspending();
    set.releaseHolds();
    await set.hash.stopRecovery();
    this.#logFailure('presuspend', await set.log.presuspend());
    await this.#worker.drained();
  }

  /**
   * The worker finishes first, so that no later turn writes a log that another table may own by
   * then: a departure, the kernel has a race here (6.5).
   */
  async postsuspend(): Promise<void> {
    const set = this.#set;
    await this.#worker.drained();
    set.hash.assertIdle();
    this.#logFailure('postsuspend', await set.log.postsuspend());
  }

  async resume(): Promise<void> {
    const set = this.#set;
    set.suspended = false;
    this.#clearDelay.resumed();
    this.#logFailure('resume', await set.log.resume());
    set.hash.startRecovery();
  }

  status(kind: StatusKind, nameOf: DeviceNaming): Promise<string> {
    return mirrorStatus(this.#set, kind, nameOf);
  }

  measure(nameOf: DeviceNaming): string {
    return mirrorMeasurement(this.#set, nameOf);
  }

  async message(): Promise<string> {
    throw noMessages('mirror');
  }

  async destroy(): Promise<void> {
    const { context, legs, log } = this.#set;
    this.#worker.cancelDelayedWake();
    await this.#worker.drained();
    for (const leg of legs) await context.putDevice(leg.device);
    await log.destroy();
  }

  #logFailure(step: string, result: IoResult): void {
    if (result === OK) return;
    this.#set.context.log.warn(`Dirty log: ${step} failed`, { result: errnoName(result) });
  }
}
