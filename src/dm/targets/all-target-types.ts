/** The visible list of the target types that need nothing but devices. */

import type { TargetType } from '../target.ts';
import { delayTargetType } from './delay-target.ts';
import { errorTargetType } from './error-target.ts';
import { flakeyTargetType } from './flakey-target.ts';
import { linearTargetType } from './linear-target.ts';
import { stripedTargetType } from './striped-target.ts';
import { zeroTargetType } from './zero-target.ts';

export const PLAIN_TARGET_TYPES: readonly TargetType[] = [
  stripedTargetType,
  linearTargetType,
  errorTargetType,
  zeroTargetType,
  delayTargetType,
  flakeyTargetType,
];
