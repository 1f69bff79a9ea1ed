/**
 * Cuts a request at the boundaries of targets and of their `maxIoSectors`, and joins the results.
 *
 * A flush goes to every target that takes any, a discard is cut at targets only, all else at both
 * (specification 1.3, 2.9). The joined result: REQUEUE if any piece says so, else the first errno,
 * else 0 (6.1). A read that was cut and failed has zeros from the first piece on that failed, as
 * the kernel leaves it, whatever was read behind that.
 */

import { assert } from '../base/assert.ts';
import { type IoResult, OK } from '../base/errno.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../base/units.ts';
import { Bio } from '../block/bio.ts';
import type { Table } from './table.ts';
import { REQUEUE } from './target.ts';

/** As many as a busy server has in flight; beyond that they are made anew. */
const SPARE_SPLITS_MAX = 256;

export type SplitEnd = (bio: Bio, result: IoResult | typeof REQUEUE) => void;

/** One request on its way through a table: what remains, and how it will have ended. */
class SplitBio {
  bio: Bio | null = null;
  /** Most requests are one piece: this one. */
  readonly onlyPiece: Bio;
  readonly #ended: (split: SplitBio, result: IoResult | typeof REQUEUE) => void;
  /** Pieces under way, and one for the cutting itself. */
  #open = 0;
  #result: IoResult | typeof REQUEUE = OK;
  /** In bytes, where the first piece of a read begins that failed. */
  #failedAt = Number.POSITIVE_INFINITY;

  constructor(ended: (split: SplitBio, result: IoResult | typeof REQUEUE) => void) {
    this.#ended = ended;
    this.onlyPiece = new Bio({
      ...{ op: 'flush', sector: 0 as Sector, count: 0 as SectorCount, data: null, fua: false },
      onEnd: endPiece,
      context: this,
    });
  }

  begin(bio: Bio): void {
    this.bio = bio;
    this.#open = 1;
    this.#result = OK;
  }

  opened(): void {
    this.#open += 1;
  }

  closed(result: IoResult | typeof REQUEUE, detail: string | null): void {
    if (result !== OK && this.#result !== REQUEUE && (this.#result === OK || result === REQUEUE)) {
      this.#result = result;
      this.bio!.detail = detail;
    }
    this.#open -= 1;
    assert(this.#open >= 0, 'A split request ended twice');
    if (this.#open > 0) return;
    if (this.#failedAt < Number.POSITIVE_INFINITY) this.#zeroBehindFailure();
    this.#ended(this, this.#result);
  }

  /** A piece that is not the whole of a read has failed. */
  failedAt(byte: number): void {
    this.#failedAt = Math.min(this.#failedAt, byte);
  }

  #zeroBehindFailure(): void {
    this.bio!.data!.fill(0, this.#failedAt);
    this.#failedAt = Number.POSITIVE_INFINITY;
  }
}

function endPiece(piece: Bio, result: IoResult): void {
  const split = piece.context as SplitBio;
  if (result !== OK && piece.op === 'read' && piece !== split.onlyPiece) {
    split.failedAt(piece.data!.byteOffset - split.bio!.data!.byteOffset);
  }
  split.closed(result, piece.detail);
}

/** Cuts the requests of one mapped device. What it needs for each of them is used again. */
export class BioSplitter {
  readonly #onEnd: SplitEnd;
  readonly #spare: SplitBio[] = [];
  readonly #ended = (split: SplitBio, result: IoResult | typeof REQUEUE): void => {
    const bio = split.bio!;
    split.bio = null;
    split.onlyPiece.data = null;
    if (this.#spare.length < SPARE_SPLITS_MAX) this.#spare.push(split);
    this.#onEnd(bio, result);
  };

  /** `onEnd` is called once for each request, maybe before `send` returns. */
  constructor(onEnd: SplitEnd) {
    this.#onEnd = onEnd;
  }

  /** Sends `bio`, which lies inside the table, through it. The bio's own `onEnd` is not called. */
  send(table: Table, bio: Bio): void {
    const split = this.#spare.pop() ?? new SplitBio(this.#ended);
    split.begin(bio);
    if (bio.op === 'flush') {
      for (const { target } of table.targets) {
        if (!target.flushSupported) continue;
        split.opened();
        target.map(makePiece(split, 0 as Sector, 0 as SectorCount, null));
      }
    } else {
      sendPieces(table, split, bio);
    }
    split.closed(OK, null);
  }
}

function sendPieces(table: Table, split: SplitBio, bio: Bio): void {
  let done = 0;
  while (done < bio.count) {
    const at = (bio.sector + done) as Sector;
    const { start, length, target } = table.find(at);
    const offset = (at - start) as Sector;
    let count = Math.min(bio.count - done, length - offset) as SectorCount;
    if (target.maxIoSectors !== null && bio.op !== 'discard') {
      const left = target.maxIoSectors - (offset % target.maxIoSectors);
      count = Math.min(count, left) as SectorCount;
    }
    split.opened();
    if (count === bio.count) {
      target.map(onlyPiece(split, bio, offset));
      return;
    }
    const data = bio.data?.subarray(done * SECTOR_SIZE, (done + count) * SECTOR_SIZE) ?? null;
    target.map(makePiece(split, offset, count, data));
    done += count;
  }
}

function onlyPiece(split: SplitBio, bio: Bio, sector: Sector): Bio {
  const piece = split.onlyPiece;
  piece.op = bio.op;
  piece.sector = sector;
  piece.count = bio.count;
  piece.data = bio.data;
  piece.fua = bio.fua;
  piece.detail = null;
  return piece;
}

function makePiece(
  split: SplitBio,
  sector: Sector,
  count: SectorCount,
  data: Uint8Array | null,
): Bio {
  const { op, fua } = split.bio!;
  return new Bio({ op, sector, count, data, fua, onEnd: endPiece, context: split });
}
