/**
 * One read or write of a file that goes through the thread pool, continued until it is complete.
 * Objects of this class are used again and again: nothing is allocated per request.
 */

import { read, write } from 'node:fs';
import { EINTR, EIO, errnoOfError, type IoResult, OK } from '../../base/errno.ts';
import { SECTOR_SIZE } from '../../base/units.ts';
import type { Bio } from '../bio.ts';

type Moved = (error: NodeJS.ErrnoException | null, count: number) => void;

type Move = (
  fd: number,
  data: Uint8Array,
  offset: number,
  length: number,
  position: number,
  onEnd: Moved,
) => void;

export class FileTransfer {
  readonly #fd: number;
  readonly #onEnd: (transfer: FileTransfer, bio: Bio, result: IoResult) => void;
  #bio: Bio | null = null;
  #done = 0;
  readonly #moved: Moved = (error, count) => this.#partEnded(error, count);

  constructor(fd: number, onEnd: (transfer: FileTransfer, bio: Bio, result: IoResult) => void) {
    this.#fd = fd;
    this.#onEnd = onEnd;
  }

  start(bio: Bio): void {
    this.#bio = bio;
    this.#done = 0;
    this.#next();
  }

  #next(): void {
    const bio = this.#bio!;
    const data = bio.data!;
    const position = bio.sector * SECTOR_SIZE + this.#done;
    const move: Move = bio.op === 'read' ? read : write;
    move(this.#fd, data, this.#done, data.length - this.#done, position, this.#moved);
  }

  #partEnded(error: NodeJS.ErrnoException | null, count: number): void {
    const bio = this.#bio!;
    if (error !== null) {
      const errno = errnoOfError(error);
      if (errno === EINTR) this.#next();
      else this.#end(errno);
      return;
    }
    this.#done += count;
    if (this.#done === bio.data!.length) this.#end(OK);
    // The end of the file, where there was none: it was cut off behind our back.
    else if (count === 0) this.#end(EIO);
    else this.#next();
  }

  #end(result: IoResult): void {
    const bio = this.#bio!;
    this.#bio = null;
    this.#onEnd(this, bio, result);
  }
}
