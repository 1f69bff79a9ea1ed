/**
 * A device that can be made to misbehave while it is in use. With no fault armed it costs one
 * branch a request.
 *
 * Faults belong to the thing, not to the opened device: a disk that is offline stays so when a
 * table gives it back and another opens it again.
 */

import type { Sector, SectorCount } from '../base/units.ts';
import { allocationOf, learnAllocation, unknownAllocation } from '../block/allocation.ts';
import type { Bio } from '../block/bio.ts';
import type { Allocation, AllocationLearnt, BlockDevice } from '../block/block-device.ts';
import type { ArmedFault } from './armed-fault.ts';
import { DeviceFilter } from './filter.ts';

/** The faults of one thing, by whatever names and however often it is opened. */
export class DeviceFaults {
  #faults: readonly ArmedFault[] = [];
  #active = false;

  /** Some fault may strike. */
  get active(): boolean {
    return this.#active;
  }

  arm(fault: ArmedFault): void {
    this.#faults = [...this.#faults, fault];
    this.#active = true;
  }

  remove(fault: ArmedFault): void {
    this.#faults = this.#faults.filter((one) => one !== fault);
    this.#look();
  }

  /** The fault that was armed first, of those that strike, decides. */
  strike(bio: Bio, device: BlockDevice, next: BlockDevice): boolean {
    for (const fault of this.#faults) {
      if (!fault.armed || !fault.strike(bio, device, next)) continue;
      if (!fault.armed) this.#look();
      return true;
    }
    return false;
  }

  #look(): void {
    this.#active = this.#faults.some((fault) => fault.armed);
  }
}

export class FaultableDevice extends DeviceFilter {
  readonly faults: DeviceFaults;

  constructor(next: BlockDevice, faults: DeviceFaults) {
    super(next);
    this.faults = faults;
  }

  override submit(bio: Bio): void {
    if (this.faults.active && this.faults.strike(bio, this, this.next)) return;
    this.next.submit(bio);
  }

  /** While something may strike nobody knows what a read would give. */
  allocation(sector: Sector, count: SectorCount): Allocation {
    if (this.faults.active) return unknownAllocation(count);
    return allocationOf(this.next, sector, count);
  }

  learnAllocation(sector: Sector, count: SectorCount, done: AllocationLearnt): void {
    if (this.faults.active) done(count);
    else learnAllocation(this.next, sector, count, done);
  }
}
