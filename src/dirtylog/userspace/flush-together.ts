/**
 * How marks and clears reach a log server of ours: what belongs to a flush at once, and as little
 * as there must be. A round trip costs more than all that a turn of a mirror does, and in the
 * kernel's way a turn has four.
 *
 * - Clears, marks and their FLUSH are sent without waiting for the answers between. Our server
 *   carries out the requests of a log in the order in which they were sent (`log-server.ts`).
 *   Wherever that may not have been so (a request had to wait for a server, was sent again, or met
 *   an error), all is said once more in the kernel's way, one after the other, before the flush
 *   ends.
 * - A clear waits for a while. A region that is marked again meanwhile is marked still, and neither
 *   is said. That is always safe: a region only stays dirty for longer. One that is out of sync
 *   waits hardly at all: others may be about to copy it.
 * - No flush of marks ends while clears that were sent before it are under way, so that none of
 *   them can be carried out after a mark that is counted on.
 */

import type { Awaitable } from '../../base/awaitable.ts';
import type { Timer } from '../../base/clock.ts';
import { type IoResult, OK } from '../../base/errno.ts';
import { ULOG_CLEAR_SOON_MS, ULOG_CLEAR_WAIT_MS } from '../../base/limits.ts';
import type { Region } from '../../base/units.ts';
import { groupsOf, LogFlush, type LogFlushOptions } from './log-flush.ts';
import {
  type RegionsType,
  ULOG_CLEAR_REGION,
  ULOG_FLUSH,
  ULOG_MARK_REGION,
} from './ulog-payloads.ts';

export interface FlushTogetherOptions extends LogFlushOptions {
  readonly isInSync: (region: Region) => boolean;
}

const DONE = Promise.resolve(true);

export class FlushTogether {
  readonly #options: FlushTogetherOptions;
  readonly #inTurn: LogFlush;
  /** Cleared by the mirror, and not said: to go with the next marks, or soon. */
  readonly #soon = new Set<Region>();
  #soonTimer: Timer | null = null;
  /** Those that wait for less than `ULOG_CLEAR_WAIT_MS`, and those that wait for longer. */
  #young = new Set<Region>();
  #old = new Set<Region>();
  #ageTimer: Timer | null = null;
  /** Marked, flushed, and not called clean since: the server surely holds them as dirty. */
  readonly #held = new Set<Region>();
  /** The server that holds them. */
  #heldBy = 0;
  /** Clears under way for which nobody waits. Ends with whether they were done in their turn. */
  #telling: Promise<boolean> = DONE;

  constructor(options: FlushTogetherOptions) {
    this.#options = options;
    this.#inTurn = new LogFlush(options);
  }

  flush(marks: readonly Region[], clears: readonly Region[]): Awaitable<IoResult> {
    const { isInSync, clock } = this.#options;
    for (const region of clears) (isInSync(region) ? this.#young : this.#soon).add(region);
    const fresh = marks.filter((region) => !this.#isMarkedStill(region));
    if (this.#young.size > 0) {
      this.#ageTimer ??= clock.after(ULOG_CLEAR_WAIT_MS, () => this.#growOlder());
    }
    if (fresh.length > 0) return this.#mark(fresh);
    if (this.#soon.size > 0) {
      this.#soonTimer ??= clock.after(ULOG_CLEAR_SOON_MS, () => this.#tell(this.#takeSoon()));
    }
    return OK;
  }

  /**
   * What waits is sent now: before a suspend, which does not wait for a server that has gone. A
   * region that was not called clean is copied.
   */
  async settle(): Promise<void> {
    await Promise.race([this.tellClears(), this.#options.session.deserted()]);
  }

  /** Ends when the server knows of every clear. */
  async tellClears(): Promise<void> {
    this.#ageTimer?.cancel();
    this.#ageTimer = null;
    this.#tell([...this.#takeSoon(), ...this.#takeAged(), ...this.#takeAged()]);
    await this.#telling;
  }

  /** Suspended and resumed, a log may have changed its mind about every region. */
  forget(): void {
    this.#held.clear();
  }

  /** True: its clear was not said, and will not be. */
  #isMarkedStill(region: Region): boolean {
    if (this.#heldBy !== this.#options.session.generation) this.#held.clear();
    const waited =
      this.#young.delete(region) || this.#old.delete(region) || this.#soon.delete(region);
    return waited && this.#held.has(region);
  }

  async #mark(marks: readonly Region[]): Promise<IoResult> {
    const { session, marked } = this.#options;
    const before = this.#telling;
    const clears = this.#takeSoon();
    for (const region of marks) marked.add(region);
    const isInTurn = await this.#sendTogether(clears, marks);
    if (!(await before) || !isInTurn) {
      const result = await this.#inTurn.flush(marks, clears);
      if (result !== OK) {
        this.#held.clear();
        return result;
      }
    }
    this.#heldBy = session.generation;
    for (const region of marks) this.#held.add(region);
    return OK;
  }

  #growOlder(): void {
    const aged = this.#takeAged();
    const isEmpty = this.#old.size === 0;
    this.#ageTimer = isEmpty
      ? null
      : this.#options.clock.after(ULOG_CLEAR_WAIT_MS, () => this.#growOlder());
    this.#tell(aged);
  }

  /** Nobody waits for it. */
  #tell(clears: readonly Region[]): void {
    if (clears.length === 0) return;
    const before = this.#telling;
    this.#telling = this.#tellAll(clears).then(async (isInTurn) => (await before) && isInTurn);
  }

  async #tellAll(clears: readonly Region[]): Promise<boolean> {
    if (await this.#sendTogether(clears, [])) return true;
    if ((await this.#inTurn.flush([], clears)) !== OK) this.#options.failedLate();
    return false;
  }

  #takeSoon(): readonly Region[] {
    this.#soonTimer?.cancel();
    this.#soonTimer = null;
    return this.#take(this.#soon);
  }

  #takeAged(): readonly Region[] {
    const aged = this.#take(this.#old);
    [this.#young, this.#old] = [this.#old, this.#young];
    return aged;
  }

  /**
   * From here on they need not be marked again at another server: the legs are equal there.
   */
  #take(waiting: Set<Region>): readonly Region[] {
    const clears = [...waiting];
    waiting.clear();
    for (const region of clears) {
      this.#held.delete(region);
      this.#options.marked.delete(region);
    }
    return clears;
  }

  /** False where they may not have been carried out, or not in this order. */
  async #sendTogether(clears: readonly Region[], marks: readonly Region[]): Promise<boolean> {
    const { session } = this.#options;
    const send = (type: RegionsType, regions: readonly Region[]) =>
      session.request({ type, regions }, 0);
    const answers = await Promise.all([
      ...groupsOf(clears).map((group) => send(ULOG_CLEAR_REGION, group)),
      ...groupsOf(marks).map((group) => send(ULOG_MARK_REGION, group)),
      send(ULOG_FLUSH, []),
    ]);
    return answers.every(({ result, isLate }) => result === OK && !isLate);
  }
}
