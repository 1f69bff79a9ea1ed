/**
 * How long the event loop was held up: a timer that is due every millisecond looks at the clock;
 * what it comes too late is the delay of everything else that waited for its turn.
 *
 * Runs only while somebody asks; an idle daemon keeps no timer.
 */

import type { Clock } from '../../base/clock.ts';

const LOOK_MS = 1;
/** Upper ends of the classes; the last class has none. */
const BOUNDS_MS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

export interface DelayClass {
  readonly atLeastMs: number;
  /** Null: without end. */
  readonly belowMs: number | null;
  readonly count: number;
}

export interface LoopDelays {
  readonly seconds: number;
  readonly looks: number;
  readonly maxMs: number;
  readonly histogram: readonly DelayClass[];
}

/** Ends after that many milliseconds, or when the signal is given. */
export function measureLoopDelays(
  clock: Clock,
  durationMs: number,
  signal: AbortSignal,
): Promise<LoopDelays> {
  const counts = new Array<number>(BOUNDS_MS.length + 1).fill(0);
  const startMs = clock.now();
  let lastMs = startMs;
  let looks = 0;
  let maxMs = 0;
  return new Promise((resolve) => {
    const look = (): void => {
      const nowMs = clock.now();
      const delayMs = Math.max(0, nowMs - lastMs - LOOK_MS);
      lastMs = nowMs;
      looks += 1;
      maxMs = Math.max(maxMs, delayMs);
      const index = BOUNDS_MS.findIndex((bound) => delayMs < bound);
      counts[index === -1 ? BOUNDS_MS.length : index]! += 1;
      if (nowMs - startMs < durationMs && !signal.aborted) {
        clock.after(LOOK_MS, look);
        return;
      }
      const seconds = (nowMs - startMs) / 1000;
      resolve({ seconds, looks, maxMs, histogram: classify(counts) });
    };
    clock.after(LOOK_MS, look);
  });
}

function classify(counts: readonly number[]): DelayClass[] {
  return counts.map((count, index) => ({
    atLeastMs: BOUNDS_MS[index - 1] ?? 0,
    belowMs: BOUNDS_MS[index] ?? null,
    count,
  }));
}

/** Classes up to the last that was seen, with a line for the longest delay. */
export function formatLoopDelays(delays: LoopDelays): string {
  const used = delays.histogram.findLastIndex((entry) => entry.count > 0);
  const rows = delays.histogram.slice(0, used + 1).map(({ atLeastMs, belowMs, count }) => {
    const range = belowMs === null ? `${atLeastMs} and more` : `${atLeastMs} to ${belowMs}`;
    return `${range.padEnd(14)} ms ${`${count}`.padStart(8)}\n`;
  });
  const { seconds, looks, maxMs } = delays;
  const summary = `looked ${looks} times in ${seconds.toFixed(1)} s`;
  return `${rows.join('')}longest ${maxMs.toFixed(1)} ms; ${summary}\n`;
}
