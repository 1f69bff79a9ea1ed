/** How a refusal is told: as JSON with a fitting HTTP status, and as the text of a command line. */

import { errnoName } from '../base/errno.ts';
import type { UserError } from '../base/failure.ts';
import { escapeControls } from '../base/printable.ts';
import { CommandError } from './command-error.ts';

export interface ErrorReply {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** The short message of the kernel for the same mistake. */
  readonly kernelMessage?: string;
  readonly errno?: string;
  /** What `dmsetup` prints. */
  readonly dmsetupLine?: string;
  /** And that is all that it prints. */
  readonly terse?: true;
}

export type ErrorStatus = 400 | 401 | 404 | 405 | 409 | 413;

const STATUS_BY_CODE: Readonly<Record<string, ErrorStatus>> = {
  'no-fault': 404,
  'no-fault-place': 404,
  'no-leg': 404,
  'out-of-sync': 409,
  'leg-failed': 409,
  suspended: 409,
  'table-loaded': 409,
  'copy-exists': 409,
  unauthorized: 401,
  'no-device': 404,
  'unknown-verb': 404,
  'unknown-path': 404,
  'method-not-allowed': 405,
  'device-exists': 409,
  'device-busy': 409,
  'body-too-large': 413,
};

export function statusOf(error: UserError): ErrorStatus {
  return Object.hasOwn(STATUS_BY_CODE, error.code) ? STATUS_BY_CODE[error.code]! : 400;
}

export function replyOf(error: UserError): ErrorReply {
  const { code, message, hint, kernelMessage, errno } = error;
  return {
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(kernelMessage === undefined ? {} : { kernelMessage }),
    ...(errno === undefined ? {} : { errno: errnoName(errno) }),
    ...(error instanceof CommandError ? { dmsetupLine: error.dmsetupLine } : {}),
    ...(error instanceof CommandError && error.isTerse ? { terse: true } : {}),
  };
}

/** First `dmsetup`'s line, which scripts look for; then ours, which says what to do. */
export function formatError(reply: ErrorReply): string {
  const { dmsetupLine, message, kernelMessage, hint, terse = false } = reply;
  const lines = [
    ...(dmsetupLine?.split('\n') ?? []),
    `nbd-mirror: ${message}`,
    ...(kernelMessage === undefined ? [] : [`  the kernel says: ${kernelMessage}`]),
    ...(hint === undefined ? [] : [`  hint: ${hint}`]),
    ...(terse ? [] : ['Command failed.']),
  ];
  return lines.map((line) => `${escapeControls(line)}\n`).join('');
}
