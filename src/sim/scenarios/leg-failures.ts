/** Stories of legs that miss writes, fail reads or hang, in each mode (specification 3.5). */

import { EIO } from '../../base/errno.ts';
import {
  DEFAULT_LEG_FORGOTTEN,
  LEG_ERROR_FORGIVEN,
  LEG_FAILURE_IGNORED,
} from '../expected-losses.ts';
import type { Play } from '../play.ts';
import { machineWith, type Scenario } from '../scenario.ts';
import { FAILS, HOLDING, KEEPING, MAY_FAIL, SMALL, withLosses } from './failure-setups.ts';

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

export const LEG_FAILURE_SCENARIOS: readonly Scenario[] = [
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
