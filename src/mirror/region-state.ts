/**
 * The states of a region and the legal transitions, with who may make them (specification 2.1,
 * 2.3).
 *
 * | From | To | Owner |
 * |---|---|---|
 * | (none) | clean, nosync | lookup: what the log says |
 * | clean | dirty | turn: a write is counted |
 * | dirty | clean | completion: the last write ended |
 * | dirty, nosync, recovering | nosync | completion: the last write ended after a failed flush |
 * | clean, dirty, nosync | recovering | turn: recovery is prepared |
 * | dirty, nosync, recovering | nosync | turn: a write failed on a leg |
 *
 * `clean` may turn `recovering` only where a log hands out a region that it also calls in sync, as
 * a log in user space may.
 */

import { unreachable } from '../base/assert.ts';

export type RegionState = 'clean' | 'dirty' | 'nosync' | 'recovering';
export type TransitionOwner = 'turn' | 'completion';

/** Asserts that `owner` may move a region from `from` to `to`. Each write is asked about twice. */
export function assertTransition(owner: TransitionOwner, from: RegionState, to: RegionState): void {
  const isLegal = owner === 'turn' ? isLegalInTurn(from, to) : isLegalAtEnd(from, to);
  if (!isLegal) unreachable(`Region went from ${from} to ${to} by the ${owner}`);
}

function isLegalInTurn(from: RegionState, to: RegionState): boolean {
  if (to === 'dirty') return from === 'clean';
  if (to === 'recovering') return from !== 'recovering';
  return to === 'nosync' && from !== 'clean';
}

function isLegalAtEnd(from: RegionState, to: RegionState): boolean {
  if (to === 'clean') return from === 'dirty';
  return to === 'nosync' && from !== 'clean';
}
