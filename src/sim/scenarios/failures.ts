/** Stories of flushes, logs and copies that fail, in each mode (specification 2.8, 3.5, 5.3). */

import { EIO } from '../../base/errno.ts';
import {
  FAILED_COPY_IN_SYNC,
  FAILURE_UNMARKED,
  LEG_ERROR_FORGIVEN,
  LEG_FAILURE_IGNORED,
  STALE_READ,
  UNLOGGED_WRITES,
  ZEROES_COPIED,
} from '../expected-losses.ts';
import { machineWith, ORDINARY_TABLE, type Scenario } from '../scenario.ts';
import { FAILS, HOLDING, KEEPING, MAY_FAIL, SMALL, withLosses } from './failure-setups.ts';

const FLUSH_SCENARIOS: readonly Scenario[] = [
  {
    name: 'leg-flush-fails-for-log',
    title: 'mirror: leg failure: a leg cannot flush before a clear (2 legs, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [] },
    play: async (play) => {
      await play.write(9, 2);
      await play.idle();
      play.fail(1, { ops: ['flush'], times: 1 }, { result: EIO });
      await play.write(1, 2);
      await play.idle();
      await play.expectHealth('AF');
      await play.write(17, 2, { fua: true });
      await play.idle();
    },
  },
  ...([0, 1] as const).map(
    (leg): Scenario => ({
      name: `leg-${leg}-flush-ignored`,
      title: `mirror: leg failure: leg ${leg} fails a client's flush (2 legs, no features)`,
      setup: machineWith(SMALL),
      log: { dirty: [] },
      ...(leg === 0 ? withLosses(LEG_FAILURE_IGNORED) : {}),
      play: async (play) => {
        // Slow legs: the region is still dirty when the client's flush comes.
        play.slow(0, { ops: ['write'], extent: { sector: 2, count: 1 } }, 9);
        play.fail(leg, { ops: ['flush'], times: 1 }, { result: EIO });
        const slow = play.write(2, 1);
        await play.write(4, 1);
        await play.flush();
        await slow;
        await play.write(9, 2);
        await play.idle();
      },
    }),
  ),
  {
    name: 'flush-held',
    title: 'mirror: leg failure: a failed flush is held until suspend (2 legs, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [] },
    play: async (play) => {
      play.slow(0, { ops: ['write'], extent: { sector: 2, count: 1 } }, 9);
      play.fail(0, { ops: ['flush'], times: 1 }, { result: EIO });
      const slow = play.write(2, 1);
      await play.write(4, 1);
      const held = play.flush(FAILS);
      await slow;
      await play.idle();
      await play.suspend({ noflush: false });
      await play.resume();
      await held;
      await play.write(9, 2, { fua: true });
    },
  },
];

const FORGIVEN_SCENARIOS: readonly Scenario[] = [
  {
    name: 'flush-failure-forgiven',
    title:
      'mirror: leg failure: leg 0 fails a flush, writes go on without it (2 legs, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [] },
    ...withLosses(LEG_ERROR_FORGIVEN),
    play: async (play) => {
      await play.idle();
      play.fail(0, { ops: ['flush'], times: 1 }, { result: EIO });
      const held = play.flush(FAILS);
      await play.idle();
      await play.expectHealth('DA');
      await play.write(9, 1, { fua: true });
      await play.expectHealth('AA');
      await play.write(10, 1, { fua: true });
      await play.suspend({ noflush: false });
      await Promise.all([play.resume(), held]);
    },
  },
  {
    name: 'stale-read',
    title: 'mirror: leg failure: a flush fails, then the other leg (2 legs, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [] },
    ...withLosses(LEG_ERROR_FORGIVEN, STALE_READ),
    play: async (play) => {
      await play.idle();
      play.fail(0, { ops: ['flush'], times: 1 }, { result: EIO });
      const held = [play.flush(FAILS)];
      await play.idle();
      await play.write(9, 1, { fua: true });
      await play.write(10, 1, { fua: true });
      play.fail(1, { ops: ['write'], times: 1 }, { result: EIO });
      held.push(play.write(1, 1, FAILS));
      await play.idle();
      await play.read(8, 8);
      await play.suspend({ noflush: false });
      await Promise.all(held);
    },
  },
  {
    name: 'failure-unmarked',
    title: 'mirror: leg failure: leg 1 misses a write after the log failed (2 legs, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [] },
    ...withLosses(FAILURE_UNMARKED),
    play: async (play) => {
      await play.idle();
      play.fail(1, { ops: ['write'], times: 1 }, { result: EIO });
      play.slow(0, { ops: ['write'], times: 1 }, 20);
      const held = [play.write(9, 1, FAILS)];
      await play.sleep(5);
      play.fail(-1, { ops: ['write'], times: 1 }, { result: EIO });
      held.push(play.write(17, 1, FAILS));
      await play.sleep(40);
      await play.suspend({ noflush: false });
      await Promise.all(held);
    },
  },
];

const LOG_SCENARIOS: readonly Scenario[] = [
  {
    name: 'log-fails',
    title: 'mirror: log failure: writes go on unrecorded (2 legs, disk log, no features)',
    setup: machineWith(SMALL),
    log: { dirty: [] },
    ...withLosses(UNLOGGED_WRITES),
    play: async (play) => {
      await play.write(1, 2, { fua: true });
      await play.idle();
      play.fail(-1, { ops: ['write'] }, { result: EIO });
      await play.write(9, 2);
      await play.flush();
    },
  },
  {
    name: 'log-fails-held',
    title: 'mirror: log failure: writes are held, no leg sees them (2 legs, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [] },
    play: async (play) => {
      await play.write(1, 2, { fua: true });
      await play.idle();
      play.fail(-1, { ops: ['write'], times: 1 }, { result: EIO, effect: 1 });
      const held = [play.write(9, 2, FAILS), play.flush(FAILS)];
      await play.idle();
      held.push(play.write(17, 2, FAILS));
      await play.idle();
      await play.suspend({ noflush: false });
      await Promise.all(held);
    },
  },
  {
    name: 'log-fails-keep-log',
    title: 'mirror: log failure: writes fail (2 legs, disk log, handle_errors keep_log)',
    setup: machineWith({ ...SMALL, features: KEEPING }),
    log: { dirty: [] },
    play: async (play) => {
      await play.write(1, 2, { fua: true });
      await play.idle();
      play.fail(-1, { ops: ['flush'], times: 1 }, { result: EIO });
      await Promise.all([play.write(9, 2, FAILS), play.write(17, 2, FAILS)]);
      await play.flush(FAILS);
    },
  },
];

const COPY_SCENARIOS: readonly Scenario[] = [
  {
    name: 'copy-fails',
    title: 'mirror: recovery failure: leg 1 misses a copy (2 legs, disk log, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [0, 1] },
    play: async (play) => {
      play.fail(1, { ops: ['write'], extent: { sector: 0, count: 8 }, times: 1 }, { result: EIO });
      const writes = [play.write(2, 1, MAY_FAIL), play.write(10, 1, { fua: true, ...MAY_FAIL })];
      await play.idle();
      await play.expectHealth('AS');
      await play.suspend({ noflush: false });
      await play.resume();
      await Promise.all(writes);
      await play.inSync();
      await play.write(3, 1, { fua: true });
    },
  },
  {
    name: 'copy-fails-ignored',
    title: 'mirror: recovery failure: leg 1 misses a copy (2 legs, disk log, no features)',
    setup: machineWith(SMALL),
    log: { dirty: [0, 1] },
    ...withLosses(FAILED_COPY_IN_SYNC),
    play: async (play) => {
      play.fail(1, { ops: ['write'], extent: { sector: 0, count: 8 }, times: 1 }, { result: EIO });
      await play.inSync();
      await play.idle();
      await play.write(2, 1);
      await play.idle();
    },
  },
  {
    name: 'zeroes-copied',
    title: 'mirror: recovery failure: leg 0 cannot be read (2 legs, disk log, no features)',
    setup: machineWith(SMALL),
    log: { dirty: [0] },
    ...withLosses(ZEROES_COPIED),
    play: async (play) => {
      play.fail(0, { ops: ['read'], times: 1 }, { result: EIO });
      await play.inSync();
      await play.idle();
      await play.write(2, 1);
      await play.idle();
    },
  },
  {
    name: 'grown-after-failure',
    title: 'mirror: geometry: restarted with more regions after a missed write (2 legs, keep_log)',
    setup: machineWith({ sectors: 24, features: KEEPING }, { legSectors: 32 }),
    log: { dirty: [] },
    restarts: [{ ...ORDINARY_TABLE, features: KEEPING }],
    play: async (play) => {
      play.fail(1, { ops: ['write'], extent: { sector: 16, count: 4 }, times: 1 }, { result: EIO });
      await play.write(18, 2, { fua: true });
      await play.write(9, 1);
    },
  },
];

export const FAILURE_SCENARIOS: readonly Scenario[] = [
  ...FLUSH_SCENARIOS,
  ...FORGIVEN_SCENARIOS,
  ...LOG_SCENARIOS,
  ...COPY_SCENARIOS,
];
