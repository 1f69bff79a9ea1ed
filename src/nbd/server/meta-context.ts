/**
 * Metadata contexts (NBD protocol, 8): what a server can tell about ranges of an export. Their
 * providers are handed to an export; here is what they are, and which of them a client means.
 */

import type { StatusExtent } from '../codec/status-codec.ts';

/** A range inside the export, in bytes, not empty. */
export interface StatusRange {
  readonly offset: number;
  readonly length: number;
  /** More extents than these are not wanted. */
  readonly extentsMax: number;
}

export interface MetaContext {
  /** `namespace:leaf`, as clients ask for it. */
  readonly name: string;
  /** What it tells is better where the device has learnt about the range just before. */
  readonly asksDevice?: true;
  /**
   * The status of the range from its beginning on, at one instant, from memory or nearly so:
   * consecutive extents, at least one, neighbours different, none behind the range. They may end
   * before the range does: a client comes back for the rest.
   */
  status(range: StatusRange): readonly StatusExtent[];
}

/** A context under the number by which a connection knows it. */
export interface SelectedContext {
  readonly id: number;
  readonly context: MetaContext;
}

/**
 * The contexts that a query of LIST_META_CONTEXT means, each once, in the order of the export: all
 * without a query; those that begin with it where it ends with a colon.
 */
export function listContexts(
  contexts: readonly MetaContext[],
  queries: readonly string[],
): readonly MetaContext[] {
  if (queries.length === 0) return contexts;
  return contexts.filter(({ name }) =>
    queries.some((query) => query === name || (query.endsWith(':') && name.startsWith(query))),
  );
}

/** What SET_META_CONTEXT selects: exact names only; a wildcard selects nothing. */
export function selectContexts(
  contexts: readonly MetaContext[],
  queries: readonly string[],
): readonly SelectedContext[] {
  return contexts
    .filter(({ name }) => queries.includes(name))
    .map((context, index) => ({ id: index + 1, context }));
}

/** Collects the extents of an answer: neighbours of one status are one. */
export class ExtentList {
  readonly extents: StatusExtent[] = [];
  readonly #extentsMax: number;

  constructor(extentsMax: number) {
    this.#extentsMax = extentsMax;
  }

  /** False when the answer is complete without it. */
  add(length: number, status: number): boolean {
    const { extents } = this;
    const last = extents.at(-1);
    if (last !== undefined && last.status === status) {
      extents[extents.length - 1] = { length: last.length + length, status };
      return true;
    }
    if (extents.length === this.#extentsMax) return false;
    extents.push({ length, status });
    return true;
  }
}
