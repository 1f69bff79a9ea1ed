/** Every named scenario: a visible list. */

import { UserError } from '../../base/failure.ts';
import { quoted } from '../../base/printable.ts';
import type { Scenario } from '../scenario.ts';
import { FAILURE_SCENARIOS } from './failures.ts';
import { LEG_FAILURE_SCENARIOS } from './leg-failures.ts';
import { RECOVERY_SCENARIOS } from './recovery.ts';
import { WRITE_SCENARIOS } from './writes.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...WRITE_SCENARIOS,
  ...RECOVERY_SCENARIOS,
  ...LEG_FAILURE_SCENARIOS,
  ...FAILURE_SCENARIOS,
];

/** @throws UserError for a name that is none. */
export function findScenario(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found !== undefined) return found;
  throw new UserError(
    'unknown-scenario',
    `Cannot run a crash scenario: name is ${quoted(name)}, which is none`,
    { hint: '"nbd-mirror crash --list" shows the names.' },
  );
}
