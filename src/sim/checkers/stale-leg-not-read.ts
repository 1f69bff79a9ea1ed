/**
 * A region that is out of sync is read from the default leg only (specification 12, invariant 10).
 *
 * Follows which regions are out of sync from what the log demanded at the start and the points at
 * which regions come into sync. Says nothing once an error was injected, since the default leg may
 * then move.
 */

import type { PointName } from '../../base/probe.ts';
import type { Bio } from '../../block/bio.ts';
import { demandedRegions } from '../log-image.ts';
import type { MachineListener, SimMachine } from '../sim-machine.ts';

export class StaleLegNotRead implements MachineListener {
  readonly #outOfSync: Set<number>;

  constructor(machineLog: Uint8Array, table: Parameters<typeof demandedRegions>[1]) {
    this.#outOfSync = demandedRegions(machineLog, table);
  }

  pointReached(_machine: SimMachine, point: PointName, _leg: number, region: number): void {
    if (point === 'R4') this.#outOfSync.delete(region);
  }

  isOutOfSync(region: number): boolean {
    return this.#outOfSync.has(region);
  }

  legSubmitted(machine: SimMachine, leg: number, bio: Bio): void {
    const { table } = machine;
    if (bio.op !== 'read' || leg === table.legs[0] || machine.faulted) return;
    const region = Math.floor(bio.sector / table.regionSizeSectors);
    if (!this.#outOfSync.has(region)) return;
    machine.find({
      checker: 'stale-leg-not-read',
      message: `leg ${leg} is read in region ${region}, which is out of sync`,
      region,
      leg,
      sector: bio.sector,
    });
  }
}
