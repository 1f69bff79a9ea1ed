/**
 * A mapped device as the underlying device of another's table: the same device, but closing it only
 * ends this use. The name is the one in the table.
 */

import type { Sector, SectorCount } from '../base/units.ts';
import type { Bio } from '../block/bio.ts';
import type {
  Allocation,
  AllocationLearnt,
  BlockDevice,
  DeviceCapabilities,
} from '../block/block-device.ts';
import type { MappedDevice } from './mapped-device.ts';

export class MappedDeviceHandle implements BlockDevice {
  readonly name: string;
  readonly mapped: MappedDevice;

  constructor(mapped: MappedDevice, name: string) {
    this.mapped = mapped;
    this.name = name;
    mapped.opened();
  }

  get sizeSectors(): SectorCount {
    return this.mapped.sizeSectors;
  }

  get logicalBlockSize(): number {
    return this.mapped.logicalBlockSize;
  }

  get capabilities(): DeviceCapabilities {
    return this.mapped.capabilities;
  }

  submit(bio: Bio): void {
    this.mapped.submit(bio);
  }

  allocation(sector: Sector, count: SectorCount): Allocation {
    return this.mapped.allocation(sector, count);
  }

  learnAllocation(sector: Sector, count: SectorCount, done: AllocationLearnt): void {
    this.mapped.learnAllocation(sector, count, done);
  }

  async close(): Promise<void> {
    this.mapped.released();
  }
}
