/**
 * The transfers of one file that go through the thread pool: a few at a time, the others in order.
 *
 * The pool is shared by all devices and has four threads: a device that is slow must leave one to
 * the others, as long as it does not sync as well.
 *
 * Writes to the same place are carried out in the order in which they came. Clients may not rely on
 * any, but the legs of a mirror get them in the same order, and must not differ in the end.
 */

import type { IoResult } from '../../base/errno.ts';
import type { Bio } from '../bio.ts';
import { FileTransfer } from './file-transfer.ts';
import { conflictsWith } from './write-conflicts.ts';

const AT_ONCE = 3;

export class PooledTransfers {
  readonly #fd: number;
  readonly #onEnd: (bio: Bio, result: IoResult) => void;
  readonly #spare: FileTransfer[] = [];
  readonly #running: Bio[] = [];
  readonly #waiting: Bio[] = [];
  readonly #ended = (transfer: FileTransfer, bio: Bio, result: IoResult): void => {
    this.#spare.push(transfer);
    this.#running.splice(this.#running.indexOf(bio), 1);
    this.#startWaiting();
    this.#onEnd(bio, result);
  };

  constructor(fd: number, onEnd: (bio: Bio, result: IoResult) => void) {
    this.#fd = fd;
    this.#onEnd = onEnd;
  }

  /** Transfers now or later; `onEnd` is called then. */
  start(bio: Bio): void {
    if (this.#running.length < AT_ONCE && !this.mustFollow(bio)) this.#run(bio);
    else this.#waiting.push(bio);
  }

  /** A write to the same place is in progress here. */
  mustFollow(bio: Bio): boolean {
    if (this.#running.length === 0 || bio.op !== 'write') return false;
    return conflictsWith(bio, this.#running) || conflictsWith(bio, this.#waiting);
  }

  /** In their order, but those that follow nobody need not wait for those that do. */
  #startWaiting(): void {
    const waiting = this.#waiting;
    for (let index = 0; index < waiting.length && this.#running.length < AT_ONCE; ) {
      const bio = waiting[index]!;
      const earlier = waiting.slice(0, index);
      if (conflictsWith(bio, this.#running) || conflictsWith(bio, earlier)) {
        index += 1;
      } else {
        waiting.splice(index, 1);
        this.#run(bio);
      }
    }
  }

  #run(bio: Bio): void {
    this.#running.push(bio);
    const transfer = this.#spare.pop() ?? new FileTransfer(this.#fd, this.#ended);
    transfer.start(bio);
  }
}
