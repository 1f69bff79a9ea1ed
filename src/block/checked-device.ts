/**
 * A device whose contract is asserted on both sides: of the submitter, that bios are well-formed,
 * aligned, understood, not in flight twice and, where asked, that write data stays as it was; of
 * the device below, that each bio ends exactly once, with a result, and that none is left at
 * `close`.
 *
 * For tests and for the simulator; it allocates for each bio.
 */

import { assert } from '../base/assert.ts';
import { type IoResult, OK } from '../base/errno.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../base/units.ts';
import { allocationOf, learnAllocation } from './allocation.ts';
import { Bio, isWriteOp } from './bio.ts';
import type {
  Allocation,
  AllocationLearnt,
  BlockDevice,
  DeviceCapabilities,
} from './block-device.ts';
import { checkBio, describeBio } from './check-bio.ts';

export interface CheckedDeviceOptions {
  /** Asserts that nobody touches the data of a write in flight: costs one pass over it, twice. */
  readonly checksums?: boolean;
  /**
   * Results below zero are accepted: inside device-mapper, where a target may ask for a requeue.
   */
  readonly requeueAllowed?: boolean;
}

export class CheckedDevice implements BlockDevice {
  readonly #device: BlockDevice;
  readonly #checksums: boolean;
  readonly #requeueAllowed: boolean;
  readonly #inFlight = new Set<Bio>();
  #closed = false;

  constructor(device: BlockDevice, options: CheckedDeviceOptions = {}) {
    this.#device = device;
    this.#checksums = options.checksums ?? false;
    this.#requeueAllowed = options.requeueAllowed ?? false;
  }

  get name(): string {
    return this.#device.name;
  }

  get sizeSectors(): SectorCount {
    return this.#device.sizeSectors;
  }

  get logicalBlockSize(): number {
    return this.#device.logicalBlockSize;
  }

  get capabilities(): DeviceCapabilities {
    return this.#device.capabilities;
  }

  allocation(sector: Sector, count: SectorCount): Allocation {
    assert(
      sector >= 0 && count > 0 && sector + count <= this.sizeSectors,
      `Allocation of ${count} sectors at ${sector} is asked of ${this.sizeSectors}`,
    );
    const known = allocationOf(this.#device, sector, count);
    assert(known.count > 0 && known.count <= count, `Allocation of ${known.count} sectors`);
    assert(known.zero || !known.hole, 'A hole that does not read as zeros');
    return known;
  }

  learnAllocation(sector: Sector, count: SectorCount, done: AllocationLearnt): void {
    learnAllocation(this.#device, sector, count, (known) => {
      assert(known > 0 && known <= count, `Allocation of ${known} sectors was learnt of ${count}`);
      done(known);
    });
  }

  measureAgain(): void {
    this.#device.measureAgain?.();
  }

  /** How many bios have been submitted and have not ended. */
  get inFlightCount(): number {
    return this.#inFlight.size;
  }

  submit(bio: Bio): void {
    const what = `${describeBio(bio)} of "${this.name}"`;
    assert(!this.#closed, `${what} after close`);
    assert(!this.#inFlight.has(bio), `${what}: this bio is in flight already`);
    checkBio(this, bio);
    this.#checkAgainstDevice(bio, what);
    this.#inFlight.add(bio);
    this.#device.submit(this.#innerOf(bio, what));
  }

  close(): Promise<void> {
    assert(!this.#closed, `"${this.name}" is closed twice`);
    assert(this.#inFlight.size === 0, `${this.#inFlight.size} bios of "${this.name}" at close`);
    this.#closed = true;
    return this.#device.close();
  }

  #checkAgainstDevice(bio: Bio, what: string): void {
    const blockSectors = this.logicalBlockSize / SECTOR_SIZE;
    assert(
      bio.sector % blockSectors === 0 && bio.count % blockSectors === 0,
      `${what} is not aligned to blocks of ${this.logicalBlockSize} bytes`,
    );
    assert(!bio.fua || isWriteOp(bio.op), `${what}: only what changes a device has fua`);
    const { discard, writeZeroes } = this.capabilities;
    assert(bio.op !== 'discard' || discard, `${what}: the device does not discard`);
    assert(bio.op !== 'write-zeroes' || writeZeroes, `${what}: the device does not write zeroes`);
  }

  #innerOf(bio: Bio, what: string): Bio {
    const { op, sector, count, data, fua } = bio;
    const sum = this.#checksums && op === 'write' ? checksum(data!) : 0;
    let hasEnded = false;
    return new Bio({
      op,
      sector,
      count,
      data,
      fua,
      onEnd: (inner, result) => {
        assert(!hasEnded, `${what} ended twice`);
        hasEnded = true;
        assert(!this.#closed, `${what} ended after close`);
        this.#checkResult(result, what);
        assert(
          bio.op === op && bio.sector === sector && bio.count === count && bio.data === data,
          `${what} was changed in flight`,
        );
        if (this.#checksums && op === 'write') {
          assert(checksum(data!) === sum, `${what}: its data was changed in flight`);
        }
        this.#inFlight.delete(bio);
        bio.detail = inner.detail;
        bio.end(result);
      },
    });
  }

  #checkResult(result: IoResult, what: string): void {
    const isResult = Number.isInteger(result) && (result >= OK || this.#requeueAllowed);
    assert(isResult, `${what} ended with ${result}, must be 0 or an errno`);
  }
}

/** FNV-1a. */
function checksum(data: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of data) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
