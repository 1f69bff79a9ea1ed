/**
 * A mirror that requests reach late, and that loses races as the kernel does where docs/quirks.md
 * says that ours cannot: so a program on which both differ can be shown to differ by that alone.
 *
 * - `round-again`: what is put back in a noflush suspend comes to the old table again until
 *   requests are blocked.
 * - `copy-blame`: errors of a copy count for the leg that is the default when it ends, be it
 *   another than the one that was copied from.
 */

import type { Clock } from '../../../src/base/clock.ts';
import { Bio } from '../../../src/block/bio.ts';
import { LOG_TYPES } from '../../../src/dirtylog/log-types.ts';
import { REQUEUE, type Target, type TargetType } from '../../../src/dm/target.ts';
import type { CopyJob, CopyResult, Kcopyd } from '../../../src/mirror/kcopyd.ts';
import { PiecewiseKcopyd } from '../../../src/mirror/kcopyd.ts';
import type { Leg } from '../../../src/mirror/leg.ts';
import type { MirrorSet } from '../../../src/mirror/mirror-set.ts';
import { createMirrorTargetType, type MirrorTarget } from '../../../src/mirror/mirror-target.ts';
import type { MirrorWrite } from '../../../src/mirror/mirror-write.ts';
import { RegionHash, type RegionHashOptions } from '../../../src/mirror/region-hash.ts';
import type { Timing } from './timing.ts';
import { type Departure, departureNote } from './transcript.ts';

export interface RacingOptions {
  readonly clock: Clock;
  readonly timing: Timing;
  /** Told a note for the transcript. */
  readonly note: (line: string) => void;
}

export function racingMirrorType(options: RacingOptions): TargetType {
  const { timing } = options;
  const note = (departure: Departure): void => options.note(departureNote(departure));
  const sets = new Map<Leg, MirrorSet>();
  const type = createMirrorTargetType({
    logTypes: LOG_TYPES,
    parts: {
      createRegionHash: (hashOptions) => new WatchedRegionHash(hashOptions, note),
      createKcopyd: (kcopydOptions) => {
        const kcopyd = new PiecewiseKcopyd(kcopydOptions);
        const blame = (job: CopyJob, result: CopyResult): CopyResult => {
          const set = sets.get(job.source)!;
          if (set.defaultLeg === job.source || !hasErrors(result)) return result;
          if (!timing.isKernels()) return result;
          note('copy-blame');
          return blameDefault(set, job, result);
        };
        return blamingKcopyd(kcopyd, blame);
      },
    },
  });
  return {
    ...type,
    create: async (context, args) => {
      const target = await type.create(context, args);
      for (const leg of (target as MirrorTarget).set.legs) {
        sets.set(leg, (target as MirrorTarget).set);
      }
      return target;
    },
  };
}

/** Notices recoveries that would never end in the kernel. */
class WatchedRegionHash extends RegionHash<MirrorWrite> {
  readonly #note: (departure: Departure) => void;

  constructor(options: RegionHashOptions<MirrorWrite>, note: (departure: Departure) => void) {
    super(options);
    this.#note = note;
  }

  override writeEnded(write: MirrorWrite): void {
    const was = this.stateNow(write.region);
    super.writeEnded(write);
    const isEndless = was === 'recovering' && this.stateNow(write.region) === 'nosync';
    if (isEndless) this.#note('endless-recovery');
  }
}

function blamingKcopyd(
  kcopyd: Kcopyd,
  blame: (job: CopyJob, result: CopyResult) => CopyResult,
): Kcopyd {
  return {
    copy: (job, onEnd) => kcopyd.copy(job, (result) => onEnd(blame(job, result))),
  };
}

function hasErrors({ readError, failedDestinations }: CopyResult): boolean {
  return readError || failedDestinations.length > 0;
}

/** Destinations are known by their places among the legs that are not the default one. */
function blameDefault(set: MirrorSet, job: CopyJob, result: CopyResult): CopyResult {
  const { readError, failedDestinations } = result;
  const source = set.defaultLeg;
  if (readError) set.failLeg(source, 'sync', 'it cannot be read');
  const places = failedDestinations.map((leg) => job.destinations.indexOf(leg));
  const others = set.legs.filter((leg) => leg !== set.defaultLeg);
  const failed = places.flatMap((place) => others[place] ?? []);
  return { readError: false, failedDestinations: readError ? [source, ...failed] : failed };
}

/** A target that requests reach late, its pieces of one request in their order. */
export function lateTargetType(type: TargetType, options: RacingOptions): TargetType {
  const { name, version } = type;
  return {
    ...{ name, version },
    create: async (context, args) => {
      const target = await type.create(context, args);
      makeLate(target, () => options.timing.targetMs(name), options);
      return target;
    },
  };
}

function makeLate(
  target: Target,
  delayMs: () => number,
  { clock, timing, note }: RacingOptions,
): void {
  const map = target.map.bind(target);
  const presuspend = target.presuspend.bind(target);
  let isSuspending = false;
  /** When the last piece of a request came, by what its pieces have in common. */
  const last = new WeakMap<object, number>();

  const mapLate = (bio: Bio): void => {
    const request = bio.context as object;
    const now = clock.now();
    const at = Math.max(now + delayMs(), last.get(request) ?? 0);
    last.set(request, at);
    if (at === now) mapNow(bio);
    else clock.after(at - now, () => mapNow(bio));
  };
  const mapNow = (bio: Bio): void => {
    const { op, sector, count, data, fua } = bio;
    map(
      new Bio({
        ...{ op, sector, count, data, fua },
        onEnd: (inner, result) => {
          bio.detail = inner.detail;
          if (result === REQUEUE && isSuspending && timing.isKernels()) goRound(bio);
          else bio.end(result);
        },
      }),
    );
  };
  const goRound = (bio: Bio): void => {
    clock.defer(() => {
      if (!isSuspending) {
        bio.end(REQUEUE);
        return;
      }
      note(departureNote('round-again'));
      mapLate(bio);
    });
  };

  target.map = mapLate;
  target.presuspend = async () => {
    isSuspending = true;
    await presuspend();
    isSuspending = false;
  };
}
