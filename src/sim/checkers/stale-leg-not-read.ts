/**
 * A region that is out of sync is read from the default leg only (specification 12, invariant 10).
 *
 * Says nothing once an error was injected, since the default leg may then move.
 */

import type { Bio } from '../../block/bio.ts';
import type { MachineListener, SimMachine } from '../machine/sim-machine.ts';
import type { RegionTracker } from '../region-tracker.ts';

export class StaleLegNotRead implements MachineListener {
  readonly #regions: RegionTracker;

  constructor(regions: RegionTracker) {
    this.#regions = regions;
  }

  legSubmitted(machine: SimMachine, leg: number, bio: Bio): void {
    const { table } = machine;
    if (bio.op !== 'read' || leg === table.legs[0] || machine.faulted) return;
    const region = Math.floor(bio.sector / table.regionSizeSectors);
    if (!this.#regions.isOutOfSync(region)) return;
    machine.find({
      checker: 'stale-leg-not-read',
      message: `leg ${leg} is read in region ${region}, which is out of sync`,
      region,
      leg,
      sector: bio.sector,
    });
  }
}
