/**
 * Crash points as people write them, `POINT[.leg][#occurrence][@region]`, and a probe that strikes
 * there.
 *
 * The points themselves are listed in `base/probe.ts`. A point without a leg, or without a region,
 * matches any; without an occurrence it means the first.
 */

import { UserError } from '../base/failure.ts';
import { POINTS, type PointName, type Probe } from '../base/probe.ts';

export interface CrashPoint {
  readonly point: PointName;
  readonly leg: number | null;
  /** 1 is the first time. */
  readonly occurrence: number;
  readonly region: number | null;
}

const PATTERN = /^([A-Z]\d+)(?:\.(\d+))?(?:#(\d+))?(?:@(\d+))?$/;

/** @throws UserError naming the text and the form. */
export function parseCrashPoint(text: string): CrashPoint {
  const match = PATTERN.exec(text);
  const point = match?.[1];
  if (match === null || point === undefined || !isPointName(point)) {
    throw new UserError(
      'bad-crash-point',
      `Cannot use crash point "${text}": must be POINT[.leg][#occurrence][@region]`,
      { hint: `For example W7.1#3@12. Points are ${Object.keys(POINTS).join(', ')}` },
    );
  }
  const occurrence = match[3] === undefined ? 1 : Number(match[3]);
  if (occurrence === 0) {
    throw new UserError(
      'bad-crash-point',
      `Cannot use crash point "${text}": occurrence is 0, must be 1 or more`,
    );
  }
  return {
    point,
    leg: match[2] === undefined ? null : Number(match[2]),
    occurrence,
    region: match[4] === undefined ? null : Number(match[4]),
  };
}

export function formatCrashPoint(point: CrashPoint): string {
  const leg = point.leg === null ? '' : `.${point.leg}`;
  const occurrence = point.occurrence === 1 ? '' : `#${point.occurrence}`;
  const region = point.region === null ? '' : `@${point.region}`;
  return `${point.point}${leg}${occurrence}${region}`;
}

/** Counts the times its point is passed, and calls `strike` once, at the occurrence asked for. */
export class Failpoint implements Probe {
  readonly point: CrashPoint;
  readonly #strike: () => void;
  #matched = 0;

  constructor(point: CrashPoint, strike: () => void) {
    this.point = point;
    this.#strike = strike;
  }

  /** 1 after it struck, else 0. */
  get fired(): number {
    return this.#matched >= this.point.occurrence ? 1 : 0;
  }

  reached(point: PointName, leg: number, region: number): void {
    if (point !== this.point.point) return;
    if (this.point.leg !== null && this.point.leg !== leg) return;
    if (this.point.region !== null && this.point.region !== region) return;
    this.#matched += 1;
    if (this.#matched === this.point.occurrence) this.#strike();
  }
}

function isPointName(name: string): name is PointName {
  return Object.hasOwn(POINTS, name);
}
