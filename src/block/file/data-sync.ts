/**
 * `fdatasync` shared by all who ask for it at the same time.
 *
 * Invariants: whoever asks is answered by a sync that *began* after the question, since one that
 * was under way does not cover what was written meanwhile. And a failed sync is final: the kernel
 * reports lost pages once and then forgets them, so that a later success would vouch for data that
 * is gone.
 */

import { errnoName, errnoOfError, type IoResult, OK } from '../../base/errno.ts';
import type { Bio } from '../bio.ts';

/** Starts a sync and tells when it has ended. */
export type StartSync = (onEnd: (error: Error | null) => void) => void;

export class DataSync {
  readonly #name: string;
  readonly #startSync: StartSync;
  /** Their sync is under way. */
  #covered: Bio[] = [];
  /** They came later and need the next one. */
  #waiting: Bio[] = [];
  #isRunning = false;
  #failure: IoResult = OK;
  readonly #synced = (error: Error | null): void => this.#syncEnded(error);

  constructor(name: string, startSync: StartSync) {
    this.#name = name;
    this.#startSync = startSync;
  }

  /** Ends `bio` once everything that was written before this call is on stable storage. */
  end(bio: Bio): void {
    if (this.#failure !== OK) {
      this.#fail(bio);
      return;
    }
    this.#waiting.push(bio);
    if (!this.#isRunning) this.#start();
  }

  #start(): void {
    [this.#covered, this.#waiting] = [this.#waiting, this.#covered];
    this.#isRunning = true;
    this.#startSync(this.#synced);
  }

  #syncEnded(error: Error | null): void {
    if (error !== null) this.#failure = errnoOfError(error);
    const ended = this.#covered;
    this.#covered = [];
    this.#isRunning = false;
    if (this.#waiting.length > 0 && this.#failure === OK) this.#start();
    for (const bio of ended) {
      if (error === null) bio.end(OK);
      else this.#fail(bio);
    }
    if (this.#failure === OK) return;
    for (const bio of this.#waiting.splice(0)) this.#fail(bio);
  }

  #fail(bio: Bio): void {
    bio.fail(
      this.#failure,
      `Cannot flush "${this.#name}": fdatasync failed with ${errnoName(this.#failure)}, ` +
        'and what was written may be lost',
    );
  }
}
