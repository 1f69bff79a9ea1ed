/**
 * Copies one extent from one leg to the others, in pieces. Counterpart: kcopyd (specification 5.2).
 *
 * A copy never begins within `copy`, nor fails there: the turn that asked for it still serves
 * writes as if nothing had happened yet, as in the kernel.
 *
 * At most `COPY_PIECES_MAX` pieces are under way. After a piece that ended at once, others get a
 * turn before the next is begun: clients are served while a resynchronisation runs over memory.
 */

import { type Awaitable, andThen } from '../base/awaitable.ts';
import type { Clock } from '../base/clock.ts';
import { errnoName, type IoResult, OK } from '../base/errno.ts';
import { COPY_PIECE_SECTORS, COPY_PIECES_MAX, THROTTLE_SLEEPS_MAX } from '../base/limits.ts';
import type { Probe } from '../base/probe.ts';
import { type Region, SECTOR_SIZE, type SectorCount, sectorAfter } from '../base/units.ts';
import { Bio } from '../block/bio.ts';
import type { CopyThrottle } from './copy-throttle.ts';
import type { Leg } from './leg.ts';

export interface CopyJob {
  readonly region: Region;
  readonly source: Leg;
  readonly destinations: readonly Leg[];
  /** Relative to the target's start. */
  readonly sector: number;
  readonly count: SectorCount;
  /**
   * Go on after errors. Of a piece that cannot be read is then written what was read, and zeros,
   * as the kernel does for a mirror without `handle_errors`.
   */
  readonly ignoreErrors: boolean;
  /** Ends when a write may go to a leg (`DirtyLog.untilWritable`). */
  readonly untilWritable?: (() => Awaitable<void>) | undefined;
}

export interface CopyResult {
  readonly readError: boolean;
  /** The destinations on which a write failed. */
  readonly failedDestinations: readonly Leg[];
  /** The first error of each leg, for people, in the words of its device. */
  readonly reasons?: ReadonlyMap<Leg, string>;
}

export interface Kcopyd {
  copy(job: CopyJob, onEnd: (result: CopyResult) => void): void;
}

export interface KcopydOptions {
  readonly clock: Clock;
  readonly probe: Probe;
  readonly throttle: CopyThrottle;
}

export type KcopydFactory = (options: KcopydOptions) => Kcopyd;

export class PiecewiseKcopyd implements Kcopyd {
  readonly #options: KcopydOptions;
  /** Buffers of one piece each, kept for the next one. */
  readonly #buffers: Uint8Array[] = [];

  constructor(options: KcopydOptions) {
    this.#options = options;
  }

  copy(job: CopyJob, onEnd: (result: CopyResult) => void): void {
    const running = new RunningCopy(job, this.#options, this.#buffers, onEnd);
    this.#options.clock.defer(() => running.begin());
  }
}

/** A job under way. */
class RunningCopy {
  readonly #job: CopyJob;
  readonly #options: KcopydOptions;
  readonly #buffers: Uint8Array[];
  readonly #onEnd: (result: CopyResult) => void;
  readonly #failed = new Set<Leg>();
  readonly #reasons = new Map<Leg, string>();
  #readError = false;
  /** Sectors handed out to pieces. */
  #begun = 0;
  #open = 0;
  #sleeps = 0;
  #pumpScheduled = false;

  constructor(
    job: CopyJob,
    options: KcopydOptions,
    buffers: Uint8Array[],
    onEnd: (result: CopyResult) => void,
  ) {
    this.#job = job;
    this.#options = options;
    this.#buffers = buffers;
    this.#onEnd = onEnd;
  }

  begin(): void {
    this.#pump();
  }

  #pump(): void {
    while (this.#mayBegin()) {
      const delayMs = this.#sleeps < THROTTLE_SLEEPS_MAX ? this.#options.throttle.delayMs() : 0;
      if (delayMs > 0) {
        this.#sleeps += 1;
        this.#pumpScheduled = true;
        this.#options.clock.after(delayMs, () => this.#pumpAgain());
        return;
      }
      this.#sleeps = 0;
      const openBefore = this.#open;
      this.#beginPiece();
      if (this.#open === openBefore) return;
    }
  }

  #mayBegin(): boolean {
    if (this.#begun >= this.#job.count || this.#open >= COPY_PIECES_MAX) return false;
    return this.#job.ignoreErrors || !this.#hasErrors();
  }

  #hasErrors(): boolean {
    return this.#readError || this.#failed.size > 0;
  }

  #beginPiece(): void {
    const sector = this.#job.sector + this.#begun;
    const count = Math.min(COPY_PIECE_SECTORS, this.#job.count - this.#begun) as SectorCount;
    this.#begun += count;
    this.#open += 1;
    this.#options.throttle.pieceStarted();
    const buffer = this.#buffers.pop() ?? new Uint8Array(COPY_PIECE_SECTORS * SECTOR_SIZE);
    const data = buffer.subarray(0, count * SECTOR_SIZE);
    const { source, region, ignoreErrors } = this.#job;
    // A device of several parts may have read some of it before one of them failed.
    if (ignoreErrors) data.fill(0);
    submit(source, 'read', { sector, count, data }, (result, bio) => {
      this.#options.probe.reached('R1', source.index, region);
      if (result !== OK) {
        this.#readError = true;
        this.#noteReason(source, result, bio);
        if (!ignoreErrors) {
          this.#pieceEnded(buffer);
          return;
        }
      }
      void andThen(this.#job.untilWritable?.(), () =>
        this.#writePiece({ sector, count, data }, buffer),
      );
    });
  }

  #writePiece(extent: Extent, buffer: Uint8Array): void {
    const { region, destinations } = this.#job;
    let writing = destinations.length;
    for (const leg of destinations) {
      submit(leg, 'write', extent, (written, bio) => {
        this.#options.probe.reached('R2', leg.index, region);
        if (written !== OK) {
          this.#failed.add(leg);
          this.#noteReason(leg, written, bio);
        }
        writing -= 1;
        if (writing === 0) this.#pieceEnded(buffer);
      });
    }
  }

  #noteReason(leg: Leg, result: IoResult, { op, detail }: Bio): void {
    if (this.#reasons.has(leg)) return;
    this.#reasons.set(leg, detail ?? `${op} failed with ${errnoName(result)}`);
  }

  #pieceEnded(buffer: Uint8Array): void {
    this.#buffers.push(buffer);
    this.#open -= 1;
    this.#options.throttle.pieceEnded();
    const done = this.#begun >= this.#job.count || (!this.#job.ignoreErrors && this.#hasErrors());
    if (done && this.#open === 0) {
      this.#options.probe.reached('R3', -1, this.#job.region);
      this.#onEnd({
        readError: this.#readError,
        failedDestinations: [...this.#failed],
        reasons: this.#reasons,
      });
    } else if (!this.#pumpScheduled) {
      this.#pumpScheduled = true;
      this.#options.clock.defer(() => this.#pumpAgain());
    }
  }

  #pumpAgain(): void {
    this.#pumpScheduled = false;
    this.#pump();
  }
}

interface Extent {
  readonly sector: number;
  readonly count: SectorCount;
  readonly data: Uint8Array;
}

function submit(
  leg: Leg,
  op: 'read' | 'write',
  extent: Extent,
  onEnd: (result: IoResult, bio: Bio) => void,
): void {
  leg.device.submit(
    new Bio({
      op,
      sector: sectorAfter(leg.offset, extent.sector),
      count: extent.count,
      data: extent.data,
      fua: false,
      // What was read just now is written at once.
      isHot: op === 'write',
      onEnd: (bio, result) => onEnd(result, bio),
    }),
  );
}
