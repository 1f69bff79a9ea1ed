/** Stories of healthy mirrors: what a client writes, and the power that goes. */

import { machineWith, type Scenario } from '../scenario.ts';

export const WRITE_SCENARIOS: readonly Scenario[] = [
  {
    name: 'single-write',
    title: 'mirror: write: one write to one region (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [] },
    endsHealthy: true,
    nested: 1,
    play: async (play) => {
      await play.write(9, 3);
      await play.idle();
    },
  },
];
