/**
 * The answers to BLOCK_STATUS (NBD protocol, 8.2): one status for each context that is asked, at
 * one instant, within the limits.
 *
 * Looking may take a millisecond, for a request of 28 bytes: so a few requests of a connection are
 * looked at in each turn of the event loop, and others get theirs in between.
 */

import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { NBD_STATUS_EXTENTS_MAX } from '../../base/limits.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import type { ContextStatus, StatusExtent } from '../codec/status-codec.ts';
import { learnBytes } from './allocation-context.ts';
import type { SelectedContext } from './meta-context.ts';
import type { PendingRequest } from './pending-request.ts';

const PER_TURN = 8;

/** What each of `contexts` says of a range, which is inside the export and not empty. */
export function statusOf(
  contexts: readonly SelectedContext[],
  range: { readonly offset: number; readonly length: number; readonly reqOne: boolean },
): ContextStatus[] {
  const { offset, length, reqOne } = range;
  const extentsMax = reqOne ? 1 : NBD_STATUS_EXTENTS_MAX;
  return contexts.map(({ id, context }) => {
    const extents = context.status({ offset, length, extentsMax });
    checkExtents(context.name, extents, { length, extentsMax });
    return { contextId: id, extents };
  });
}

/** What clients rely on, and what has been wrong in other servers (NBD protocol, 15.2). */
function checkExtents(
  name: string,
  extents: readonly StatusExtent[],
  limits: { readonly length: number; readonly extentsMax: number },
): void {
  const { length, extentsMax } = limits;
  assert(extents.length > 0, `Context ${name} says nothing`);
  assert(extents.length <= extentsMax, `Context ${name} has ${extents.length} extents`);
  let sum = 0;
  for (const extent of extents) {
    assert(extent.length > 0, `Context ${name} has an extent of ${extent.length} bytes`);
    sum += extent.length;
  }
  assert(sum <= length, `Context ${name} speaks of ${sum} bytes, was asked for ${length}`);
}

export class StatusTurns {
  readonly #clock: Clock;
  readonly #device: BlockDevice;
  readonly #finish: (pending: PendingRequest) => void;
  readonly #waiting: PendingRequest[] = [];
  /** How many may still be finished in the present turn. */
  #left = PER_TURN;
  readonly #nextTurn = (): void => {
    this.#left = PER_TURN;
    while (this.#left > 0 && this.#waiting.length > 0) this.#run(this.#waiting.shift()!);
  };

  constructor(clock: Clock, device: BlockDevice, finish: (pending: PendingRequest) => void) {
    this.#clock = clock;
    this.#device = device;
    this.#finish = finish;
  }

  /** The request is finished now, or in a turn to come. */
  add(pending: PendingRequest): void {
    if (this.#left > 0) this.#run(pending);
    else this.#waiting.push(pending);
  }

  #run(pending: PendingRequest): void {
    if (this.#left === PER_TURN) this.#clock.defer(this.#nextTurn);
    this.#left -= 1;
    if (pending.contexts.some(({ context }) => context.asksDevice === true)) this.#learn(pending);
    else this.#finish(pending);
  }

  /** What must be asked for may be known of the beginning only: a client comes back. */
  #learn(pending: PendingRequest): void {
    learnBytes(this.#device, pending.offset, pending.length, (length) => {
      pending.length = length;
      this.#finish(pending);
    });
  }
}
