/** The status line, and the events, agree with what happened (I10; specification 7.1, 7.4). */

import type { Finding } from '../findings.ts';
import { demandedRegions } from '../machine/log-image.ts';
import { regionCountOf } from '../machine/machine-setup.ts';
import type { SimMachine } from '../machine/sim-machine.ts';
import { parseMirrorStatus } from '../mirror-status-line.ts';

/** Right after a start: as many regions are in sync as the log did not ask to copy. */
export async function checkStatusAtStart(machine: SimMachine): Promise<Finding[]> {
  const regions = regionCountOf(machine.table);
  const demanded = demandedRegions(machine.booted.log, machine.table).size;
  return compare(machine, await machine.stack.status(), regions - demanded);
}

/** In sync, nobody failed: all regions, all letters A, and an event was raised. */
export async function checkStatusInSync(machine: SimMachine): Promise<Finding[]> {
  const findings = compare(machine, await machine.stack.status(), regionCountOf(machine.table));
  // Then it was in sync before anybody could wait for an event.
  const wasBornInSync = machine.table.syncWord === 'nosync';
  if (machine.stack.eventNumber === 0 && !wasBornInSync) {
    findings.push({
      checker: 'status-agrees',
      message: 'no event said that the mirror is in sync',
    });
  }
  return findings;
}

function compare(machine: SimMachine, line: string, inSyncRegions: number): Finding[] {
  const status = parseMirrorStatus(line);
  const { table } = machine;
  const expected = {
    ratio: `${inSyncRegions}/${regionCountOf(table)}`,
    health: 'A'.repeat(table.legs.length),
    log: table.log === 'disk' ? 'disk A' : 'core -',
  };
  const found = {
    ratio: `${status.inSyncRegions}/${status.regions}`,
    health: status.health,
    log: `${status.log} ${status.logHealth}`,
  };
  const findings: Finding[] = [];
  for (const key of ['ratio', 'health', 'log'] as const) {
    if (found[key] === expected[key]) continue;
    const message = `status says ${key} ${found[key]}, must be ${expected[key]}: "${line}"`;
    findings.push({ checker: 'status-agrees', message });
  }
  return findings;
}
