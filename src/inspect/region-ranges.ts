/**
 * Regions told as ranges: neighbours with the same label become one. The list is bounded, the
 * counts are not: what is no longer listed is still counted.
 */

import { assert } from '../base/assert.ts';
import { INSPECT_RANGES_MAX } from '../base/limits.ts';

export interface RegionRange<Label> {
  readonly first: number;
  /** The last one, included. */
  readonly last: number;
  readonly label: Label;
}

export class RegionRanges<Label> {
  readonly #sameLabel: (a: Label, b: Label) => boolean;
  readonly #closed: RegionRange<Label>[] = [];
  #open: { first: number; last: number; readonly label: Label } | null = null;
  #unlisted = 0;

  constructor(sameLabel: (a: Label, b: Label) => boolean) {
    this.#sameLabel = sameLabel;
  }

  /** Adds regions `first` to `last`; they come in rising order. */
  add(first: number, last: number, label: Label): void {
    const open = this.#open;
    assert(first <= last && (open === null || first > open.last), 'Ranges do not rise');
    if (open !== null && open.last + 1 === first && this.#sameLabel(open.label, label)) {
      open.last = last;
      return;
    }
    this.#close();
    this.#open = { first, last, label };
  }

  /** Every range; nothing may be added afterwards. */
  finish(): { readonly ranges: readonly RegionRange<Label>[]; readonly unlisted: number } {
    this.#close();
    return { ranges: this.#closed, unlisted: this.#unlisted };
  }

  #close(): void {
    if (this.#open === null) return;
    if (this.#closed.length < INSPECT_RANGES_MAX) this.#closed.push(this.#open);
    else this.#unlisted += 1;
    this.#open = null;
  }
}

/** "5" or "5-9". */
export function formatRange({ first, last }: { first: number; last: number }): string {
  return first === last ? String(first) : `${first}-${last}`;
}
