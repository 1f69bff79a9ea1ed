/** What came of a command, and why, in the kernel's words, it was refused. */

import {
  EBUSY,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENXIO,
  EOPNOTSUPP,
  EROFS,
  errnoName,
} from '../../../src/base/errno.ts';
import { UserError } from '../../../src/base/failure.ts';

export interface Outcome {
  /** Lines; null: one that has no counterpart here and is compared with nothing. */
  readonly output: readonly (string | null)[];
  readonly status: number;
  /** Why it was refused, in the kernel's words. */
  readonly reasons: readonly Reason[];
  /** The kernel lists what happens to be loaded: what it lists must be among ours. */
  readonly listsMore?: boolean;
}

/** One of the kernel's messages, without what stands around it. */
export interface Reason {
  readonly message: string;
  /** `EINVAL`; where the kernel does not say it, null. */
  readonly errno: string | null;
}

/** The transcript has something that the interpreter does not know. */
export class NotUnderstood extends Error {}

export function succeeded(output: readonly (string | null)[] = []): Outcome {
  return { output, status: 0, reasons: [] };
}

export function failed(...output: string[]): Outcome {
  return { output, status: 1, reasons: [] };
}

const ERROR_TEXTS: ReadonlyMap<number, string> = new Map([
  [ENOENT, 'No such file or directory'],
  [EIO, 'Input/output error'],
  [ENXIO, 'No such device or address'],
  [ENOMEM, 'Cannot allocate memory'],
  [EBUSY, 'Device or resource busy'],
  [ENODEV, 'No such device'],
  [EINVAL, 'Invalid argument'],
  [ENOSPC, 'No space left on device'],
  [EROFS, 'Read-only file system'],
  [EOPNOTSUPP, 'Operation not supported'],
]);

/** As strerror() says it. */
export function errorText(errno: number | undefined): string {
  if (errno === undefined) return '(an error without errno)';
  return ERROR_TEXTS.get(errno) ?? errnoName(errno);
}

/** An error and its causes, the cause first, as the kernel says them. */
export function reasonsOf(error: UserError): Reason[] {
  const before = error.cause instanceof UserError ? reasonsOf(error.cause) : [];
  if (error.kernelMessage === undefined) return before;
  const errno = error.errno === undefined ? null : errnoName(error.errno);
  return [...before, { message: error.kernelMessage, errno }];
}

/** Said after every refusal of that kind, whatever the reason. */
const CONSEQUENCES = new Set([
  'device-mapper: ioctl: error adding target to table',
  'device-mapper: core: Cannot calculate initial queue limits',
  'device-mapper: ioctl: unable to set up device queue for new table.',
  // By the first table with such a log.
  'device-mapper: dm-log-userspace: version 1.3.0 loaded',
]);

/** The kernel's own reasons in the messages that a refused command left. */
export function reasonsIn(messages: readonly string[]): Reason[] {
  return messages.filter((line) => !CONSEQUENCES.has(line)).map(reasonIn);
}

function reasonIn(line: string): Reason {
  const place = '(?:table: \\d+:\\d+(?:: \\w+(?=: ))?|dirty region log|dm-log-\\w+|ioctl)';
  const found = new RegExp(`^device-mapper: ${place}: (.*?)(?: \\(-(E[A-Z]+)\\))?$`).exec(line);
  if (found === null) throw new NotUnderstood(`the kernel's message "${line}"`);
  return { message: found[1]!, errno: found[2] ?? null };
}

/** Equal, as far as the kernel says it. */
export function sameReasons(kernel: readonly Reason[], ours: readonly Reason[]): boolean {
  return (
    kernel.length === ours.length &&
    kernel.every(({ message, errno }, index) => {
      const other = ours[index]!;
      return message === other.message && (errno === null || errno === other.errno);
    })
  );
}

export function formatReason({ message, errno }: Reason): string {
  return errno === null ? message : `${message} (-${errno})`;
}
