/**
 * Which of the possible outcomes of a power cut are explored, and how they are written down.
 *
 * With `w` unflushed writes there are 2^w outcomes of whole writes. Within the budget all are
 * taken; else, in this order until the budget is spent: all lost, all kept, each single loss, each
 * single survivor, each prefix, then random ones. Torn writes come on top, drawn by seed. The
 * number explored and the total are always reported, so that a green result is not mistaken for a
 * complete one.
 *
 * A list of fates is written `K.L.T5`: kept, lost, torn with sectors 0 and 2 kept (a hexadecimal
 * mask).
 */

import { UserError } from '../../base/failure.ts';
import type { Prng } from '../../base/prng.ts';
import type { Fate, UnflushedWrite } from '../../fault/unflushed-write.ts';

export interface ChosenFates {
  readonly lists: readonly (readonly Fate[])[];
  /** Outcomes of whole writes that exist. */
  readonly total: number;
  /** Outcomes of whole writes among `lists`. */
  readonly explored: number;
}

export interface FateBudget {
  /** At most this many outcomes of whole writes. */
  readonly whole: number;
  /** At most this many with torn writes, on top. */
  readonly torn: number;
}

export function chooseFates(
  writes: readonly UnflushedWrite[],
  budget: FateBudget,
  prng: Prng,
): ChosenFates {
  const total = 2 ** writes.length;
  const lists = new Map<string, readonly Fate[]>();
  for (const fates of wholeFates(writes.length, prng)) {
    if (lists.size >= Math.min(budget.whole, total)) break;
    lists.set(formatFates(fates), fates);
  }
  const explored = lists.size;
  const tearable = writes.some((write) => write.count > 1);
  for (let draw = 0; tearable && draw < budget.torn; draw++) {
    const fates = writes.map((write) => drawFate(write, prng));
    lists.set(formatFates(fates), fates);
  }
  return { lists: [...lists.values()], total, explored };
}

/** All outcomes of few writes; an endless stream, telling ones first, of many. */
function* wholeFates(count: number, prng: Prng): Generator<Fate[]> {
  const list = (kept: (index: number) => boolean): Fate[] =>
    Array.from({ length: count }, (_, index) => (kept(index) ? 'kept' : 'lost'));
  yield list(() => false);
  yield list(() => true);
  for (let one = 0; one < count; one++) yield list((index) => index !== one);
  for (let one = 0; one < count; one++) yield list((index) => index === one);
  for (let length = 2; length < count; length++) yield list((index) => index < length);
  if (count <= 12) {
    for (let mask = 0; mask < 2 ** count; mask++)
      yield list((index) => ((mask >> index) & 1) === 1);
  } else {
    for (;;) yield list(() => prng.chance(1, 2));
  }
}

function drawFate(write: UnflushedWrite, prng: Prng): Fate {
  if (write.count === 1) return prng.pick(['kept', 'lost'] as const);
  switch (prng.between(0, 3)) {
    case 0:
      return 'kept';
    case 1:
      return 'lost';
    case 2: {
      const length = prng.between(1, write.count - 1);
      return Array.from({ length: write.count }, (_, index) => index < length);
    }
    default:
      return Array.from({ length: write.count }, () => prng.chance(1, 2));
  }
}

export function formatFates(fates: readonly Fate[]): string {
  return fates.map(formatFate).join('.');
}

function formatFate(fate: Fate): string {
  if (fate === 'kept') return 'K';
  if (fate === 'lost') return 'L';
  let mask = 0n;
  for (const [index, kept] of fate.entries()) if (kept) mask |= 1n << BigInt(index);
  return `T${mask.toString(16)}`;
}

/** @throws UserError naming the word and the form. */
export function parseFates(text: string): Fate[] {
  if (text === '') return [];
  return text.split('.').map((word) => {
    if (word === 'K') return 'kept';
    if (word === 'L') return 'lost';
    if (!/^T[0-9a-f]+$/.test(word)) {
      throw new UserError(
        'bad-fate',
        `Cannot use fates "${text}": "${word}" must be K, L or T and a mask, as in T5`,
      );
    }
    const mask = BigInt(`0x${word.slice(1)}`);
    const length = mask.toString(2).length;
    return Array.from({ length }, (_, index) => ((mask >> BigInt(index)) & 1n) === 1n);
  });
}
