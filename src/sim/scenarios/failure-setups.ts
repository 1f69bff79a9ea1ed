/** What stories of failures share: small machines, the modes, and what may come of a request. */

import { EIO, OK } from '../../base/errno.ts';
import type { ExpectedLoss } from '../findings.ts';
import type { MirrorFeature } from '../machine/machine-setup.ts';
import type { Scenario } from '../scenario.ts';

export const SMALL = { sectors: 24 };
export const HOLDING: readonly MirrorFeature[] = ['handle_errors'];
export const KEEPING: readonly MirrorFeature[] = ['handle_errors', 'keep_log'];
export const MAY_FAIL = { allow: [OK, EIO] };
export const FAILS = { allow: [EIO] };

export function withLosses(...expectedLosses: ExpectedLoss[]): Pick<Scenario, 'expectedLosses'> {
  return { expectedLosses };
}
