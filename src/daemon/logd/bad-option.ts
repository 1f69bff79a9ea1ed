/** An option of `logd` that cannot be used. */

import { UserError } from '../../base/failure.ts';

export function badOption(problem: string): UserError {
  return new UserError('bad-logd-option', `Cannot serve logs: ${problem}`);
}
