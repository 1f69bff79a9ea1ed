/**
 * Bad input by a person: a table, an option, a file. Caught only at the edges (cli, control,
 * handshake).
 */

export interface UserErrorOptions {
  /** What to try instead, one sentence. */
  readonly hint?: string;
  /** The short message that the kernel gives for the same mistake, where it has one. */
  readonly kernelMessage?: string;
  /** The errno with which the kernel, or a system call, refuses it. */
  readonly errno?: number;
  readonly cause?: unknown;
}

/**
 * An error whose message is for the operator: the action that failed, a colon, the value, what is
 * required. `code` is stable and meant for programs, e.g. `"leg-too-small"`.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
  readonly code: string;
  readonly hint: string | undefined;
  readonly kernelMessage: string | undefined;
  readonly errno: number | undefined;

  constructor(code: string, message: string, options: UserErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.kernelMessage = options.kernelMessage;
    this.errno = options.errno;
  }
}
