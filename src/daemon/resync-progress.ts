/**
 * Tells people how far resynchronisation is: a bar on a terminal, a line every few seconds
 * elsewhere. It knows no more than what a status line says.
 */

import { formatByteSize } from '../base/byte-size.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { SECTOR_SIZE } from '../base/units.ts';
import { splitWords } from '../dm/table-line.ts';
import type { StatusLine } from './status-line.ts';

const POLL_MS = 500;
/** In sync: regions may still get out of sync, when a leg fails. */
const IDLE_POLL_MS = 5000;
const LINE_MS = 5000;
/**
 * What is left need not be copied soon, or at all: after a copy that failed, not before the next
 * resume.
 */
const STALLED_MS = 10_000;
const STALLED = ', no progress';
const BAR_COLUMNS = 24;

export interface SyncCounts {
  readonly inSync: number;
  readonly total: number;
  /** Of all mirrors together. */
  readonly bytes: number;
}

export interface ResyncProgressOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly statusLine: StatusLine | null;
  /** The status lines of the device. */
  readonly status: () => Promise<readonly string[]>;
}

export class ResyncProgress {
  readonly #options: ResyncProgressOptions;
  #timer: Timer | null = null;
  #stopped = false;
  /** Where and when it began; null while in sync. */
  #begin: { readonly counts: SyncCounts; readonly atMs: number } | null = null;
  #lineAtMs = 0;
  /** When regions came into sync for the last time that was seen, and how many there are since. */
  #moved = { inSync: -1, atMs: 0 };
  #saidStalled = false;

  constructor(options: ResyncProgressOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const counts = countSync(await this.#options.status());
    if (this.#stopped) return;
    if (counts.total > 0) this.#show(counts);
    const delayMs = this.#begin === null ? IDLE_POLL_MS : POLL_MS;
    this.#timer = this.#options.clock.after(delayMs, () => void this.start());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#options.statusLine?.clear();
  }

  #show(counts: SyncCounts): void {
    const { clock, log, statusLine } = this.#options;
    const now = clock.now();
    if (counts.inSync === counts.total) {
      statusLine?.clear();
      if (this.#begin !== null) {
        const seconds = (now - this.#begin.atMs) / 1000;
        log.info(`in sync: all ${counts.total} regions, after ${seconds.toFixed(1)} s`);
      }
      this.#begin = null;
      return;
    }
    this.#begin ??= { counts, atMs: now };
    if (counts.inSync !== this.#moved.inSync) {
      this.#moved = { inSync: counts.inSync, atMs: now };
      this.#saidStalled = false;
    }
    const stalledMs = now - this.#moved.atMs;
    const pace = stalledMs < STALLED_MS ? paceOf(estimate(this.#begin, counts, now)) : STALLED;
    if (statusLine !== null) {
      statusLine.set(`resync ${bar(counts)} ${percentOf(counts)}${pace}`);
    } else if (now - this.#lineAtMs >= LINE_MS && !this.#saidStalled) {
      this.#lineAtMs = now;
      this.#saidStalled = pace === STALLED;
      log.info(`resynchronising: ${percentOf(counts)}${pace}`);
    }
  }
}

interface Pace {
  readonly bytesPerSecond: number;
  readonly secondsLeft: number;
}

/** Adds up the mirrors of `START LENGTH mirror N DEVICE... IN_SYNC/TOTAL 1 HEALTH LOG...`. */
export function countSync(statusLines: readonly string[]): SyncCounts {
  let [inSync, total, bytes] = [0, 0, 0];
  for (const line of statusLines) {
    const words = splitWords(line);
    if (words[2] !== 'mirror') continue;
    const counts = /^(\d+)\/(\d+)$/.exec(words[4 + Number(words[3])] ?? '');
    if (counts === null) continue;
    inSync += Number(counts[1]);
    total += Number(counts[2]);
    bytes += Number(words[1]) * SECTOR_SIZE;
  }
  return { inSync, total, bytes };
}

/** The average since the beginning; null before anything was copied. */
function estimate(
  begin: { readonly counts: SyncCounts; readonly atMs: number },
  counts: SyncCounts,
  now: number,
): Pace | null {
  const done = counts.inSync - begin.counts.inSync;
  const seconds = (now - begin.atMs) / 1000;
  if (done <= 0 || seconds <= 0) return null;
  return {
    bytesPerSecond: (done / counts.total) * (counts.bytes / seconds),
    secondsLeft: ((counts.total - counts.inSync) / done) * seconds,
  };
}

function percentOf({ inSync, total }: SyncCounts): string {
  return `${((100 * inSync) / total).toFixed(1)}% (${inSync} of ${total} regions)`;
}

function paceOf(pace: Pace | null): string {
  if (pace === null) return '';
  const rate = formatByteSize(Math.round(pace.bytesPerSecond));
  return `, ${rate}/s, ${formatSeconds(pace.secondsLeft)} left`;
}

function bar({ inSync, total }: SyncCounts): string {
  const full = Math.floor((BAR_COLUMNS * inSync) / total);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_COLUMNS - full)}]`;
}

/** "0:07", "12:34" or "3:02:01". */
export function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown
    .map((part, index) => (index === 0 ? `${part}` : `${part}`.padStart(2, '0')))
    .join(':');
}
