/** The verb that measures how promptly the daemon turns to whatever waits for it. */

import * as v from 'valibot';
import { defineVerb } from '../verb.ts';
import { formatLoopDelays, measureLoopDelays } from './loop-delays.ts';

const SECONDS_MAX = 3600;

export const stallsVerb = defineVerb({
  name: 'stalls',
  usage: '[<seconds>]',
  summary: 'measure for a while how long the event loop is held up',
  readsOnly: true,
  input: v.strictObject(
    {
      seconds: v.optional(
        v.pipe(
          v.number('must be a number'),
          v.gtValue(0, 'must be more than 0'),
          v.maxValue(SECONDS_MAX, `must be at most ${SECONDS_MAX}`),
        ),
        10,
      ),
    },
    'must be an object',
  ),
  run: async ({ control, input, signal }) => {
    const delays = await measureLoopDelays(control.host.clock, input.seconds * 1000, signal);
    return { json: delays, text: formatLoopDelays(delays) };
  },
});
