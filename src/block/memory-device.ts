/**
 * A device in memory. It answers before `submit` returns, and is as durable as the process: a flush
 * has nothing to do. Discarded sectors read as zeros.
 */

import { assert } from '../base/assert.ts';
import { EROFS, OK } from '../base/errno.ts';
import { bytesToSectors, SECTOR_SIZE, type Sector, type SectorCount } from '../base/units.ts';
import { type Bio, isWriteOp } from './bio.ts';
import type { Allocation, BlockDevice, DeviceCapabilities } from './block-device.ts';
import { checkBio } from './check-bio.ts';
import { FlatStore, type MemoryStore, SparseStore } from './memory-store.ts';

export interface MemoryDeviceOptions {
  readonly name?: string;
  readonly sizeSectors: number;
  readonly logicalBlockSize?: number;
  readonly readOnly?: boolean;
  /** Memory is taken only for what was written: for big devices. */
  readonly sparse?: boolean;
}

export class MemoryDevice implements BlockDevice {
  readonly name: string;
  readonly identity: string;
  readonly sizeSectors: SectorCount;
  readonly logicalBlockSize: number;
  readonly capabilities: DeviceCapabilities;
  readonly #store: MemoryStore;

  constructor(options: MemoryDeviceOptions) {
    this.name = options.name ?? 'memory';
    this.identity = this.name;
    this.sizeSectors = options.sizeSectors as SectorCount;
    this.logicalBlockSize = options.logicalBlockSize ?? SECTOR_SIZE;
    this.capabilities = {
      readOnly: options.readOnly ?? false,
      discard: true,
      writeZeroes: true,
      rotational: false,
    };
    this.#store =
      options.sparse === true
        ? new SparseStore()
        : new FlatStore(new Uint8Array(options.sizeSectors * SECTOR_SIZE));
  }

  /** A device that holds a copy of `bytes`, whole sectors. */
  static of(bytes: Uint8Array, name?: string): MemoryDevice {
    assert(bytes.length % SECTOR_SIZE === 0, `${bytes.length} bytes are not whole sectors`);
    const device = new MemoryDevice({
      sizeSectors: bytesToSectors(bytes.length),
      ...(name === undefined ? {} : { name }),
    });
    device.bytes.set(bytes);
    return device;
  }

  /** Everything on it, to be looked at and changed by tests. Not of a sparse device. */
  get bytes(): Uint8Array {
    assert(this.#store instanceof FlatStore, `Memory device "${this.name}" is sparse`);
    return this.#store.bytes;
  }

  submit(bio: Bio): void {
    checkBio(this, bio);
    if (this.capabilities.readOnly && isWriteOp(bio.op)) {
      bio.fail(EROFS, `"${this.name}" is read-only`);
      return;
    }
    const offset = bio.sector * SECTOR_SIZE;
    if (bio.op === 'read') this.#store.read(offset, bio.data!);
    else if (bio.op === 'write') this.#store.write(offset, bio.data!);
    else if (bio.op !== 'flush') this.#store.zero(offset, bio.count * SECTOR_SIZE);
    bio.end(OK);
  }

  allocation(sector: Sector, count: SectorCount): Allocation {
    const { length, written } = this.#store.run(sector * SECTOR_SIZE, count * SECTOR_SIZE);
    return { count: bytesToSectors(length), zero: !written, hole: !written };
  }

  async close(): Promise<void> {}
}
