/**
 * Cuts a request at the boundaries of targets and of their `maxIoSectors`, and joins the results.
 *
 * A flush goes to every target that takes any, a discard is cut at targets only, all else at both
 * (specification 1.3, 2.9). The joined result: REQUEUE if any piece says so, else the first errno,
 * else 0 (6.1).
 */

import { assert } from '../base/assert.ts';
import { type IoResult, OK } from '../base/errno.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../base/units.ts';
import { Bio } from '../block/bio.ts';
import type { Table } from './table.ts';
import { REQUEUE } from './target.ts';

export type SplitEnd = (bio: Bio, result: IoResult | typeof REQUEUE) => void;

/** One request on its way through a table: what remains, and how it will have ended. */
class SplitBio {
  readonly bio: Bio;
  readonly #onEnd: SplitEnd;
  /** Pieces under way, and one for the cutting itself. */
  #open = 1;
  #result: IoResult | typeof REQUEUE = OK;

  constructor(bio: Bio, onEnd: SplitEnd) {
    this.bio = bio;
    this.#onEnd = onEnd;
  }

  opened(): void {
    this.#open += 1;
  }

  closed(result: IoResult | typeof REQUEUE, detail: string | null): void {
    if (result !== OK && this.#result !== REQUEUE && (this.#result === OK || result === REQUEUE)) {
      this.#result = result;
      this.bio.detail = detail;
    }
    this.#open -= 1;
    assert(this.#open >= 0, 'A split request ended twice');
    if (this.#open === 0) this.#onEnd(this.bio, this.#result);
  }
}

function endPiece(piece: Bio, result: IoResult): void {
  (piece.context as SplitBio).closed(result, piece.detail);
}

/**
 * Sends `bio`, which lies inside the table, through it. `onEnd` is called exactly once, maybe
 * before this returns. The bio's own `onEnd` is not called.
 */
export function splitBio(table: Table, bio: Bio, onEnd: SplitEnd): void {
  const split = new SplitBio(bio, onEnd);
  if (bio.op === 'flush') {
    for (const { target } of table.targets) {
      if (!target.flushSupported) continue;
      split.opened();
      target.map(makePiece(split, 0 as Sector, 0 as SectorCount, null));
    }
  } else {
    let done = 0;
    while (done < bio.count) {
      const at = (bio.sector + done) as Sector;
      const { start, length, target } = table.find(at);
      const offset = at - start;
      let count = Math.min(bio.count - done, length - offset);
      if (target.maxIoSectors !== null && bio.op !== 'discard') {
        count = Math.min(count, target.maxIoSectors - (offset % target.maxIoSectors));
      }
      const whole = count === bio.count;
      const data =
        bio.data === null || whole
          ? bio.data
          : bio.data.subarray(done * SECTOR_SIZE, (done + count) * SECTOR_SIZE);
      split.opened();
      target.map(makePiece(split, offset as Sector, count as SectorCount, data));
      done += count;
    }
  }
  split.closed(OK, null);
}

function makePiece(
  split: SplitBio,
  sector: Sector,
  count: SectorCount,
  data: Uint8Array | null,
): Bio {
  const { op, fua } = split.bio;
  return new Bio({ op, sector, count, data, fua, onEnd: endPiece, context: split });
}
