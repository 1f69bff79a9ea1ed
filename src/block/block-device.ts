/**
 * The contract of everything that has sectors: files, disks, faults, mapped devices, remote
 * exports.
 *
 * A device may end a bio before `submit` returns, or later; in any order; exactly once. It never
 * throws for an I/O error. What holds of order and durability:
 * - bios in flight together have no order among them, but of writes to one place the last one
 *   submitted stays, or the legs of a mirror would differ in the end (injected faults, and mirrors
 *   that hold writes back, may let them overtake each other);
 * - a write that has ended is seen by every read submitted afterwards;
 * - a flush covers every write that *ended* before the flush was submitted, and no more;
 * - a write with `fua` is durable when it ends with 0; nothing is said of other writes;
 * - a write that ends with an errno may have changed any, all or none of its sectors.
 * `checked-device.ts` asserts the part of this that can be asserted.
 */

import type { Sector, SectorCount } from '../base/units.ts';
import type { Bio } from './bio.ts';

export interface DeviceCapabilities {
  readonly readOnly: boolean;
  /** `discard` is understood. What was discarded reads as anything until it is rewritten. */
  readonly discard: boolean;
  /** `write-zeroes` is understood and may be faster than writing. */
  readonly writeZeroes: boolean;
  readonly rotational: boolean;
  /** False: there is nothing to flush, and a flush ends at once with 0 wherever it is. */
  readonly flush?: boolean;
}

/** What is known, without reading, of a run of sectors from the one that was asked about. */
export interface Allocation {
  /** At least 1, at most as many as were asked about; what follows may be alike. */
  readonly count: SectorCount;
  /** A read submitted now would succeed and return zeros only. */
  readonly zero: boolean;
  /** No space is set aside, so that a write may find none. Only where `zero`. */
  readonly hole: boolean;
}

export type AllocationLearnt = (count: SectorCount) => void;

export interface BlockDevice {
  /** As the operator named it; used in messages and status lines. */
  readonly name: string;
  /** May change only where a mapped device's table is replaced, and by `measureAgain`. */
  readonly sizeSectors: SectorCount;
  /** The unit of atomic writes in bytes, a power of two from 512 to 65536. */
  readonly logicalBlockSize: number;
  readonly capabilities: DeviceCapabilities;
  submit(bio: Bio): void;
  /**
   * Looks whether what is below has grown: somebody asks for the device again, maybe for a table
   * that is longer. It never becomes smaller, since other tables count on what they have. Absent
   * where sizes are for good.
   */
  measureAgain?(): void;
  /**
   * What is known of the contents of a range inside the device, beginning with its first sector;
   * absent where nothing ever is. It must be true of a read that is submitted now, whoever asks,
   * and costs a few system calls at most.
   */
  allocation?(sector: Sector, count: SectorCount): Allocation;
  /**
   * Asks whoever knows, where `allocation` alone cannot tell; absent where it always can. `done` is
   * called once, perhaps at once, and until it returns `allocation` tells what was learnt of the
   * first so many sectors, 1 to `count`.
   */
  learnAllocation?(sector: Sector, count: SectorCount, done: AllocationLearnt): void;
  /**
   * Releases what the device holds. Every submitted bio has ended before; none is submitted after.
   */
  close(): Promise<void>;
}
