/** How requests of a client, and clients themselves, fail. */

import { nbdErrorName } from '../constants.ts';

/** The server answered with an error; `code` is its number in the NBD protocol. */
export class NbdError extends Error {
  override readonly name = 'NbdError';
  readonly code: number;
  /** What the server said in words; "" where replies are simple. */
  readonly text: string;

  constructor(command: string, code: number, text = '') {
    super(`${command}: ${nbdErrorName(code)}${text === '' ? '' : ` (${text})`}`);
    this.code = code;
    this.text = text;
  }
}

/**
 * The connection ended or could not be made: whether a request in flight took effect is unknown.
 */
export class NbdConnectionError extends Error {
  override readonly name: string = 'NbdConnectionError';
}

/** The server understood and does not want; `reply` is the type of its option reply. */
export class NbdRefusal extends NbdConnectionError {
  readonly reply: number;

  constructor(message: string, reply: number) {
    super(message);
    this.reply = reply;
  }
}
