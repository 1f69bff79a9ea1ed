/**
 * The transfers of one file that go through the thread pool: a few at a time, the others in order.
 *
 * The pool is shared by all devices and has four threads: a device that is slow must leave one to
 * the others, as long as it does not sync as well.
 */

import type { IoResult } from '../base/errno.ts';
import type { Bio } from './bio.ts';
import { FileTransfer } from './file-transfer.ts';

const AT_ONCE = 3;

export class PooledTransfers {
  readonly #fd: number;
  readonly #onEnd: (bio: Bio, result: IoResult) => void;
  readonly #spare: FileTransfer[] = [];
  #running = 0;
  #waiting: Bio[] = [];
  /** Those before it in `#waiting` have begun. */
  #firstWaiting = 0;
  readonly #ended = (transfer: FileTransfer, bio: Bio, result: IoResult): void => {
    this.#spare.push(transfer);
    this.#running -= 1;
    this.#startNext();
    this.#onEnd(bio, result);
  };

  constructor(fd: number, onEnd: (bio: Bio, result: IoResult) => void) {
    this.#fd = fd;
    this.#onEnd = onEnd;
  }

  /** Transfers now or later; `onEnd` is called then. */
  start(bio: Bio): void {
    if (this.#running < AT_ONCE) this.#run(bio);
    else this.#waiting.push(bio);
  }

  #startNext(): void {
    if (this.#firstWaiting === this.#waiting.length) return;
    const bio = this.#waiting[this.#firstWaiting]!;
    this.#firstWaiting += 1;
    if (this.#firstWaiting === this.#waiting.length) {
      this.#waiting = [];
      this.#firstWaiting = 0;
    }
    this.#run(bio);
  }

  #run(bio: Bio): void {
    this.#running += 1;
    const transfer = this.#spare.pop() ?? new FileTransfer(this.#fd, this.#ended);
    transfer.start(bio);
  }
}
