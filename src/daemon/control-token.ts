/** The token that lets people drive the daemon over TCP: from a file of its owner, or made. */

import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, writeSync } from 'node:fs';
import { errnoName, errnoOfError } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';

const TOKEN_BYTES = 24;
const TOKEN_LENGTH_MIN = 16;
/** Nobody else may read, or change, what lets people in. */
const MODE_OF_OTHERS = 0o077;

export function makeToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

/** What the file holds; where there is none, one with a new token is made. @throws UserError */
export function readOrMakeToken(path: string): string {
  try {
    const fd = openSync(path, 'wx', 0o600);
    try {
      const token = makeToken();
      writeSync(fd, `${token}\n`);
      return token;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return readToken(path);
    throw badTokenFile(path, errnoName(errnoOfError(error)), error);
  }
}

/** @throws UserError for a file that is missing, open to others, or holds no token. */
export function readToken(path: string): string {
  let text: string;
  let mode: number;
  try {
    const fd = openSync(path, 'r');
    try {
      mode = fstatSync(fd).mode;
      text = readFileSync(fd, 'utf8').trim();
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw badTokenFile(path, errnoName(errnoOfError(error)), error);
  }
  if ((mode & MODE_OF_OTHERS) !== 0) {
    throw badTokenFile(path, `its mode is ${(mode & 0o777).toString(8)}, must be 600`);
  }
  if (text.length < TOKEN_LENGTH_MIN || !/^[\x21-\x7e]+$/.test(text)) {
    throw badTokenFile(
      path,
      `it holds no token, must hold at least ${TOKEN_LENGTH_MIN} printable characters`,
    );
  }
  return text;
}

function badTokenFile(path: string, problem: string, cause?: unknown): UserError {
  return new UserError('token-file', `Cannot use token file "${path}": ${problem}`, {
    ...(cause === undefined ? {} : { cause }),
  });
}
