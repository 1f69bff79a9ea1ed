/**
 * What becomes of a mirror that has lost a leg or its log: the next table line, and why.
 *
 * Counterpart: `lvconvert --repair --use-policies`, run by LVM's monitor (specification 13.1,
 * 13.2). A pure function of the mirror's condition; whoever acts on it looks again before he does.
 */

import { bytesToSectors } from '../base/units.ts';
import { logImageBytes } from '../dirtylog/log-header.ts';
import type { LegArgs } from './mirror-args.ts';
import { inNextOrder, type MirrorCondition, type NextLine, nextLine } from './next-table.ts';

export type RepairPolicy = 'remove' | 'allocate';

export interface RepairPolicies {
  readonly image: RepairPolicy;
  readonly log: RepairPolicy;
}

export interface Spare {
  readonly device: string;
  readonly sizeSectors: number;
  readonly logicalBlockSize: number;
  /** Why it cannot be taken; null where it can. */
  readonly problem: string | null;
}

export interface RepairPlan {
  readonly next: NextLine;
  /** One sentence each: what failed, and what is done about it. */
  readonly reasons: readonly string[];
  /** Devices taken of the spares. */
  readonly used: readonly string[];
  /** Regions of which only a leg that is removed may have had the current contents. */
  readonly regionsAtRisk: number;
}

export type RepairDecision =
  | { readonly kind: 'healthy' }
  /** Nothing that could be done would help. */
  | { readonly kind: 'hopeless'; readonly reason: string }
  | { readonly kind: 'repair'; readonly plan: RepairPlan };

/** An error of reading or copying is noted, and alone does not start a repair. */
const TOLERATED = /^[ASR]*$/;
/** But in a table that a repair has made it does: there writes wait for the copies, for ever. */
const TOLERATED_WHILE_REPAIRING = /^[AR]*$/;
const PARTIAL = /[^A]/;

/** True if a monitor would act: some leg cannot be written or flushed, or the log has failed. */
export function needsRepair({ health, logHealth, repairing }: MirrorCondition): boolean {
  const tolerated = repairing ? TOLERATED_WHILE_REPAIRING : TOLERATED;
  return !tolerated.test(health) || logHealth !== 'A';
}

export function planRepair(
  condition: MirrorCondition,
  policies: RepairPolicies,
  spares: readonly Spare[],
): RepairDecision {
  if (!needsRepair(condition)) return { kind: 'healthy' };
  const { health, logHealth, line } = condition;
  const failed = line.legs.map((_, index) => PARTIAL.test(health[index] ?? 'A'));
  if (!failed.includes(false)) {
    return { kind: 'hopeless', reason: `all ${line.legs.length} legs have failed (${health})` };
  }
  const reasons = line.legs.flatMap(({ deviceName }, index) =>
    failed[index] ? [`leg ${index} "${deviceName}" has failed (${health[index]})`] : [],
  );
  const pool = new SparePool(spares, reasons);
  const stay = inNextOrder(condition, (index) => !failed[index]);
  const join = joiningLegs(condition, policies.image, pool, failed.filter(Boolean).length);
  const legCount = stay.length + join.length;
  const log = chooseLog(condition, policies.log, pool, legCount, reasons);
  if (legCount === 1) reasons.push(`"${stay[0]!.deviceName}" goes on alone, without a log`);
  else if (join.length === 0) reasons.push(`${legCount} legs go on`);
  if (logHealth !== 'A' && log === 'core' && legCount > 1) {
    reasons.push('dirty regions are noted in memory only from now on');
  }
  return {
    kind: 'repair',
    plan: {
      next: nextLine(condition, { stay, join, log }),
      reasons,
      used: pool.used,
      regionsAtRisk: regionsAtRisk(condition, failed),
    },
  };
}

function joiningLegs(
  { line }: MirrorCondition,
  policy: RepairPolicy,
  pool: SparePool,
  wanted: number,
): LegArgs[] {
  if (policy === 'remove') return [];
  if (line.log.kind === 'other') {
    if (wanted > 0) pool.say(`a log "${line.log.typeName}" cannot be told of a new leg`);
    return [];
  }
  const legs: LegArgs[] = [];
  while (legs.length < wanted) {
    const spare = pool.take('leg', () => line.length);
    if (spare === null) break;
    legs.push({ deviceName: spare, offset: 0 });
  }
  return legs;
}

function chooseLog(
  { line, logHealth, regionCount }: MirrorCondition,
  policy: RepairPolicy,
  pool: SparePool,
  legCount: number,
  reasons: string[],
): 'keep' | 'core' | { device: string } {
  const { log } = line;
  if (logHealth === 'A' || log.kind !== 'disk') return 'keep';
  reasons.push(`log "${log.device}" has failed (${logHealth})`);
  if (policy === 'remove' || legCount === 1) return 'core';
  const device = pool.take('log', (blockSize) =>
    bytesToSectors(logImageBytes(regionCount, blockSize)),
  );
  return device === null ? 'core' : { device };
}

/** A leg that was promoted while in sync has everything; one that was not may lack these. */
function regionsAtRisk(condition: MirrorCondition, failed: readonly boolean[]): number {
  if (failed[condition.defaultLeg] !== true) return 0;
  return condition.regionCount - condition.regionsInSync;
}

/** Hands out spares in the order in which they were given, each once; says why one is left out. */
class SparePool {
  readonly used: string[] = [];
  readonly #left: Spare[];
  readonly #reasons: string[];

  constructor(spares: readonly Spare[], reasons: string[]) {
    this.#left = [...spares];
    this.#reasons = reasons;
  }

  say(reason: string): void {
    this.#reasons.push(reason);
  }

  take(role: 'leg' | 'log', sectorsNeeded: (logicalBlockSize: number) => number): string | null {
    for (const spare of [...this.#left]) {
      const problem = spare.problem ?? tooSmall(spare, sectorsNeeded(spare.logicalBlockSize));
      if (problem !== null) {
        this.say(`spare "${spare.device}" is left out as ${role}: ${problem}`);
        continue;
      }
      this.#left.splice(this.#left.indexOf(spare), 1);
      this.used.push(spare.device);
      this.say(`spare "${spare.device}" becomes ${role}`);
      return spare.device;
    }
    this.say(`no spare for a ${role}`);
    return null;
  }
}

function tooSmall({ sizeSectors }: Spare, sectorsNeeded: number): string | null {
  if (sizeSectors >= sectorsNeeded) return null;
  return `it has ${sizeSectors} sectors, must have at least ${sectorsNeeded}`;
}
