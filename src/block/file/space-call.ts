/** A way to give a range of a file back, or to zero it. */

import type { IoResult } from '../../base/errno.ts';

export interface SpaceCall {
  /** Done when it returns. */
  now(fd: number, offset: number, length: number): IoResult;
  /** By another thread: on a file system with a journal it may take a tenth of a second. */
  later(fd: number, offset: number, length: number, onEnd: (result: IoResult) => void): void;
}
