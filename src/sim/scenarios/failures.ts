/** Stories of legs and logs that fail, in each of the three modes (specification 3.5). */

import { EIO, OK } from '../../base/errno.ts';
import {
  DEFAULT_LEG_FORGOTTEN,
  FAILED_COPY_IN_SYNC,
  FAILURE_UNMARKED,
  LEG_ERROR_FORGIVEN,
  LEG_FAILURE_IGNORED,
  STALE_READ,
  UNLOGGED_WRITES,
  ZEROES_COPIED,
} from '../expected-losses.ts';
import type { ExpectedLoss } from '../findings.ts';
import type { MirrorFeature } from '../machine-setup.ts';
import type { Play } from '../play.ts';
import { machineWith, ORDINARY_TABLE, type Scenario } from '../scenario.ts';

const SMALL = { sectors: 24 };
const HOLDING: readonly MirrorFeature[] = ['handle_errors'];
const KEEPING: readonly MirrorFeature[] = ['handle_errors', 'keep_log'];
const MAY_FAIL = { allow: [OK, EIO] };
const FAILS = { allow: [EIO] };

/** Leg `leg` misses the first write to region 1, of which one sector reaches it all the same. */
async function writeMissedBy(leg: number, play: Play): Promise<void> {
  play.fail(
    leg,
    { ops: ['write'], extent: { sector: 8, count: 8 }, times: 1 },
    {
      result: EIO,
      effect: 1,
    },
  );
  await play.write(1, 2, { fua: true });
  await play.write(9, 3);
  await play.write(13, 2);
  await play.flush(MAY_FAIL);
  await Promise.all([play.write(18, 2), play.read(9, 3, MAY_FAIL), play.read(17, 2)]);
  await play.flush(MAY_FAIL);
}

/**
 * A write is held; the operator takes the bad leg out, and the write goes to the table without it.
 */
async function heldUntilReload(bad: number, play: Play): Promise<void> {
  play.fail(bad, { ops: ['write'], extent: { sector: 0, count: 8 }, times: 1 }, { result: EIO });
  await play.write(9, 2, { fua: true });
  const held = play.write(1, 3, { fua: true });
  const other = play.write(17, 2);
  await play.idle();
  await play.expectHealth(['DAA', 'ADA', 'AAD'][bad]!);
  const legs = [0, 1, 2].filter((leg) => leg !== bad);
  await play.reload({ ...play.machine.table, legs }, { noflush: true });
  await Promise.all([held, other]);
  await play.flush();
}

function withLosses(...expectedLosses: ExpectedLoss[]): Pick<Scenario, 'expectedLosses'> {
  return { expectedLosses };
}

const LEG_SCENARIOS: readonly Scenario[] = [
  {
    name: 'leg-0-misses-write',
    title: 'mirror: leg failure: leg 0 misses a write (2 legs, disk log, no features)',
    setup: machineWith(SMALL),
    log: { dirty: [] },
    ...withLosses(LEG_FAILURE_IGNORED),
    play: (play) => writeMissedBy(0, play),
  },
  {
    name: 'leg-1-misses-write',
    title: 'mirror: leg failure: leg 1 misses a write (2 legs, disk log, no features)',
    setup: machineWith(SMALL),
    log: { dirty: [] },
    play: (play) => writeMissedBy(1, play),
  },
  {
    name: 'leg-0-misses-write-keep-log',
    title: 'mirror: leg failure: leg 0 misses a write (2 legs, disk log, handle_errors keep_log)',
    setup: machineWith({ ...SMALL, features: KEEPING }),
    log: { dirty: [] },
    ...withLosses(DEFAULT_LEG_FORGOTTEN),
    play: (play) => writeMissedBy(0, play),
  },
  {
    name: 'leg-1-misses-write-keep-log',
    title: 'mirror: leg failure: leg 1 misses a write (2 legs, disk log, handle_errors keep_log)',
    setup: machineWith({ ...SMALL, features: KEEPING }),
    log: { dirty: [] },
    play: async (play) => {
      await writeMissedBy(1, play);
      await play.expectHealth('AD');
    },
  },
  {
    name: 'leg-0-replaced',
    title: 'mirror: leg failure: leg 0 misses a write, is taken out (3 legs, handle_errors)',
    setup: machineWith({ ...SMALL, legs: [0, 1, 2], features: HOLDING }),
    log: { dirty: [] },
    play: (play) => heldUntilReload(0, play),
  },
  {
    name: 'leg-1-replaced',
    title: 'mirror: leg failure: leg 1 misses a write, is taken out (3 legs, handle_errors)',
    setup: machineWith({ ...SMALL, legs: [0, 1, 2], features: HOLDING }),
    log: { dirty: [] },
    play: (play) => heldUntilReload(1, play),
  },
  {
    name: 'held-then-failed',
    title: 'mirror: leg failure: held writes fail at suspend (2 legs, disk log, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [2] },
    play: async (play) => {
      play.fail(
        1,
        { ops: ['write'], extent: { sector: 8, count: 8 }, times: 1 },
        {
          result: EIO,
          effect: 'all',
        },
      );
      await play.inSync();
      const held = [play.write(9, 2, FAILS), play.write(1, 2, { fua: true })];
      await play.idle();
      held.push(play.write(12, 2, FAILS));
      await play.idle();
      await play.expectHealth('AD');
      await play.suspend({ noflush: false });
      await play.resume();
      await Promise.all(held);
      // The region behind the cursor was found again by the resume.
      await play.inSync();
      await play.write(9, 1, { fua: true });
    },
  },
  {
    name: 'leg-error-forgiven',
    title:
      'mirror: leg failure: leg 0 fails while the mirror comes into sync (2 legs, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [] },
    ...withLosses(LEG_ERROR_FORGIVEN),
    play: async (play) => {
      // Leg 0 fails once; the operator lets the same table go on, with leg 1 as the default.
      play.fail(0, { ops: ['write'], extent: { sector: 16, count: 8 }, times: 1 }, { result: EIO });
      const first = play.write(17, 1, FAILS);
      await play.idle();
      await play.suspend({ noflush: false });
      await Promise.all([play.resume(), first]);
      // It fails again while the log, slowly, records that the last region is in sync.
      const extent = { sector: 8, count: 8 };
      play.slow(-1, { ops: ['write'] }, 5);
      play.slow(0, { ops: ['write'], extent, times: 1 }, 2);
      play.fail(0, { ops: ['write'], extent, times: 1 }, { result: EIO, effect: 'all' });
      const second = play.write(9, 1, FAILS);
      await play.sleep(50);
      await play.expectHealth('AA');
      await play.write(10, 1, { fua: true });
      await play.suspend({ noflush: false });
      await Promise.all([play.resume(), second]);
    },
  },
  {
    name: 'leg-hangs',
    title: 'mirror: leg failure: leg 1 does not answer for a while (2 legs, disk log)',
    setup: machineWith(SMALL),
    log: { dirty: [2] },
    endsHealthy: true,
    play: async (play) => {
      await play.write(1, 2, { fua: true });
      play.hang(1);
      const hanging = [play.write(9, 2), play.write(4, 1, { fua: true }), play.flush()];
      await play.idle();
      await play.read(8, 8);
      play.proceed(1);
      await Promise.all(hanging);
    },
  },
  {
    name: 'read-error-retried',
    title: 'mirror: leg failure: a read fails and another leg serves it (2 legs, handle_errors)',
    setup: machineWith({ ...SMALL, features: HOLDING }),
    log: { dirty: [] },
    play: async (play) => {
      await play.write(9, 2);
      play.fail(0, { ops: ['read'], times: 1 }, { result: EIO });
      await Promise.all([play.read(8, 8), play.write(17, 2)]);
      await play.expectHealth('RA');
      await play.write(10, 2, { fua: true });
      await play.read(8, 8);
    },
  },
];

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
  ...LEG_SCENARIOS,
  ...FLUSH_SCENARIOS,
  ...FORGIVEN_SCENARIOS,
  ...LOG_SCENARIOS,
  ...COPY_SCENARIOS,
];
