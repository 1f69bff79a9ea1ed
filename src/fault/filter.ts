/**
 * A device over another: passes everything on unchanged. All devices that misbehave extend it, so
 * that they stack in any order, over anything, while I/O is running. Counterpart: nbdkit's filters.
 */

import type { IoResult } from '../base/errno.ts';
import type { SectorCount } from '../base/units.ts';
import { Bio } from '../block/bio.ts';
import type { BlockDevice, DeviceCapabilities } from '../block/block-device.ts';

export class DeviceFilter implements BlockDevice {
  readonly next: BlockDevice;

  constructor(next: BlockDevice) {
    this.next = next;
  }

  get name(): string {
    return this.next.name;
  }

  get sizeSectors(): SectorCount {
    return this.next.sizeSectors;
  }

  get logicalBlockSize(): number {
    return this.next.logicalBlockSize;
  }

  get capabilities(): DeviceCapabilities {
    return this.next.capabilities;
  }

  submit(bio: Bio): void {
    this.next.submit(bio);
  }

  measureAgain(): void {
    this.next.measureAgain?.();
  }

  close(): Promise<void> {
    return this.next.close();
  }

  /**
   * Submits a twin of `bio` below and hands its result to `ended` instead of the submitter, who
   * still waits. A twin is allocated for each bio: misbehaviour need not be fast.
   */
  protected forward(bio: Bio, ended: (result: IoResult) => void): void {
    this.next.submit(
      new Bio({
        op: bio.op,
        sector: bio.sector,
        count: bio.count,
        data: bio.data,
        fua: bio.fua,
        onEnd: (twin, result) => {
          bio.detail = twin.detail;
          ended(result);
        },
      }),
    );
  }
}
