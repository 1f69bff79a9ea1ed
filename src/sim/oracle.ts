/**
 * What each sector may hold: now, and after a power cut now.
 *
 * The oracle hears what clients ask and what they are told, and nothing of how the mirror works. A
 * write is *superseded* in a sector when another write began after it had ended, and ended with
 * success; for the question "after a power cut" that other write must be durable: acknowledged
 * under FUA, or before the submission of a flush that was acknowledged. What is not superseded is
 * allowed, a write in flight or a failed one included. A discard allows anything that was ever
 * there, and zeroes, until it is superseded.
 */

import { assert } from '../base/assert.ts';
import { type IoResult, OK } from '../base/errno.ts';
import { INITIAL_WRITE, type SectorContents, type WriteId } from './machine/sector-payload.ts';

/** What one sector may hold. */
export interface AllowedContents {
  readonly ids: readonly WriteId[];
  /** A discard stands: anything but foreign bytes. */
  readonly anything: boolean;
}

interface Change {
  readonly id: WriteId;
  readonly discard: boolean;
  readonly sector: number;
  readonly count: number;
  readonly fua: boolean;
  /** Instants of the oracle's own count. */
  readonly submittedAt: number;
  endedAt: number;
  succeeded: boolean;
  durable: boolean;
}

const NEVER = Number.POSITIVE_INFINITY;

export class Oracle {
  readonly sectors: number;
  #instant = 0;
  #nextId = 1;
  readonly #changes = new Map<WriteId, Change>();
  /** Per sector, in the order of submission. */
  readonly #history: Change[][];

  /** `initial`: what each sector holds, durably, at the start. */
  constructor(sectors: number, initial?: readonly AllowedContents[]) {
    this.sectors = sectors;
    this.#history = Array.from({ length: sectors }, (_, sector) => {
      const allowed = initial?.[sector] ?? { ids: [INITIAL_WRITE], anything: false };
      const changes = allowed.ids.map((id) => startingChange(id, sector, false));
      if (allowed.anything) changes.push(startingChange(-1, sector, true));
      for (const id of allowed.ids) if (id >= this.#nextId) this.#nextId = id + 1;
      return changes;
    });
  }

  writeSubmitted(extent: { sector: number; count: number; fua: boolean }): WriteId {
    return this.#submitted({ ...extent, discard: false });
  }

  discardSubmitted(extent: { sector: number; count: number }): WriteId {
    return this.#submitted({ ...extent, fua: false, discard: true });
  }

  /** A write or a discard was answered. */
  ended(id: WriteId, result: IoResult): void {
    const change = this.#changes.get(id);
    assert(change !== undefined && change.endedAt === NEVER, `Change ${id} is not in flight`);
    change.endedAt = this.#instant++;
    change.succeeded = result === OK;
    change.durable = change.succeeded && change.fua;
  }

  flushSubmitted(): number {
    return this.#instant++;
  }

  flushEnded(submittedAt: number, result: IoResult): void {
    this.#instant += 1;
    if (result !== OK) return;
    for (const change of this.#changes.values()) {
      if (change.durable || !change.succeeded || change.endedAt > submittedAt) continue;
      change.durable = true;
    }
  }

  /** Pass the result to `allowedSince` when the read has ended. */
  readSubmitted(): number {
    return this.#instant++;
  }

  /** What a read that was submitted at `instant` and ends now may find in a sector. */
  allowedSince(instant: number, sector: number): AllowedContents {
    return this.#allowed(sector, (newer) => newer.succeeded && newer.endedAt < instant);
  }

  allowedNow(sector: number): AllowedContents {
    return this.allowedSince(this.#instant, sector);
  }

  /** What each sector may hold if the power is cut now and the machine is started again. */
  afterPowerCut(): AllowedContents[] {
    return this.#history.map((_, sector) => this.#allowed(sector, (newer) => newer.durable));
  }

  /** What each sector may hold if everything in the caches survives. */
  afterOrderlyStop(): AllowedContents[] {
    return this.#history.map((_, sector) => this.allowedNow(sector));
  }

  #submitted(what: { sector: number; count: number; fua: boolean; discard: boolean }): WriteId {
    const change: Change = {
      ...what,
      id: this.#nextId++,
      submittedAt: this.#instant++,
      endedAt: NEVER,
      succeeded: false,
      durable: false,
    };
    this.#changes.set(change.id, change);
    for (let at = what.sector; at < what.sector + what.count; at++) {
      this.#history[at]!.push(change);
    }
    return change.id;
  }

  #allowed(sector: number, supersedes: (newer: Change) => boolean): AllowedContents {
    const changes = this.#history[sector]!;
    const standing = changes.filter(
      (older) => !changes.some((newer) => older.endedAt < newer.submittedAt && supersedes(newer)),
    );
    return {
      ids: standing.filter((change) => !change.discard).map((change) => change.id),
      anything: standing.some((change) => change.discard),
    };
  }
}

/** Does what was read agree with what is allowed? */
export function isAllowed(contents: SectorContents, allowed: AllowedContents): boolean {
  if (contents === 'foreign') return false;
  if (allowed.anything) return true;
  return contents !== 'zeroes' && allowed.ids.includes(contents);
}

export function describeAllowed(allowed: AllowedContents): string {
  if (allowed.anything) return 'anything (discarded)';
  return allowed.ids.map(describeContents).join(' or ');
}

export function describeContents(contents: SectorContents): string {
  if (typeof contents === 'string') return contents;
  return contents === INITIAL_WRITE ? 'the initial contents' : `write ${contents}`;
}

function startingChange(id: WriteId, sector: number, discard: boolean): Change {
  return {
    id,
    discard,
    sector,
    count: 1,
    fua: true,
    submittedAt: -2,
    endedAt: -1,
    succeeded: true,
    durable: true,
  };
}
