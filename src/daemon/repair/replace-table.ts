/**
 * Replaces a live table by one that stands on other devices, with the record in step.
 *
 * Order: load, suspend, flush the legs, look again, record, resume. Up to the record a power cut
 * finds the old table and its log; from the record on the new one, which has not run yet. What
 * could not be done leaves the old table running.
 */

import { UserError } from '../../base/failure.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { type TableLine, textOf } from '../../dm/table-line.ts';
import { flushHealthyLegs } from '../../mirror/flush-legs.ts';
import { MirrorTarget } from '../../mirror/mirror-target.ts';
import { carryOver } from '../../mirror/next-table.ts';
import { conditionsOf } from './mirror-condition.ts';
import type { TableRecord } from './table-record.ts';

export interface NewTable {
  readonly lines: readonly TableLine[];
  readonly record: readonly TableLine[];
  readonly unsettled: boolean;
}

export interface ReplaceTableOptions<T extends NewTable> {
  readonly device: MappedDevice;
  readonly record: TableRecord;
  /** Held requests go to the new table; else they fail. */
  readonly noflush: boolean;
  /**
   * The new table as of now: asked for at first, and again once nothing is in flight any more, when
   * the answer counts.
   *
   * @throws UserError when there is none.
   */
  readonly plan: () => Promise<T>;
}

/** @throws UserError; the old table is live and resumed then. */
export async function replaceTable<T extends NewTable>(
  options: ReplaceTableOptions<T>,
): Promise<T> {
  const { device, record, noflush, plan } = options;
  let next = await plan();
  await record.check(device);
  await device.load(next.lines);
  try {
    await device.suspend({ noflush });
    await flushMirrors(device);
    const again = await plan();
    if (textOf(again.lines) !== textOf(next.lines)) {
      next = again;
      await device.load(next.lines);
    }
    await record.put(device, { lines: next.record, unsettled: next.unsettled });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    await resumeOld(device);
    throw error;
  }
  await device.resume();
  return next;
}

/**
 * The old table goes on; but not with the word `nosync`, which throws away at each resume what is
 * dirty. Then it is loaded again without the word: leg errors are forgotten, and found again.
 */
async function resumeOld(device: MappedDevice): Promise<void> {
  await device.clear();
  const conditions = await conditionsOf(device);
  const forgets = conditions.some(
    ({ mirror }) => mirror?.line.log.kind === 'disk' && mirror.line.log.syncWord === 'nosync',
  );
  if (forgets) {
    const lines = conditions.map(({ line, mirror }) =>
      mirror === null ? line : carryOver(mirror).line,
    );
    await device.load(lines);
  }
  await device.resume();
}

async function flushMirrors(device: MappedDevice): Promise<void> {
  for (const { target } of device.liveTable?.targets ?? []) {
    if (target instanceof MirrorTarget) await flushHealthyLegs(target.set);
  }
}
