/**
 * The table line that follows a mirror's line when its legs or its log change, such that nothing is
 * trusted that need not be equal.
 *
 * A log says which regions are equal on the legs *of its table*. So:
 * - a leg that comes in is never believed: the new table begins with the word `sync`, which makes
 *   every region dirty, durably, before it is used;
 * - a leg that goes out must never come back on the word of the old log: whoever keeps a record of
 *   tables has `record` in it before the new table resumes;
 * - `nosync` is used only where all regions are in sync and no leg comes in, and it is never on
 *   record: after a crash it would throw away what was dirty;
 * - a word that was meant for one start does not stay: `settled` is loaded when it has done its
 *   work.
 */

import { assert } from '../base/assert.ts';
import type { SyncWord } from '../dirtylog/log-args.ts';
import type { TableLine } from '../dm/table-line.ts';
import type { LegArgs } from './mirror-args.ts';
import { formatMirrorLine, type MirrorLine, type MirrorLog } from './mirror-line.ts';

/** A live mirror, as much as the next line depends on. */
export interface MirrorCondition {
  readonly line: MirrorLine;
  /** One letter a leg, in table order. */
  readonly health: string;
  /** The letter of the log's device; `A` for a log without a device. */
  readonly logHealth: string;
  readonly regionsInSync: number;
  readonly regionCount: number;
  /** The leg that is read from, copied from, and written to where the mirror is out of sync. */
  readonly defaultLeg: number;
  /** A repair has made this table, and it has not been in sync yet. */
  readonly repairing: boolean;
}

export interface NextLine {
  readonly line: TableLine;
  /** What a start after a crash must load, from before the line resumes until it is settled. */
  readonly record: TableLine;
  /** The line without the word that was meant for one start; null where there was none. */
  readonly settled: { readonly line: TableLine; readonly when: SettleTime } | null;
}

export type SettleTime = 'at once' | 'in sync';

export interface NextParts {
  /** Legs that stay, in their new order. */
  readonly stay: readonly LegArgs[];
  /** Legs whose contents are unknown. */
  readonly join: readonly LegArgs[];
  /** `keep`: as it is; `core`: none on a device; else the device of a new one. */
  readonly log: 'keep' | 'core' | { readonly device: string };
}

export function isInSync(condition: MirrorCondition): boolean {
  return condition.regionsInSync === condition.regionCount;
}

/**
 * Some of the legs, in their order, so that one which was promoted stays the first of them. Out of
 * sync the default leg comes first, wherever it stood: only it has what was written out of sync
 * since, and a new table copies from its first leg.
 */
export function inNextOrder(
  condition: MirrorCondition,
  isKept: (index: number) => boolean,
): LegArgs[] {
  const { line, defaultLeg } = condition;
  const order = line.legs.map((_, index) => index).filter(isKept);
  if (!isInSync(condition) && order.includes(defaultLeg)) {
    order.splice(order.indexOf(defaultLeg), 1);
    order.unshift(defaultLeg);
  }
  return order.map((index) => line.legs[index]!);
}

/** A mirror that keeps its legs and its log, in a table that is loaded again. */
export function carryOver(condition: MirrorCondition): NextLine {
  const stay = inNextOrder(condition, () => true);
  return nextLine(condition, { stay, join: [], log: 'keep' });
}

export function nextLine(condition: MirrorCondition, parts: NextParts): NextLine {
  const { start, length, features } = condition.line;
  const legs = [...parts.stay, ...parts.join];
  const [only] = legs;
  assert(only !== undefined && parts.stay.length > 0, 'The next table has no leg with data');
  if (legs.length === 1) {
    const args = [only.deviceName, `${only.offset}`];
    const line = { start, length, type: 'linear', args };
    return { line, record: line, settled: null };
  }
  const log = nextLog(condition, parts);
  const lineWith = (one: MirrorLog): TableLine =>
    formatMirrorLine({ start, length, legs, features, log: one });
  return {
    line: lineWith(log.now),
    record: lineWith(log.record),
    settled: log.settled === null ? null : { ...log.settled, line: lineWith(log.settled.log) },
  };
}

interface NextLog {
  readonly now: MirrorLog;
  readonly record: MirrorLog;
  readonly settled: { readonly log: MirrorLog; readonly when: SettleTime } | null;
}

function nextLog(condition: MirrorCondition, { join, log }: NextParts): NextLog {
  const old = condition.line.log;
  const trusted = isInSync(condition) && join.length === 0;
  if (old.kind === 'other') {
    assert(log === 'keep' && join.length === 0, 'A log of an unknown kind is changed');
    return { now: old, record: old, settled: null };
  }
  const { regionSize } = old;
  if (log === 'core' || (log === 'keep' && old.kind === 'core')) {
    // Made anew, a log in memory knows nothing: every region is dirty unless it is told otherwise.
    const core = (syncWord: SyncWord): MirrorLog => ({ kind: 'core', regionSize, syncWord });
    return { now: core(trusted ? 'nosync' : null), record: core(null), settled: null };
  }
  const device = log === 'keep' ? deviceOf(old) : log.device;
  const disk = (syncWord: SyncWord): MirrorLog => ({ kind: 'disk', device, regionSize, syncWord });
  if (log === 'keep' && join.length === 0) {
    // What the log says of all legs it says of those that stay.
    return { now: disk(null), record: disk(null), settled: null };
  }
  // A new log's device may hold an old log of this very mirror, so that it is not to be read.
  return {
    now: disk(trusted ? 'nosync' : 'sync'),
    record: disk('sync'),
    settled: { log: disk(null), when: trusted ? 'at once' : 'in sync' },
  };
}

function deviceOf(log: MirrorLog): string {
  assert(log.kind === 'disk', 'A log without a device is kept on one');
  return log.device;
}
