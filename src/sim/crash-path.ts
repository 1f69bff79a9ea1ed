/**
 * The way to one state: at which event each life was cut, and what became of its unflushed writes.
 *
 * Written as words `CUT:FATES`, one for each cut, e.g. `12:K.L 7:`, or `W7.1#3@12:L` for a named
 * point. A last word without colon means that the finding was made at the cut itself, before any
 * fate was decided.
 */

import { UserError } from '../base/failure.ts';
import { type CrashPoint, formatCrashPoint, parseCrashPoint } from '../fault/failpoint.ts';
import type { Fate } from '../fault/unflushed-write.ts';
import { formatFates, parseFates } from './machine/fates.ts';

/** The power goes after the script has ended. */
export const IDLE = 0;
/** The machine is stopped in order; written `stop`. */
export const STOP = -1;

export interface CrashStep {
  /** The event, counted from 1, or `IDLE`, or `STOP`; or a named point. */
  readonly cut: number | CrashPoint;
  /** null: as far as the cut. */
  readonly fates: readonly Fate[] | null;
}

export function formatCrashPath(path: readonly CrashStep[]): string {
  return path
    .map(({ cut, fates }) => {
      if (cut === STOP) return 'stop';
      const where = typeof cut === 'number' ? `${cut}` : formatCrashPoint(cut);
      return fates === null ? where : `${where}:${formatFates(fates)}`;
    })
    .join(' ');
}

/** @throws UserError naming the word and the form. */
export function parseCrashStep(word: string): CrashStep {
  if (word === 'stop') return { cut: STOP, fates: null };
  const match = /^([^:]+)(?::(.*))?$/.exec(word);
  if (match === null) {
    throw new UserError(
      'bad-crash-step',
      `Cannot repeat a crash: step is "${word}", must be CUT, CUT:FATES, as in 12:K.L, or stop`,
    );
  }
  const where = match[1]!;
  return {
    cut: /^\d+$/.test(where) ? Number(where) : parseCrashPoint(where),
    fates: match[2] === undefined ? null : parseFates(match[2]),
  };
}
