/**
 * The text of a CTR: `<target length> <implementation> <arguments>...` (specification 1.2, 10.4).
 */

import { EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import { type SectorCount, toSectorCount } from '../base/units.ts';
import type { LogImplementation } from './served-log.ts';

export interface Construction {
  readonly implementation: LogImplementation;
  readonly targetSectors: SectorCount;
  readonly args: readonly string[];
}

/** @throws UserError naming the word and the requirement. */
export function parseConstructor(
  uuid: string,
  text: string,
  implementations: readonly LogImplementation[],
): Construction {
  const [length, name, ...args] = text.split(/[ \t\n]+/).filter((word) => word !== '');
  if (uuid === '') throw refused('uuid is empty, must be a name');
  const sectors = /^[0-9]{1,16}$/.test(length ?? '') ? Number(length) : Number.NaN;
  if (!Number.isSafeInteger(sectors) || sectors === 0) {
    throw refused(`length is ${quoted(length)}, must be a positive number of sectors`);
  }
  const implementation = implementations.find((candidate) => candidate.name === name);
  if (implementation === undefined) {
    const known = implementations.map((candidate) => candidate.name).join(', ');
    throw refused(`implementation is ${quoted(name)}, must be one of ${known}`);
  }
  return { implementation, targetSectors: toSectorCount(sectors), args };
}

function refused(problem: string): UserError {
  return new UserError('log-constructor', `Cannot create log: ${problem}`, { errno: EINVAL });
}
