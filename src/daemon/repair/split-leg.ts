/**
 * Makes one leg of a mirror an image of its own: everything that was written up to one instant,
 * nothing that was written later. The mirror goes on without it, or, where a copy was asked for,
 * with it.
 */

import { rmSync } from 'node:fs';
import { EBUSY, EEXIST, EINVAL, errnoText, type IoResult, OK } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { COPY_PIECE_SECTORS } from '../../base/limits.ts';
import { SECTOR_SIZE, toSector, toSectorCount } from '../../base/units.ts';
import type { BioOp } from '../../block/bio.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import { createMissing, openDevice } from '../../block/open-device.ts';
import { runBio } from '../../block/run-bio.ts';
import type { SplitImage } from '../../control/control-host.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { textOf } from '../../dm/table-line.ts';
import { MirrorTarget } from '../../mirror/mirror-target.ts';
import { planSplit, type SplitPlan } from '../../mirror/split-table.ts';
import { conditionsOf } from './mirror-condition.ts';
import { type NewTable, replaceTable } from './replace-table.ts';
import type { TableRecord } from './table-record.ts';

interface SplitTable extends NewTable {
  readonly image: SplitPlan['image'];
}

/** @throws UserError; the mirror goes on as it was then. */
export async function detachLeg(
  device: MappedDevice,
  leg: number,
  record: TableRecord,
): Promise<SplitImage> {
  refuseUnfit(device, leg);
  const plan = async (): Promise<SplitTable> => {
    const { next, image } = await planFor(device, leg);
    return { lines: [next.line], record: [next.record], unsettled: next.settled !== null, image };
  };
  const table = await replaceTable({
    device,
    record,
    // Nothing is held in a mirror that is in sync; if something comes between, it shall not fail.
    noflush: true,
    plan,
  });
  const { deviceName, offset } = table.image;
  return {
    device: deviceName,
    offsetSectors: offset,
    lengthSectors: table.lines[0]!.length,
    table: textOf(table.lines),
  };
}

/**
 * Clients wait while it is copied, or until `signal` says to give up.
 *
 * @throws UserError; there is no copy then.
 */
export async function copyLeg(
  device: MappedDevice,
  leg: number,
  path: string,
  signal: AbortSignal,
): Promise<SplitImage> {
  refuseUnfit(device, leg);
  await planFor(device, leg);
  await device.suspend({ noflush: true });
  try {
    const { image } = await planFor(device, leg);
    const lengthSectors = device.sizeSectors;
    if (!createMissing(path, lengthSectors * SECTOR_SIZE)) {
      throw new UserError('copy-exists', `Cannot copy leg ${leg} to "${path}": it exists already`, {
        errno: EEXIST,
      });
    }
    try {
      const from = legDevice(device, leg);
      await fillCopy({ path, from, offset: image.offset, sectors: lengthSectors, signal });
    } catch (error) {
      // It would be taken for one, and be in the way of the next attempt.
      rmSync(path, { force: true });
      throw error;
    }
    const lines = (await conditionsOf(device)).map(({ line }) => line);
    return { device: path, offsetSectors: 0, lengthSectors, table: textOf(lines) };
  } finally {
    await device.resume();
  }
}

async function planFor(device: MappedDevice, leg: number): Promise<SplitPlan> {
  const conditions = await conditionsOf(device);
  const mirror = conditions[0]?.mirror ?? null;
  if (mirror !== null && conditions.length === 1) return planSplit(mirror, leg);
  throw new UserError(
    'no-mirror',
    `Cannot split leg ${leg} off: the table of device "${device.name}" must be one mirror`,
    { errno: EINVAL },
  );
}

/** Whoever suspended it may be counting on its table; whoever loaded another one, on that. */
function refuseUnfit(device: MappedDevice, leg: number): void {
  const cannot = `Cannot split leg ${leg} off: device "${device.name}"`;
  if (device.suspended) {
    throw new UserError('suspended', `${cannot} is suspended, must be resumed`, { errno: EBUSY });
  }
  if (device.inactiveTable !== null) {
    throw new UserError('table-loaded', `${cannot} has an inactive table, must have none`, {
      errno: EBUSY,
      hint: 'Make it live with "resume", or drop it with "clear".',
    });
  }
}

function legDevice(device: MappedDevice, leg: number): BlockDevice {
  const target = device.liveTable?.targets[0]?.target;
  if (target instanceof MirrorTarget) return target.set.legs[leg]!.device;
  throw new UserError('no-mirror', `Cannot split leg ${leg} off: "${device.name}" is no mirror`);
}

interface Copying {
  readonly path: string;
  readonly from: BlockDevice;
  readonly offset: number;
  readonly sectors: number;
  readonly signal: AbortSignal;
}

async function fillCopy(copying: Copying): Promise<void> {
  const copy = await openDevice(copying.path, { readOnly: false });
  try {
    await copySectors(copying, copy);
  } finally {
    await copy.close();
  }
}

/** What is zero stays a hole. @throws UserError */
async function copySectors(copying: Copying, to: BlockDevice): Promise<void> {
  const { from, offset, sectors, signal } = copying;
  const buffer = new Uint8Array(COPY_PIECE_SECTORS * SECTOR_SIZE);
  for (let sector = 0; sector < sectors; sector += COPY_PIECE_SECTORS) {
    if (signal.aborted) {
      throw new UserError('split-given-up', 'Cannot copy the leg: who asked for it has gone');
    }
    const count = toSectorCount(Math.min(COPY_PIECE_SECTORS, sectors - sector));
    const data = buffer.subarray(0, count * SECTOR_SIZE);
    const at = toSector(offset + sector);
    check('read', from, await runBio(from, { op: 'read', sector: at, count, data }));
    if (data.every((byte) => byte === 0)) continue;
    check('write', to, await runBio(to, { op: 'write', sector: toSector(sector), count, data }));
  }
  check('flush', to, await runBio(to, { op: 'flush' }));
}

function check(op: BioOp, { name }: BlockDevice, result: IoResult): void {
  if (result === OK) return;
  throw new UserError(
    'split-io',
    `Cannot copy the leg: ${op} of "${name}" failed: ${errnoText(result)}`,
    { errno: result },
  );
}
