/**
 * When a FUA write or a flush is acknowledged, what it covers is durable on *every* leg that is in
 * sync, so that any one of them may be lost (specification 2.8; 12, invariant 25). For machines
 * without faults.
 */

import { possibleSectors } from '../machine/device-state.ts';
import { identifySector } from '../machine/sector-payload.ts';
import type { SimMachine } from '../machine/sim-machine.ts';
import { describeAllowed, describeContents, isAllowed, type Oracle } from '../oracle.ts';
import type { RegionTracker } from '../region-tracker.ts';
import type { AcknowledgementListener } from '../sim-client.ts';

export class AcknowledgedDurable implements AcknowledgementListener {
  readonly #regions: RegionTracker;

  constructor(regions: RegionTracker) {
    this.#regions = regions;
  }

  durable(machine: SimMachine, oracle: Oracle): void {
    if (machine.faulted) return;
    const { table } = machine;
    const allowed = oracle.afterPowerCut();
    for (const leg of table.legs) {
      const state = machine.stateOf(machine.legs[leg]!);
      for (let sector = 0; sector < table.sectors; sector++) {
        const region = Math.floor(sector / table.regionSizeSectors);
        if (!this.#regions.isSettled(leg, region)) continue;
        for (const value of possibleSectors(state, sector)) {
          const observed = identifySector(value, sector);
          if (isAllowed(observed, allowed[sector]!)) continue;
          const holds = `sector ${sector} of leg ${leg} may hold ${describeContents(observed)}`;
          machine.find({
            checker: 'acknowledged-durable-everywhere',
            message: `${holds}, acknowledged as durable: ${describeAllowed(allowed[sector]!)}`,
            sector,
            leg,
            observed,
          });
        }
      }
    }
  }
}
