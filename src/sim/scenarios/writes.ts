/** Stories of healthy mirrors: what clients write, and the power that goes. */

import { NOSYNC_WORD, RACING_WRITES } from '../expected-losses.ts';
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
  {
    name: 'overlapping-writes',
    title: 'mirror: write: two writes at a time in one region, one ends first (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [] },
    endsHealthy: true,
    play: async (play) => {
      play.slow(0, { ops: ['write'], extent: { sector: 12, count: 2 } }, 3);
      play.slow(1, { ops: ['write'], extent: { sector: 12, count: 2 } }, 5);
      const slow = play.write(12, 2);
      const quick = play.write(8, 4);
      await quick;
      await play.write(9, 2);
      await Promise.all([slow, play.write(10, 1)]);
    },
  },
  {
    name: 'racing-writes',
    title: 'mirror: write: two writes at a time to the same sectors (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [] },
    expectedLosses: [RACING_WRITES],
    play: async (play) => {
      // The first write overtaken on leg 1, the second kept behind on leg 0.
      const extent = { sector: 8, count: 2 };
      play.slow(1, { ops: ['write'], extent, times: 1 }, 2);
      play.slow(0, { ops: ['write'], extent, skip: 1, times: 1 }, 2);
      await Promise.all([play.write(8, 2), play.write(8, 2)]);
      await play.idle();
    },
  },
  {
    name: 'many-regions',
    title: 'mirror: write: one batch over all regions, then some again (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [] },
    endsHealthy: true,
    play: async (play) => {
      await Promise.all([0, 8, 16, 24].map((sector) => play.write(sector + 1, 2)));
      await Promise.all([play.write(5, 6), play.write(26, 2, { fua: true })]);
    },
  },
  {
    name: 'rewrite-after-clear',
    title: 'mirror: write: the same sectors again after the region was cleared (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [] },
    endsHealthy: true,
    play: async (play) => {
      await play.write(17, 2);
      await play.idle();
      await play.write(17, 2);
      await play.write(18, 2);
      await play.idle();
      await play.write(17, 1, { fua: true });
    },
  },
  {
    name: 'clear-delay',
    title: 'mirror: write: regions that are cleared later are written to again (2 legs, disk log)',
    setup: machineWith({ clearDelayMs: 20 }),
    log: { dirty: [2] },
    endsHealthy: true,
    nested: 1,
    nestedShare: 8,
    play: async (play) => {
      await play.write(1, 2);
      await Promise.all([play.write(2, 2), play.write(25, 1)]);
      await play.idle();
      await play.write(3, 2);
      await play.suspend({ noflush: false });
      await play.resume();
      await play.write(2, 3, { fua: true });
    },
  },
  {
    name: 'flush-and-fua',
    title: 'mirror: flush: FUA writes, flushes and writes around them (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [] },
    endsHealthy: true,
    play: async (play) => {
      await play.write(3, 3, { fua: true });
      const during = play.write(10, 2);
      await play.write(4, 1);
      await play.flush();
      await Promise.all([during, play.write(5, 2, { fua: true }), play.flush()]);
      // While a write is in flight its region is not cleared: nothing but the flush saves the
      // others.
      play.slow(0, { ops: ['write'], extent: { sector: 22, count: 1 } }, 6);
      play.slow(0, { ops: ['flush'] }, 1);
      const slow = play.write(22, 1);
      await play.write(17, 2);
      await play.flush();
      await slow;
      await play.write(11, 1);
    },
  },
  {
    name: 'no-cache-legs',
    title: 'mirror: flush: legs without a cache, a log with one (2 legs, disk log)',
    setup: machineWith({}, { legProfile: 'no-cache' }),
    log: { dirty: [] },
    endsHealthy: true,
    play: async (play) => {
      await Promise.all([play.write(3, 3), play.write(12, 2)]);
      await play.flush();
      await play.write(4, 3);
    },
  },
  {
    name: 'discards',
    title: 'mirror: discard: legs that disagree about discarded sectors (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [2] },
    endsHealthy: true,
    play: async (play) => {
      await play.write(8, 4, { fua: true });
      await Promise.all([play.discard(6, 12), play.write(25, 2)]);
      await play.write(9, 1, { fua: true });
    },
  },
  {
    name: 'suspend-resume',
    title: 'mirror: suspend: writes before, during and after (2 legs, disk log)',
    setup: machineWith(),
    log: { dirty: [3] },
    endsHealthy: true,
    play: async (play) => {
      const before = play.write(2, 3);
      const suspended = play.suspend({ noflush: false });
      const during = play.write(5, 2);
      await Promise.all([before, suspended]);
      await play.resume();
      await during;
      await play.suspend({ noflush: true });
      await play.resume();
      await play.write(10, 1, { fua: true });
    },
  },
  {
    name: 'three-legs',
    title: 'mirror: write: writes and a flush (3 legs, disk log)',
    setup: machineWith({ legs: [0, 1, 2], sectors: 16 }),
    log: { dirty: [1] },
    endsHealthy: true,
    play: async (play) => {
      await Promise.all([play.write(1, 2), play.write(9, 2, { fua: true })]);
      await play.flush();
    },
  },
  {
    name: 'core-log',
    title: 'mirror: core log: every start copies everything (2 legs)',
    setup: machineWith({ log: 'core', sectors: 16 }),
    log: 'blank',
    endsHealthy: true,
    play: async (play) => {
      await Promise.all([play.write(1, 2), play.write(9, 2, { fua: true })]);
      await play.inSync();
      await play.write(2, 3);
      await play.flush();
    },
  },
  {
    name: 'core-nosync',
    title: 'mirror: core log: declared in sync at every start (2 legs)',
    setup: machineWith({ log: 'core', syncWord: 'nosync', sectors: 16 }),
    log: 'blank',
    expectedLosses: [NOSYNC_WORD],
    play: async (play) => {
      await play.write(1, 2);
      await play.idle();
    },
  },
  {
    name: 'disk-nosync',
    title: 'mirror: disk log: nosync throws the stored bits away at every start (2 legs)',
    setup: machineWith({ syncWord: 'nosync', sectors: 16 }),
    log: { dirty: [] },
    expectedLosses: [NOSYNC_WORD],
    play: async (play) => {
      await play.write(1, 2);
      await play.idle();
    },
  },
  {
    name: 'disk-sync-word',
    title: 'mirror: disk log: sync makes every start copy everything (2 legs)',
    setup: machineWith({ syncWord: 'sync', sectors: 16 }),
    log: { dirty: [] },
    play: async (play) => {
      await Promise.all([play.write(1, 2), play.write(9, 2, { fua: true })]);
      await play.idle();
    },
  },
];
