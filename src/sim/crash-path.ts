/**
 * The way to one state: at which event each life was cut, and what became of its unflushed writes.
 *
 * Written as words `CUT:FATES`, one for each cut, e.g. `12:K.L 7:`; a last word without colon means
 * that the finding was made at the cut itself, before any fate was decided.
 */

import { UserError } from '../base/failure.ts';
import type { Fate } from '../fault/unflushed-write.ts';
import { formatFates, parseFates } from './fates.ts';

/** The power goes after the script has ended. */
export const IDLE = 0;
/** The machine is stopped in order; written `stop`. */
export const STOP = -1;

export interface CrashStep {
  /** The event, counted from 1, or `IDLE`, or `STOP`. */
  readonly cut: number;
  /** null: as far as the cut. */
  readonly fates: readonly Fate[] | null;
}

export function formatCrashPath(path: readonly CrashStep[]): string {
  return path
    .map(({ cut, fates }) => {
      if (cut === STOP) return 'stop';
      return fates === null ? `${cut}` : `${cut}:${formatFates(fates)}`;
    })
    .join(' ');
}

/** @throws UserError naming the word and the form. */
export function parseCrashStep(word: string): CrashStep {
  if (word === 'stop') return { cut: STOP, fates: null };
  const match = /^(\d+)(?::(.*))?$/.exec(word);
  if (match === null) {
    throw new UserError(
      'bad-crash-step',
      `Cannot repeat a crash: step is "${word}", must be CUT or CUT:FATES, as in 12:K.L, or stop`,
    );
  }
  const fates = match[2];
  return { cut: Number(match[1]), fates: fates === undefined ? null : parseFates(fates) };
}
