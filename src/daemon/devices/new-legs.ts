/**
 * Before missing legs are made: a leg that is made is empty. Where others of its mirror are there
 * already, it must be copied to, and never be believed, nor be copied from.
 */

import { UserError } from '../../base/failure.ts';
import type { Sector } from '../../base/units.ts';
import { probeLog } from '../../dirtylog/log-probe.ts';
import { identifyAnyDevice, openAnyDevice } from './any-device.ts';
import type { DeviceUse, LegUse, LogUse } from './table-devices.ts';

/** @throws UserError naming the leg that would have been made. */
export async function checkNewLegs(uses: readonly DeviceUse[]): Promise<void> {
  const legs = uses.filter((use) => use.role === 'leg');
  const logs = uses.filter((use) => use.role === 'log');
  for (const first of legs.filter(({ index }) => index === 0)) {
    const { missing, present } = await sortLegs(
      legs.filter(({ mirror }) => mirror === first.mirror),
    );
    if (missing[0] === undefined || present[0] === undefined) continue;
    const log = logs.find(({ mirror }) => mirror === first.mirror);
    if (log !== undefined) await checkLogOf(log, missing[0], present[0]);
    if (missing[0] === first) await checkSource(first, present);
  }
}

async function sortLegs(
  legs: readonly LegUse[],
): Promise<{ missing: LegUse[]; present: LegUse[] }> {
  const missing: LegUse[] = [];
  const present: LegUse[] = [];
  for (const leg of legs) ((await isMissing(leg)) ? missing : present).push(leg);
  return { missing, present };
}

async function isMissing({ device }: DeviceUse): Promise<boolean> {
  try {
    await identifyAnyDevice(device);
    return false;
  } catch (error) {
    if (error instanceof UserError && error.code === 'device-missing') return true;
    throw error;
  }
}

/** With a sync word the log is not asked. */
async function checkLogOf(log: LogUse, missing: LegUse, present: LegUse): Promise<void> {
  if (log.syncWord !== null || (await isMissing(log))) return;
  const device = await openAnyDevice(log.device, { readOnly: true });
  try {
    if ((await probeLog(device)).contents !== 'log') return;
  } finally {
    await device.close();
  }
  throw new UserError(
    'leg-unlike-log',
    `Cannot create leg "${missing.device}": the log "${log.device}" would call it equal to ` +
      `"${present.device}", must copy everything`,
    { hint: 'Say so with --sync, or the word sync behind the region size in a table.' },
  );
}

/** Whoever says `nosync` copies nothing. */
async function checkSource(first: LegUse, present: readonly LegUse[]): Promise<void> {
  if (first.isNosync) return;
  for (const leg of present) {
    if (!(await isFileWithData(leg))) continue;
    throw new UserError(
      'leg-overwritten',
      `Cannot create leg "${first.device}": it would be copied over "${leg.device}", ` +
        'the first leg must be the one with the data',
      { hint: 'Name the leg that has the data first; the new one is copied from it then.' },
    );
  }
}

/** Of block devices and exports nobody can tell: they are there before any mirror is. */
async function isFileWithData({ device: name }: LegUse): Promise<boolean> {
  if (!(await identifyAnyDevice(name)).startsWith('file:')) return false;
  const device = await openAnyDevice(name, { readOnly: true });
  try {
    const all = device.sizeSectors;
    const { count, zero } = device.allocation?.(0 as Sector, all) ?? { count: 0, zero: false };
    return !zero || count < all;
  } finally {
    await device.close();
  }
}
