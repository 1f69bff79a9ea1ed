/**
 * How marks and clears reach a log server: at a flush, in the kernel's way (specification 10.6).
 *
 * One request after the other, each sent when the one before was answered: clears in groups, marks
 * in groups, then FLUSH; or, with `integrated_flush`, marks as the data of FLUSH. What a server
 * does with more than one request at a time is its own affair, so that this is for any of them.
 */

import type { Clock, Timer } from '../../base/clock.ts';
import { errnoName, type IoResult, OK } from '../../base/errno.ts';
import { ULOG_DELAYED_FLUSH_MS } from '../../base/limits.ts';
import type { Region } from '../../base/units.ts';
import type { LogSession } from './log-session.ts';
import {
  type RegionsType,
  ULOG_CLEAR_REGION,
  ULOG_FLUSH,
  ULOG_MARK_REGION,
  ULOG_REGIONS_MAX,
} from './ulog-payloads.ts';

export interface LogFlushOptions {
  readonly session: LogSession;
  readonly clock: Clock;
  readonly integratedFlush: boolean;
  /** Told to be dirty and not to be clean: what a server that starts anew is told again. */
  readonly marked: Set<Region>;
  /** The server answers a request with an error. */
  readonly complain: (type: RegionsType, problem: string) => void;
  /** A flush failed of which nobody waits for the outcome. */
  readonly failedLate: () => void;
}

export class LogFlush {
  readonly #options: LogFlushOptions;
  #delayed: Timer | null = null;

  constructor(options: LogFlushOptions) {
    this.#options = options;
  }

  /** The newest first, as the kernel sends them. */
  async flush(marks: readonly Region[], clears: readonly Region[]): Promise<IoResult> {
    const { marked, integratedFlush } = this.#options;
    const cleared = await this.#sendGroups(ULOG_CLEAR_REGION, clears);
    if (cleared !== OK) return cleared;
    for (const region of clears) marked.delete(region);
    for (const region of marks) marked.add(region);
    if (integratedFlush) return this.#flushIntegrated(marks);
    const result = await this.#sendGroups(ULOG_MARK_REGION, marks);
    return result === OK ? this.#send(ULOG_FLUSH, []) : result;
  }

  /** What waits is sent now: before a suspend. */
  async settle(): Promise<void> {
    if (this.#cancelDelayed()) await this.#flushLate();
  }

  /** No clear waits here, and nothing is remembered over a resume. */
  tellClears(): void {}
  forget(): void {}

  /** Marks travel in the flush itself; clears alone are in no hurry. */
  async #flushIntegrated(marks: readonly Region[]): Promise<IoResult> {
    if (marks.length === 0) {
      // As in the kernel: one that waits is cancelled, not kept.
      if (!this.#cancelDelayed()) this.#delay();
      return OK;
    }
    for (const group of groupsOf(marks)) {
      const result = await this.#send(ULOG_FLUSH, group);
      if (result !== OK) return result;
    }
    this.#cancelDelayed();
    return OK;
  }

  /** Where a group is refused, all regions go one by one, up to the first that is refused. */
  async #sendGroups(type: RegionsType, regions: readonly Region[]): Promise<IoResult> {
    for (const group of groupsOf(regions)) {
      if ((await this.#send(type, group)) !== OK) return this.#sendOneByOne(type, regions);
    }
    return OK;
  }

  async #sendOneByOne(type: RegionsType, regions: readonly Region[]): Promise<IoResult> {
    for (const region of regions) {
      const result = await this.#send(type, [region]);
      if (result !== OK) return result;
    }
    return OK;
  }

  async #send(type: RegionsType, regions: readonly Region[]): Promise<IoResult> {
    const { session, complain } = this.#options;
    const { result } = await session.request({ type, regions }, 0);
    if (result !== OK) complain(type, errnoName(result));
    return result;
  }

  #delay(): void {
    this.#delayed = this.#options.clock.after(ULOG_DELAYED_FLUSH_MS, () => {
      this.#delayed = null;
      void this.#flushLate();
    });
  }

  /** True: one had been waiting. */
  #cancelDelayed(): boolean {
    const waited = this.#delayed !== null;
    this.#delayed?.cancel();
    this.#delayed = null;
    return waited;
  }

  async #flushLate(): Promise<void> {
    const result = await this.#send(ULOG_FLUSH, []);
    if (result !== OK) this.#options.failedLate();
  }
}

/** As many as one request carries. */
export function groupsOf(regions: readonly Region[]): readonly (readonly Region[])[] {
  const groups: Region[][] = [];
  for (let from = 0; from < regions.length; from += ULOG_REGIONS_MAX) {
    groups.push(regions.slice(from, from + ULOG_REGIONS_MAX));
  }
  return groups;
}
