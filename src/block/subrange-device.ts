/**
 * A window of another device: `count` sectors from `start`. Counterpart: one line of dm-linear.
 * Closing the window does not close what is below.
 */

import { assert } from '../base/assert.ts';
import type { IoResult } from '../base/errno.ts';
import type { Sector, SectorCount } from '../base/units.ts';
import { allocationOf, learnAllocation } from './allocation.ts';
import { Bio } from './bio.ts';
import type {
  Allocation,
  AllocationLearnt,
  BlockDevice,
  DeviceCapabilities,
} from './block-device.ts';
import { checkBio } from './check-bio.ts';

export class SubrangeDevice implements BlockDevice {
  readonly name: string;
  readonly sizeSectors: SectorCount;
  readonly #device: BlockDevice;
  readonly #start: Sector;
  /** Bios for below that are not in flight. */
  readonly #spare: Bio[] = [];
  readonly #ended = (inner: Bio, result: IoResult): void => this.#innerEnded(inner, result);

  constructor(device: BlockDevice, window: { start: Sector; count: SectorCount; name?: string }) {
    const { start, count } = window;
    assert(start >= 0 && count > 0, `Window of ${count} sectors at ${start} is empty`);
    assert(
      start + count <= device.sizeSectors,
      `Window of ${count} sectors at ${start} is not inside "${device.name}"`,
    );
    const blockSectors = device.logicalBlockSize / 512;
    assert(
      start % blockSectors === 0 && count % blockSectors === 0,
      `Window of ${count} sectors at ${start} cuts blocks of "${device.name}"`,
    );
    this.name = window.name ?? device.name;
    this.sizeSectors = count;
    this.#device = device;
    this.#start = start;
  }

  get logicalBlockSize(): number {
    return this.#device.logicalBlockSize;
  }

  get capabilities(): DeviceCapabilities {
    return this.#device.capabilities;
  }

  submit(bio: Bio): void {
    checkBio(this, bio);
    if (bio.op === 'flush') {
      this.#device.submit(bio);
      return;
    }
    const inner = this.#spare.pop() ?? this.#makeInner();
    inner.op = bio.op;
    inner.sector = (bio.sector + this.#start) as Sector;
    inner.count = bio.count;
    inner.data = bio.data;
    inner.fua = bio.fua;
    inner.detail = null;
    inner.context = bio;
    this.#device.submit(inner);
  }

  allocation(sector: Sector, count: SectorCount): Allocation {
    return allocationOf(this.#device, (sector + this.#start) as Sector, count);
  }

  learnAllocation(sector: Sector, count: SectorCount, done: AllocationLearnt): void {
    learnAllocation(this.#device, (sector + this.#start) as Sector, count, done);
  }

  async close(): Promise<void> {}

  #makeInner(): Bio {
    return new Bio({
      op: 'read',
      sector: 0 as Sector,
      count: 0 as SectorCount,
      data: null,
      fua: false,
      onEnd: this.#ended,
    });
  }

  #innerEnded(inner: Bio, result: IoResult): void {
    const bio = inner.context as Bio;
    bio.detail = inner.detail;
    inner.context = null;
    inner.data = null;
    this.#spare.push(inner);
    bio.end(result);
  }
}
