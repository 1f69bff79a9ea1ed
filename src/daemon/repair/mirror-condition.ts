/** The live table of a device as repair and split see it: its lines, and how its mirrors are. */

import type { MappedDevice } from '../../dm/mapped-device.ts';
import { parseTable, type TableLine } from '../../dm/table-line.ts';
import { parseMirrorLine } from '../../mirror/mirror-line.ts';
import { MirrorTarget } from '../../mirror/mirror-target.ts';
import type { MirrorCondition } from '../../mirror/next-table.ts';

export interface LineCondition {
  readonly line: TableLine;
  /** Null for a line that is no mirror. */
  readonly mirror: MirrorCondition | null;
}

/** Empty without a live table. `repairing`: a repair has made it. */
export async function conditionsOf(
  device: MappedDevice,
  options: { readonly repairing: boolean } = { repairing: false },
): Promise<LineCondition[]> {
  const table = device.liveTable;
  if (table === null) return [];
  const texts = await table.status('table');
  const conditions: LineCondition[] = [];
  for (const [index, { target }] of table.targets.entries()) {
    const [line] = parseTable(texts[index]!);
    const mirror =
      target instanceof MirrorTarget
        ? { ...(await mirrorCondition(line!, target)), ...options }
        : null;
    conditions.push({ line: line!, mirror });
  }
  return conditions;
}

async function mirrorCondition(line: TableLine, { set }: MirrorTarget) {
  const { legs, log, geometry, defaultLeg } = set;
  return {
    line: parseMirrorLine(line),
    health: legs.map((leg) => leg.health).join(''),
    logHealth: await logHealth(set),
    regionsInSync: await log.getSyncCount('status'),
    regionCount: geometry.regionCount,
    defaultLeg: defaultLeg.index,
  };
}

/** As LVM's monitor, which looks at the letter of a disk log only (specification 13.1). */
async function logHealth({ log }: MirrorTarget['set']): Promise<string> {
  if (log.type.name !== 'disk') return 'A';
  const text = await log.status('info', (device) => device.name);
  return text.slice(-1);
}
