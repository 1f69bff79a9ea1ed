/** The words `DEVICE OFFSET` that many targets begin with. */

import { EINVAL } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { quoted } from '../../base/printable.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import { parseUnsigned, SECTOR_MAX } from '../parse-number.ts';
import type { TargetContext } from '../target-context.ts';
import type { Stretch } from './forward-bio.ts';

/** The kernel's message is the same for every problem where one is given. */
export interface StretchWords {
  readonly device: string;
  readonly offset: string;
  readonly kernelMessage?: string;
}

/** Offset first, then the device, as the kernel judges them. @throws UserError */
export async function openStretch(
  context: TargetContext,
  typeName: string,
  words: StretchWords,
): Promise<Stretch> {
  const offset = parseUnsigned(words.offset, SECTOR_MAX);
  if (offset === null) {
    throw targetError(
      typeName,
      `offset is ${quoted(words.offset)}, must be a number of sectors`,
      words.kernelMessage ?? 'Invalid device sector',
    );
  }
  return { device: await openDevice(context, typeName, words), offset };
}

async function openDevice(
  context: TargetContext,
  typeName: string,
  { device, kernelMessage }: StretchWords,
): Promise<BlockDevice> {
  try {
    return await context.getDevice(device);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, `Cannot create ${typeName} target: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.errno === undefined ? {} : { errno: error.errno }),
      kernelMessage: kernelMessage ?? 'Device lookup failed',
      cause: error,
    });
  }
}

export function targetError(typeName: string, problem: string, kernelMessage: string): UserError {
  return new UserError(`bad-${typeName}-table`, `Cannot create ${typeName} target: ${problem}`, {
    kernelMessage,
    errno: EINVAL,
  });
}
