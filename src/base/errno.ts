/**
 * Linux errno numbers, and the outcome of I/O as a value.
 *
 * An outcome is 0 or a positive errno; it is returned, never thrown (design, rule 4). Counterpart:
 * `blk_status_t`.
 */

export const OK = 0;
export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const EFBIG = 27;
export const ENOSPC = 28;
export const EROFS = 30;
export const ELOOP = 40;
export const EPROTO = 71;
export const EOVERFLOW = 75;
export const EOPNOTSUPP = 95;
export const ESHUTDOWN = 108;
export const EALREADY = 114;
export const ESTALE = 116;

/** 0 for success, else a positive Linux errno. */
export type IoResult = number;

const NAMES: ReadonlyMap<number, string> = new Map([
  [OK, 'OK'],
  [EPERM, 'EPERM'],
  [ENOENT, 'ENOENT'],
  [ESRCH, 'ESRCH'],
  [EINTR, 'EINTR'],
  [EIO, 'EIO'],
  [ENXIO, 'ENXIO'],
  [EAGAIN, 'EAGAIN'],
  [ENOMEM, 'ENOMEM'],
  [EACCES, 'EACCES'],
  [EBUSY, 'EBUSY'],
  [EEXIST, 'EEXIST'],
  [ENODEV, 'ENODEV'],
  [ENOTDIR, 'ENOTDIR'],
  [EISDIR, 'EISDIR'],
  [EINVAL, 'EINVAL'],
  [EFBIG, 'EFBIG'],
  [ENOSPC, 'ENOSPC'],
  [EROFS, 'EROFS'],
  [ELOOP, 'ELOOP'],
  [EPROTO, 'EPROTO'],
  [EOVERFLOW, 'EOVERFLOW'],
  [EOPNOTSUPP, 'EOPNOTSUPP'],
  [ESHUTDOWN, 'ESHUTDOWN'],
  [EALREADY, 'EALREADY'],
  [ESTALE, 'ESTALE'],
]);

/** "EIO" for 5; "errno 999" for a number without a name here. */
export function errnoName(result: IoResult): string {
  return NAMES.get(result) ?? `errno ${result}`;
}

const NUMBERS: ReadonlyMap<string, number> = new Map(
  [...NAMES].map(([errno, name]) => [name, errno]),
);

/** 5 for "EIO"; null for a name that is not known here. */
export function errnoByName(name: string): IoResult | null {
  return NUMBERS.get(name) ?? null;
}

const TEXTS: ReadonlyMap<number, string> = new Map([
  [EPERM, 'Operation not permitted'],
  [ENOENT, 'No such file or directory'],
  [ESRCH, 'No such process'],
  [EIO, 'Input/output error'],
  [ENXIO, 'No such device or address'],
  [ENOMEM, 'Cannot allocate memory'],
  [EACCES, 'Permission denied'],
  [EBUSY, 'Device or resource busy'],
  [EEXIST, 'File exists'],
  [ENODEV, 'No such device'],
  [ENOTDIR, 'Not a directory'],
  [EISDIR, 'Is a directory'],
  [EINVAL, 'Invalid argument'],
  [ENOSPC, 'No space left on device'],
  [EROFS, 'Read-only file system'],
]);

/** What the C library says of it; its name where that is not known here. */
export function errnoText(errno: number): string {
  return TEXTS.get(errno) ?? errnoName(errno);
}

/** The errno of an error thrown by `node:fs`, EIO where it carries none. */
export function errnoOfError(error: unknown): IoResult {
  const errno = (error as { errno?: unknown } | null)?.errno;
  return typeof errno === 'number' && errno !== 0 ? Math.abs(errno) : EIO;
}
