/**
 * What is looked at, and made, before a table is loaded: missing files where the operator wants
 * them, one file in two roles, and a log device that holds something else than a log of this
 * mirror.
 *
 * The kernel takes anything for a new log and overwrites it; so does the disk log here. This is
 * where people are protected from a mistyped path: nothing has been written before.
 */

import { errnoName, OK } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { regionSizeFor } from '../../base/geometry.ts';
import type { Logger } from '../../base/log.ts';
import { bytesToSectors, roundUp, sectorsToBytes } from '../../base/units.ts';
import { runBio } from '../../block/run-bio.ts';
import {
  LOG_BITSET_OFFSET,
  LOG_REGIONS_UNKNOWN,
  LOG_VERSION,
  trustedRegions,
} from '../../dirtylog/log-header.ts';
import { type LogProbe, probeLog } from '../../dirtylog/log-probe.ts';
import { createMissingFile, identifyAnyDevice, openAnyDevice } from './any-device.ts';
import { checkNewLegs } from './new-legs.ts';
import { bytesNeeded, type DeviceUse, type LegUse, type LogUse } from './table-devices.ts';

export interface PrepareOptions {
  readonly create: boolean;
  readonly overwriteLog: boolean;
  readonly resizeLog: boolean;
  /** Legs may share sectors of one device, as the kernel allows; it is only said. */
  readonly sharedLegsAllowed: boolean;
  readonly log: Logger;
}

/** @throws UserError; files that were made before stay. */
export async function prepareDevices(
  uses: readonly DeviceUse[],
  options: PrepareOptions,
): Promise<void> {
  if (options.create) {
    // A file that is named twice is not made for nothing. Links to it are seen behind this.
    await checkRoles(uses, options, identifyOrMissing);
    await checkNewLegs(uses);
    makeMissing(uses, options.log);
  }
  await checkRoles(uses, options, identifyAnyDevice);
  for (const use of uses) {
    if (use.role === 'log') await checkLog(use, options);
  }
}

function makeMissing(uses: readonly DeviceUse[], log: Logger): void {
  const bytes = new Map<string, number>();
  for (const use of uses) {
    bytes.set(use.device, Math.max(bytes.get(use.device) ?? 0, bytesNeeded(use)));
  }
  for (const [device, size] of bytes) {
    if (createMissingFile(device, size)) log.info(`created "${device}"`, { bytes: size });
  }
}

/**
 * A log shares its file with nobody; legs may share one, as in the kernel, but not the same
 * sectors.
 */
async function checkRoles(
  uses: readonly DeviceUse[],
  options: PrepareOptions,
  identify: (device: string) => Promise<string>,
): Promise<void> {
  const identities = await Promise.all(uses.map((use) => identify(use.device)));
  for (const [second, use] of uses.entries()) {
    for (let first = 0; first < second; first++) {
      if (identities[first] !== identities[second]) continue;
      const other = uses[first]!;
      if (use.role === 'leg' && other.role === 'leg') checkSharedLegs(other, use, options);
      else throw usedTwice(other, use, 'a log must have a file of its own');
    }
  }
}

async function identifyOrMissing(device: string): Promise<string> {
  try {
    return await identifyAnyDevice(device);
  } catch (error) {
    if (error instanceof UserError && error.code === 'device-missing') return `missing ${device}`;
    throw error;
  }
}

/** Two legs on the same sectors are one copy, which is no mirror. */
function checkSharedLegs(first: LegUse, second: LegUse, options: PrepareOptions): void {
  if (!overlap(first, second)) return;
  const problem = usedTwice(first, second, 'each leg must have sectors of its own');
  if (!options.sharedLegsAllowed) throw problem;
  options.log.warn(problem.message);
}

function usedTwice(first: DeviceUse, second: DeviceUse, requirement: string): UserError {
  const names =
    first.device === second.device
      ? `"${first.device}"`
      : `"${first.device}" and "${second.device}"`;
  const roles =
    first.role === second.role ? `twice as ${first.role}` : `as ${first.role} and ${second.role}`;
  return new UserError(
    'device-used-twice',
    `Cannot use ${names} ${roles}: it is the same file, ${requirement}`,
  );
}

function overlap(a: LegUse, b: LegUse): boolean {
  const { startSector: aStart, lengthSectors: aLength } = a;
  const { startSector: bStart, lengthSectors: bLength } = b;
  return aStart < bStart + bLength && bStart < aStart + aLength;
}

async function checkLog(use: LogUse, options: PrepareOptions): Promise<void> {
  const device = await openAnyDevice(use.device, { readOnly: true });
  let probe: LogProbe;
  try {
    probe = await probeLog(device);
  } finally {
    await device.close();
  }
  const problem = findProblem(use, probe, options);
  if (problem !== null) {
    const { code, text, hint } = problem;
    throw new UserError(code, `Cannot use "${use.device}" as log: ${text}`, { hint });
  }
  if (probe.contents === 'foreign' || probe.contents === 'foreign-version') await wipe(use);
}

/** Else a foreign version would stay, and be refused again at every later start (8.4). */
async function wipe(use: LogUse): Promise<void> {
  const device = await openAnyDevice(use.device, { readOnly: false });
  try {
    const data = new Uint8Array(roundUp(LOG_BITSET_OFFSET, device.logicalBlockSize));
    const count = bytesToSectors(data.length);
    const result = await runBio(device, { op: 'write', count, data, fua: true });
    if (result === OK) return;
    const reason = `writing to it fails with ${errnoName(result)}`;
    throw new UserError('log-unwritable', `Cannot use "${use.device}" as log: ${reason}`);
  } finally {
    await device.close();
  }
}

interface Problem {
  readonly code: string;
  readonly text: string;
  readonly hint: string;
}

function findProblem(use: LogUse, probe: LogProbe, options: PrepareOptions): Problem | null {
  switch (probe.contents) {
    case 'blank':
      return null;
    case 'unreadable':
      return {
        code: 'log-unreadable',
        text: `it cannot be read (${errnoName(probe.result)}), must be readable`,
        hint: 'See the system log for what is wrong with its storage.',
      };
    case 'foreign':
      if (options.overwriteLog) return null;
      return {
        code: 'log-foreign',
        text: 'it holds something that is no log, must be empty or a log',
        hint: 'With --overwrite-log its contents are lost and everything is copied anew.',
      };
    case 'foreign-version':
      if (options.overwriteLog) return null;
      return {
        code: 'log-version',
        text: `its version is ${probe.header!.version}, must be ${LOG_VERSION}`,
        hint: 'With --overwrite-log everything is copied anew.',
      };
    case 'log':
      return findSizeProblem(use, probe, options);
  }
}

/** With a sync word nothing of the old log is believed, so that its size does not matter. */
function findSizeProblem(use: LogUse, probe: LogProbe, options: PrepareOptions): Problem | null {
  const header = probe.header!;
  if (options.resizeLog || options.overwriteLog || use.syncWord !== null) return null;
  if (header.regionCount === LOG_REGIONS_UNKNOWN || header.regionCount === 0n) return null;
  const logged = trustedRegions(header);
  if (logged === use.regionCount) return null;
  const fitting = regionSizeFor(use.targetSectors, logged);
  const question =
    fitting === null
      ? 'is --region-size the one it was made with?'
      : `was it made with ${fitting} sectors (--region-size ${sectorsToBytes(fitting)})?`;
  return {
    code: 'log-region-count',
    text:
      `it has ${logged} regions, must have ${use.regionCount} ` +
      `(of ${use.regionSizeSectors} sectors)`,
    hint:
      `A log does not say how large its regions are: ${question} ` +
      'With --resize-log its regions are kept for a device that was grown or shrunk.',
  };
}
