/**
 * How turns of the event loop are shared among connections. A client that sends small requests
 * ahead, as fast as they are taken, has thousands of them in one read; were they all begun at
 * once, those of every other client would wait for tens of milliseconds. So in each turn a
 * connection begins only some, and goes on in the next one, behind all others.
 *
 * Whoever is alone is not held up: batches are as long as its requests come.
 */

import type { Clock } from '../../base/clock.ts';
import { NBD_TURN_SHARE, NBD_TURN_SHARE_BYTES, NBD_TURNS_SHARED_MS } from '../../base/limits.ts';

/** What the connections of a server know of each other. */
export class Turns {
  readonly #clock: Clock;
  #latest: TurnShare | null = null;
  /** When a connection sent requests that was not the latest to do so. */
  #changedAt = Number.NEGATIVE_INFINITY;
  #number = 0;
  #endIsDeferred = false;
  readonly #end = (): void => {
    this.#number += 1;
    this.#endIsDeferred = false;
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** More than one connection has sent requests lately. */
  get shared(): boolean {
    return this.#clock.now() - this.#changedAt < NBD_TURNS_SHARED_MS;
  }

  /** The number of the present turn, in which `share` is about to be used. */
  enter(share: TurnShare): number {
    if (share !== this.#latest) {
      if (this.#latest !== null) this.#changedAt = this.#clock.now();
      this.#latest = share;
    }
    if (!this.#endIsDeferred) {
      this.#endIsDeferred = true;
      this.#clock.defer(this.#end);
    }
    return this.#number;
  }

  /** `task` follows in the next turn, behind all who wait for theirs already. */
  next(task: () => void): void {
    this.#clock.defer(task);
  }
}

/** The share of one connection. */
export class TurnShare {
  readonly #turns: Turns;
  readonly #onTurn: () => void;
  #turn = -1;
  #left = 0;
  #waiting = false;

  readonly #turnCame = (): void => {
    this.#waiting = false;
    this.#onTurn();
  };

  /** `onTurn` is called when a share that was found spent is whole again. */
  constructor(turns: Turns, onTurn: () => void) {
    this.#turns = turns;
    this.#onTurn = onTurn;
  }

  /** Nothing may begin until `onTurn`. */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** To be called before requests are begun, as often as one likes in a turn. */
  enter(): void {
    const turn = this.#turns.enter(this);
    if (turn === this.#turn) return;
    this.#turn = turn;
    this.#left = NBD_TURN_SHARE;
  }

  /** A request with so much payload begins. */
  charge(bytes: number): void {
    this.#left -= 1 + bytes / NBD_TURN_SHARE_BYTES;
  }

  /** True when the next request must wait for `onTurn`. */
  spent(): boolean {
    if (this.#left > 0) return false;
    if (!this.#turns.shared) {
      this.#left = NBD_TURN_SHARE;
      return false;
    }
    this.#waiting = true;
    this.#turns.next(this.#turnCame);
    return true;
  }
}
