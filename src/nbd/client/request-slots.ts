/**
 * Requests in flight on one connection, by cookie: a slot, and how often the slot has been used, so
 * that a second answer to a request is the answer to no request.
 */

import { assert } from '../../base/assert.ts';
import type { ClientRequest } from './client-request.ts';

export class RequestSlots {
  readonly #requests: (ClientRequest | null)[] = [];
  readonly #free: number[] = [];
  #lastGeneration = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(request: ClientRequest): void {
    const slot = this.#free.pop() ?? this.#requests.length;
    this.#requests[slot] = request;
    this.#lastGeneration = (this.#lastGeneration + 1) | 0;
    request.slot = slot;
    request.generation = this.#lastGeneration;
    this.#count += 1;
  }

  find(generation: number, slot: number): ClientRequest | undefined {
    const request = this.#requests[slot];
    if (request === null || request === undefined) return undefined;
    return request.generation === generation ? request : undefined;
  }

  remove(request: ClientRequest): void {
    assert(this.#requests[request.slot] === request, 'A request came back that is not in flight');
    this.#requests[request.slot] = null;
    this.#free.push(request.slot);
    this.#count -= 1;
  }

  /** How many have been added so far, as a mark for `hasUnanswered`; it wraps. */
  get mark(): number {
    return this.#lastGeneration;
  }

  /** Whether something is still here that had been added when `mark` was taken. */
  hasUnanswered(mark: number): boolean {
    return this.#all().some(({ generation }) => ((generation - mark) | 0) <= 0);
  }

  /** Those whose answers are complete, and that are still here. */
  answered(): ClientRequest[] {
    return this.#all().filter((request) => request.isAnswered);
  }

  /** Takes all out, in the order in which they were added. */
  removeAll(): ClientRequest[] {
    const all = this.#all().sort((one, other) => (one.generation - other.generation) | 0);
    for (const request of all) this.remove(request);
    return all;
  }

  #all(): ClientRequest[] {
    return this.#requests.filter((request) => request !== null);
  }
}
