/**
 * At any instant, each region in which the legs may differ after a power cut is dirty in the log as
 * it would be read after that cut (specification 12, invariants 1 to 5, 20).
 *
 * Legs and log are cut by the same switch but lose independently, so this judges every outcome of
 * the cut without listing them: a region is safe when the log surely says dirty, or the legs are
 * surely equal.
 */

import type { Finding } from '../findings.ts';
import { type DeviceState, equalBytes, possibleSectors } from '../machine/device-state.ts';
import { surelyDirty } from '../machine/log-image.ts';
import type { MirrorTable } from '../machine/machine-setup.ts';
import type { AllowedContents } from '../oracle.ts';

/** `allowed` names the sectors whose contents are undefined: discards are never logged. */
export function checkLogCoversDivergence(
  states: readonly DeviceState[],
  table: MirrorTable,
  allowed: readonly AllowedContents[],
): Finding[] {
  if (table.log !== 'disk') return [];
  const log = states[states.length - 1]!;
  const legs = table.legs.map((leg) => states[leg]!);
  const findings: Finding[] = [];
  const dirty = new Map<number, boolean>();
  for (let sector = 0; sector < table.sectors; sector++) {
    if (allowed[sector]?.anything || surelyEqual(legs, sector)) continue;
    const region = Math.floor(sector / table.regionSizeSectors);
    if (!dirty.has(region)) dirty.set(region, surelyDirty(log, table, region));
    if (dirty.get(region)) continue;
    findings.push({
      checker: 'log-covers-divergence',
      message: `legs may differ in sector ${sector}, region ${region} may be clean in the log`,
      sector,
      region,
    });
  }
  return findings;
}

function surelyEqual(legs: readonly DeviceState[], sector: number): boolean {
  const values = legs.flatMap((leg) => possibleSectors(leg, sector));
  return values.every((value) => equalBytes(value, values[0]!));
}
