/**
 * One request to every leg at once; the answer is the set of legs that failed. Counterpart:
 * `dm_io`.
 *
 * All leg requests share the buffer of the mirror's. FUA is carried along (specification 2.8); a
 * flush has no position. The answer may come before `fanOut` returns.
 */

import { OK } from '../base/errno.ts';
import type { Probe } from '../base/probe.ts';
import { type Sector, sectorAfter } from '../base/units.ts';
import { Bio, type BioOp } from '../block/bio.ts';
import type { Leg } from './leg.ts';
import type { MirrorWrite } from './mirror-write.ts';

/** Bit i is set when leg i failed. */
export type FailedLegs = number;

/** `reasons` are for people: of each leg that failed, in the words of its device. */
export type FanOutEnd = (
  write: MirrorWrite,
  failedLegs: FailedLegs,
  reasons?: readonly (string | null)[],
) => void;

export interface LegIo {
  fanOut(write: MirrorWrite, onEnd: FanOutEnd): void;
}

export type LegIoFactory = (legs: readonly Leg[], probe: Probe) => LegIo;

/** The bios of one fan-out, used again and again: at 16 in flight there are 16 of these. */
class FanOut {
  readonly #legs: readonly Leg[];
  readonly #probe: Probe;
  readonly #bios: Bio[];
  readonly #free: (fanOut: FanOut) => void;
  #write: MirrorWrite | null = null;
  #onEnd: FanOutEnd | null = null;
  #open = 0;
  #failedLegs: FailedLegs = 0;
  /** Only of those that failed. */
  readonly #reasons: (string | null)[] = [];

  constructor(legs: readonly Leg[], probe: Probe, free: (fanOut: FanOut) => void) {
    this.#legs = legs;
    this.#probe = probe;
    this.#free = free;
    this.#bios = legs.map(
      (leg) =>
        new Bio({
          op: 'write',
          sector: leg.offset,
          count: 0 as Bio['count'],
          data: null,
          fua: false,
          onEnd: (bio, result) => this.#legEnded(leg.index, bio, result !== OK),
        }),
    );
  }

  start(write: MirrorWrite, onEnd: FanOutEnd): void {
    const { op, sector, count, data, fua } = write.bio;
    this.#write = write;
    this.#onEnd = onEnd;
    this.#failedLegs = 0;
    this.#open = this.#legs.length;
    for (const leg of this.#legs) {
      const bio = this.#bios[leg.index]!;
      bio.op = op;
      bio.sector = op === 'flush' ? (0 as Sector) : sectorAfter(leg.offset, sector);
      bio.count = count;
      bio.data = data;
      bio.fua = fua;
      bio.detail = null;
      this.#probe.reached('W6', leg.index, write.region);
      leg.device.submit(bio);
    }
  }

  #legEnded(legIndex: number, bio: Bio, failed: boolean): void {
    const write = this.#write!;
    const onEnd = this.#onEnd!;
    if (failed) {
      this.#failedLegs |= 1 << legIndex;
      write.bio.detail = bio.detail;
      this.#reasons[legIndex] = bio.detail;
    }
    this.#probe.reached('W7', legIndex, write.region);
    if (!failed && isDurable(bio.op, bio.fua)) this.#probe.reached('W8', legIndex, write.region);
    this.#open -= 1;
    if (this.#open > 0) return;
    this.#write = null;
    this.#onEnd = null;
    const failedLegs = this.#failedLegs;
    this.#free(this);
    onEnd(write, failedLegs, this.#reasons);
  }
}

function isDurable(op: BioOp, fua: boolean): boolean {
  return fua || op === 'flush';
}

export class ParallelLegIo implements LegIo {
  readonly #legs: readonly Leg[];
  readonly #probe: Probe;
  readonly #spare: FanOut[] = [];
  readonly #free = (fanOut: FanOut): void => {
    this.#spare.push(fanOut);
  };

  constructor(legs: readonly Leg[], probe: Probe) {
    this.#legs = legs;
    this.#probe = probe;
  }

  fanOut(write: MirrorWrite, onEnd: FanOutEnd): void {
    const fanOut = this.#spare.pop() ?? new FanOut(this.#legs, this.#probe, this.#free);
    fanOut.start(write, onEnd);
  }
}
