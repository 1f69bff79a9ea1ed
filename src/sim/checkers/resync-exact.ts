/**
 * A resynchronisation copies everything that the log demanded, and nothing else (I6): to every leg
 * but the first, and without a write to the first.
 *
 * Listens to a machine that serves no writes of clients.
 */

import { type Bio, isWriteOp } from '../../block/bio.ts';
import type { Finding } from '../findings.ts';
import { demandedRegions } from '../machine/log-image.ts';
import type { MachineListener, SimMachine } from '../machine/sim-machine.ts';

export class ResyncExact implements MachineListener {
  /** Sectors written so far, per leg. */
  readonly #written = new Map<number, Set<number>>();

  legSubmitted(_machine: SimMachine, leg: number, bio: Bio): void {
    if (!isWriteOp(bio.op)) return;
    const sectors = this.#written.get(leg) ?? new Set<number>();
    this.#written.set(leg, sectors);
    for (let at = bio.sector as number; at < bio.sector + bio.count; at++) sectors.add(at);
  }

  /** To be asked when the mirror is in sync. */
  check(machine: SimMachine): Finding[] {
    const { table } = machine;
    const demanded = demandedRegions(machine.booted.log, table);
    const [source, ...destinations] = table.legs;
    const findings: Finding[] = [];
    if (this.#written.has(source!)) {
      findings.push({
        checker: 'resync-exact',
        message: `leg ${source}, the source, was written during a resynchronisation`,
        leg: source!,
      });
    }
    for (const leg of destinations) {
      const written = this.#written.get(leg) ?? new Set<number>();
      for (let sector = 0; sector < machine.setup.legSectors; sector++) {
        const region = Math.floor(sector / table.regionSizeSectors);
        const wanted = sector < table.sectors && demanded.has(region);
        if (wanted === written.has(sector)) continue;
        const problem = wanted ? 'not copied, although the log demands it' : 'copied without need';
        findings.push({
          checker: 'resync-exact',
          message: `sector ${sector} of region ${region} was ${problem}, to leg ${leg}`,
          sector,
          region,
          leg,
        });
      }
    }
    return findings;
  }
}
