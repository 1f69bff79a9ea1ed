/** A device that nodes share, as one process of a node has it. */

import type { Clock } from '../../../src/base/clock.ts';
import type { SectorCount } from '../../../src/base/units.ts';
import type { Bio } from '../../../src/block/bio.ts';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import type { MemoryDevice } from '../../../src/block/memory-device.ts';
import { runBio } from '../../../src/block/run-bio.ts';
import type { NodeClock } from './node-clock.ts';

export interface NodeDeviceOptions {
  readonly device: MemoryDevice;
  /** Of the process. */
  readonly clock: NodeClock;
  /** Of what is on its way to the device. */
  readonly network: Clock;
  readonly delayMs: () => number;
  /** Whether what was on its way when the process died gets there. */
  readonly landsAfterDeath: () => boolean;
  /** A write has got there. */
  readonly landed: (sector: number) => void;
}

/** Requests take time, and may outlive the process. */
export class NodeDevice implements BlockDevice {
  readonly name: string;
  readonly sizeSectors: SectorCount;
  readonly logicalBlockSize = 512;
  readonly capabilities = {
    readOnly: false,
    discard: false,
    writeZeroes: false,
    rotational: false,
  };
  readonly #options: NodeDeviceOptions;

  constructor(options: NodeDeviceOptions) {
    this.#options = options;
    this.name = options.device.name;
    this.sizeSectors = options.device.sizeSectors;
  }

  submit(bio: Bio): void {
    const { device, clock, network, delayMs, landsAfterDeath, landed } = this.#options;
    const { op, sector, count, fua } = bio;
    const data = op === 'write' ? bio.data!.slice() : bio.data;
    network.after(delayMs(), () => {
      if (clock.isDead && !landsAfterDeath()) return;
      void runBio(device, { op, sector, count, data, fua });
      if (op === 'write') landed(sector);
      clock.after(delayMs(), () => bio.end(0));
    });
  }

  async close(): Promise<void> {}
}
