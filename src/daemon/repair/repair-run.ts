/**
 * Repairs one device once: chooses the next table, makes it live, and takes another where a spare
 * turns out to be useless. Ends after at most as many attempts as there are spares, and one.
 */

import { UserError } from '../../base/failure.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { type TableLine, textOf } from '../../dm/table-line.ts';
import { carryOver } from '../../mirror/next-table.ts';
import {
  planRepair,
  type RepairPlan,
  type RepairPolicies,
  type Spare,
} from '../../mirror/repair-table.ts';
import { conditionsOf, type LineCondition } from './mirror-condition.ts';
import { type NewTable, replaceTable } from './replace-table.ts';
import { RECORD_FAILED, type TableRecord } from './table-record.ts';

export interface RepairTools {
  readonly policies: RepairPolicies;
  readonly record: TableRecord;
  /** The spares as they are now, in the operator's order. */
  readonly inspectSpares: (device: MappedDevice) => Promise<readonly Spare[]>;
}

export interface RepairedTable extends NewTable {
  /** The lines before. */
  readonly old: string;
  readonly reasons: readonly string[];
  readonly used: readonly string[];
  readonly regionsAtRisk: number;
  /** The new table has to be replaced once more: at once, or when it is in sync. */
  readonly settles: 'at once' | 'in sync' | null;
}

export type RepairOutcome =
  | { readonly kind: 'healthy' }
  | { readonly kind: 'repaired'; readonly table: RepairedTable }
  | { readonly kind: 'failed'; readonly reason: string };

/** Thrown by a plan that finds nothing to do; it is no failure. */
class NothingToRepair extends UserError {
  constructor() {
    super('healthy', 'Nothing is to be repaired any more');
  }
}

export interface RepairOptions {
  /** A repair has made the live table, and it has not been in sync yet. */
  readonly repairing: boolean;
  /** The live table has a word that was meant for one start: it is replaced in any case. */
  readonly settling: boolean;
}

export async function repairDevice(
  device: MappedDevice,
  tools: RepairTools,
  options: RepairOptions,
): Promise<RepairOutcome> {
  let spares = await tools.inspectSpares(device);
  for (;;) {
    let chosen: RepairedTable | null = null;
    const plan = async (): Promise<RepairedTable> => {
      const conditions = await conditionsOf(device, options);
      chosen = planTable(conditions, { ...tools, spares, ...options });
      return chosen;
    };
    try {
      const { record } = tools;
      const table = await replaceTable({ device, record, noflush: true, plan });
      return { kind: 'repaired', table };
    } catch (error) {
      if (error instanceof NothingToRepair) return { kind: 'healthy' };
      if (!(error instanceof UserError)) throw error;
      const used = usedBy(chosen);
      if (used.length === 0 || error.code === RECORD_FAILED) {
        return { kind: 'failed', reason: error.message };
      }
      // One of them is to blame, or none; without them it is seen. So each round has fewer.
      const problem = `a table with it was refused (${error.message})`;
      spares = spares.map((spare) => (used.includes(spare.device) ? { ...spare, problem } : spare));
    }
  }
}

interface Means {
  readonly policies: RepairPolicies;
  readonly spares: readonly Spare[];
  readonly settling: boolean;
}

function planTable(
  conditions: readonly LineCondition[],
  { policies, spares, settling }: Means,
): RepairedTable {
  let left = spares;
  const plans: RepairPlan[] = [];
  const next: { line: TableLine; record: TableLine }[] = [];
  for (const { line, mirror } of conditions) {
    if (mirror === null) {
      next.push({ line, record: line });
      continue;
    }
    const decision = planRepair(mirror, policies, left);
    if (decision.kind === 'hopeless' && !settling) {
      throw new UserError('beyond-repair', `Nothing can be repaired: ${decision.reason}`);
    }
    if (decision.kind !== 'repair') {
      next.push(carryOver(mirror));
      continue;
    }
    const { plan } = decision;
    left = left.filter((spare) => !plan.used.includes(spare.device));
    plans.push(plan);
    next.push(plan.next);
  }
  if (plans.length === 0 && !settling) throw new NothingToRepair();
  const settles = plans.map((plan) => plan.next.settled?.when);
  return {
    lines: next.map(({ line }) => line),
    record: next.map(({ record }) => record),
    unsettled: settles.some((when) => when !== undefined),
    old: textOf(conditions.map(({ line }) => line)),
    reasons: plans.flatMap(({ reasons }) => reasons),
    used: plans.flatMap(({ used }) => used),
    regionsAtRisk: plans.reduce((sum, { regionsAtRisk }) => sum + regionsAtRisk, 0),
    settles: settles.includes('in sync')
      ? 'in sync'
      : settles.includes('at once')
        ? 'at once'
        : null,
  };
}

/** A function of its own: the compiler does not see that the plan has set it. */
function usedBy(chosen: RepairedTable | null): readonly string[] {
  return chosen?.used ?? [];
}
