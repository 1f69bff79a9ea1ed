/** The words `DEVICE OFFSET` that many targets begin with. */

import { EINVAL } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { parseUnsigned, SECTOR_MAX } from '../parse-number.ts';
import type { TargetContext } from '../target-context.ts';
import type { Stretch } from './forward-bio.ts';

/** Offset first, then the device, as the kernel judges them. @throws UserError */
export async function openStretch(
  context: TargetContext,
  typeName: string,
  words: { readonly device: string; readonly offset: string },
): Promise<Stretch> {
  const offset = parseUnsigned(words.offset, SECTOR_MAX);
  if (offset === null) {
    throw targetError(
      typeName,
      `offset is "${words.offset.slice(0, 80)}", must be a number of sectors`,
      'Invalid device sector',
    );
  }
  return { device: await context.getDevice(words.device), offset };
}

export function targetError(typeName: string, problem: string, kernelMessage: string): UserError {
  return new UserError(`bad-${typeName}-table`, `Cannot create ${typeName} target: ${problem}`, {
    kernelMessage,
    errno: EINVAL,
  });
}
