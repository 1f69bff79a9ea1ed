/**
 * Stories of mirrors that are not in sync: starts, resynchronisations, and tables of another size.
 */

import { SHORT_REGION_GROWN } from '../expected-losses.ts';
import { machineWith, ORDINARY_TABLE, type Scenario } from '../scenario.ts';

const TWO_REGIONS = { sectors: 8, regionSizeSectors: 4 };

export const RECOVERY_SCENARIOS: readonly Scenario[] = [
  {
    name: 'first-start',
    title: 'mirror: start: a new log, cut during start and recovery, twice more (2 legs, disk log)',
    setup: machineWith(TWO_REGIONS),
    log: 'blank',
    endsHealthy: true,
    nested: 2,
    play: async (play) => {
      await play.inSync();
    },
  },
  {
    name: 'dirty-start',
    title: 'mirror: start: one dirty region, cut during start and recovery, twice more (2 legs)',
    setup: machineWith(TWO_REGIONS),
    log: { dirty: [1] },
    endsHealthy: true,
    nested: 2,
    play: async (play) => {
      await play.inSync();
      await play.write(1, 2);
    },
  },
  {
    name: 'writes-during-recovery',
    title: 'mirror: recovery: writes to regions before, in and behind the copy (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [0, 2, 3] },
    endsHealthy: true,
    nested: 1,
    nestedShare: 40,
    play: async (play) => {
      // The copy of region 0 is slow, so that writes meet it while it runs.
      play.slow(1, { ops: ['write'], extent: { sector: 0, count: 8 }, times: 1 }, 3);
      const writes = [play.write(26, 2), play.write(10, 2), play.write(2, 3)];
      await play.sleep(2);
      writes.push(play.write(5, 3), play.write(18, 2, { fua: true }));
      await writes[0];
      writes.push(play.write(27, 2, { fua: true }));
      await Promise.all([...writes, play.flush()]);
      await play.write(20, 2);
      await play.inSync();
      await play.write(2, 1);
    },
  },
  {
    name: 'reads-during-recovery',
    title: 'mirror: recovery: reads of stale, recovering and recovered regions (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [1, 3] },
    endsHealthy: true,
    play: async (play) => {
      for (let round = 0; round < 3; round++) await Promise.all([play.readAll(), play.read(9, 2)]);
    },
  },
  {
    name: 'short-last-region',
    title: 'mirror: geometry: the last region is short (2 legs, disk log, 28 sectors)',
    setup: machineWith({ sectors: 28 }, { legSectors: 32 }),
    log: { dirty: [3] },
    endsHealthy: true,
    nested: 1,
    nestedShare: 4,
    play: async (play) => {
      await play.write(26, 2);
      await play.inSync();
      await Promise.all([play.write(24, 4, { fua: true }), play.write(1, 1)]);
      await play.idle();
      await play.write(27, 1);
    },
  },
  {
    name: 'grown-device',
    title: 'mirror: geometry: restarted with more regions (2 legs, disk log, 24 to 40 sectors)',
    setup: machineWith({ sectors: 24 }, { legSectors: 40 }),
    log: { dirty: [] },
    endsHealthy: true,
    restarts: [{ ...ORDINARY_TABLE, sectors: 40 }],
    nested: 1,
    nestedShare: 4,
    play: async (play) => {
      await play.write(17, 2);
      await play.flush();
      await play.write(9, 1);
    },
  },
  {
    name: 'grown-short-region',
    title: 'mirror: geometry: restarted with a last region that is not short any more (2 legs)',
    setup: machineWith({ sectors: 20 }, { legSectors: 32 }),
    log: { dirty: [] },
    restarts: [ORDINARY_TABLE],
    expectedLosses: [SHORT_REGION_GROWN],
    play: async (play) => {
      await play.write(9, 1, { fua: true });
      await play.write(17, 2, { fua: true });
    },
  },
  {
    name: 'shrunk-device',
    title: 'mirror: geometry: restarted with fewer regions, then with all (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [] },
    endsHealthy: true,
    restarts: [{ ...ORDINARY_TABLE, sectors: 16 }, ORDINARY_TABLE],
    nested: 1,
    nestedShare: 4,
    play: async (play) => {
      await Promise.all([play.write(10, 3), play.write(25, 2, { fua: true })]);
      await play.write(2, 1);
    },
  },
];
