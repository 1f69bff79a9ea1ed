/** Outcomes of a device to error numbers of the NBD protocol; nothing else goes on the wire. */

import {
  EACCES,
  EINVAL,
  EIO,
  ENOSPC,
  EOPNOTSUPP,
  EPERM,
  EROFS,
  ESHUTDOWN,
  type IoResult,
} from '../base/errno.ts';
import { NBD_ERRORS } from './constants.ts';

/** File too large, and quota exceeded: to a client both mean that there is no room. */
const EFBIG = 27;
const EDQUOT = 122;

const MAP: ReadonlyMap<IoResult, number> = new Map([
  [EPERM, NBD_ERRORS.EPERM],
  [EACCES, NBD_ERRORS.EPERM],
  [EROFS, NBD_ERRORS.EPERM],
  [EINVAL, NBD_ERRORS.EINVAL],
  // ENOTSUP is reserved for a zeroing that would not be fast.
  [EOPNOTSUPP, NBD_ERRORS.EINVAL],
  [ENOSPC, NBD_ERRORS.ENOSPC],
  [EFBIG, NBD_ERRORS.ENOSPC],
  [EDQUOT, NBD_ERRORS.ENOSPC],
  [ESHUTDOWN, NBD_ERRORS.ESHUTDOWN],
]);

/** The number for a failed request; whatever the medium did otherwise is EIO. */
export function toNbdError(result: IoResult): number {
  return MAP.get(result) ?? NBD_ERRORS.EIO;
}

/** What a device on another server made of a request; whatever else it says is EIO. */
export function fromNbdError(error: number): IoResult {
  return error === NBD_ERRORS.ENOSPC ? ENOSPC : EIO;
}
