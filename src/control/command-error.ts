/**
 * A verb that was refused, with the line that `dmsetup` prints for it: scripts know that line,
 * people need ours beside it.
 */

import { EINVAL, ENODEV, ENOENT, errnoText } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';

export interface CommandErrorOptions {
  /** `dmsetup` says no more than its line: not that the command failed. */
  readonly isTerse?: boolean;
}

export class CommandError extends UserError {
  readonly dmsetupLine: string;
  readonly isTerse: boolean;

  constructor(cause: UserError, dmsetupLine: string, options: CommandErrorOptions = {}) {
    const { code, message, hint, kernelMessage, errno } = cause;
    super(code, message, {
      ...(hint === undefined ? {} : { hint }),
      ...(kernelMessage === undefined ? {} : { kernelMessage }),
      errno: errno ?? EINVAL,
      cause,
    });
    this.dmsetupLine = dmsetupLine;
    this.isTerse = options.isTerse ?? false;
  }
}

/**
 * Does what the kernel does in the ioctl of that name; a refusal reads as `dmsetup` tells it.
 * `subject` is the name and, behind a space, the uuid or number, each possibly empty. Null where
 * `dmsetup` has no such thing.
 *
 * @throws CommandError for a refusal.
 */
export async function ioctl<T>(
  name: string | null,
  subject: string,
  work: () => T | Promise<T>,
): Promise<T> {
  if (name === null) return work();
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError) || error instanceof CommandError) throw error;
    // The kernel looks for a device at a path; that the path is missing is no matter to it.
    const errno = error.errno === ENOENT ? ENODEV : (error.errno ?? EINVAL);
    const reason = errnoText(errno);
    throw new CommandError(error, `device-mapper: ${name} ioctl on ${subject} failed: ${reason}`);
  }
}
