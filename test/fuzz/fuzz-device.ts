/** A device in memory whose requests end at once, later in any order, or with an errno. */

import { type IoResult, OK } from '../../src/base/errno.ts';
import type { Prng } from '../../src/base/prng.ts';
import { SECTOR_SIZE, type SectorCount } from '../../src/base/units.ts';
import { type Bio, isWriteOp } from '../../src/block/bio.ts';
import type { BlockDevice, DeviceCapabilities } from '../../src/block/block-device.ts';
import { checkBio } from '../../src/block/check-bio.ts';

export interface FuzzDeviceOptions {
  readonly name: string;
  readonly sectors: number;
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly discard: boolean;
  readonly writeZeroes: boolean;
  /** Holds nothing: reads zeros, forgets writes; for sizes that no memory has. */
  readonly hollow: boolean;
}

export class FuzzDevice implements BlockDevice {
  readonly name: string;
  readonly sizeSectors: SectorCount;
  readonly logicalBlockSize: number;
  readonly capabilities: DeviceCapabilities;
  /** Empty for a hollow device. */
  readonly bytes: Uint8Array;
  /** Requests wait until `release`. */
  holding = false;
  /** So many more requests fail, with this errno. */
  failures = 0;
  errno: IoResult = OK;
  /** A request has failed, or may have. */
  hasFailed = false;
  readonly #held: Bio[] = [];
  readonly #prng: Prng;

  constructor(options: FuzzDeviceOptions, prng: Prng) {
    this.name = options.name;
    this.sizeSectors = options.sectors as SectorCount;
    this.logicalBlockSize = options.blockSize;
    const { readOnly, discard, writeZeroes } = options;
    this.capabilities = { readOnly, discard, writeZeroes, rotational: false };
    this.bytes = new Uint8Array(options.hollow ? 0 : options.sectors * SECTOR_SIZE);
    this.#prng = prng;
  }

  get heldCount(): number {
    return this.#held.length;
  }

  submit(bio: Bio): void {
    checkBio(this, bio);
    if (isWriteOp(bio.op) && this.capabilities.readOnly) throw new Error('A write to a read-only');
    if (bio.op === 'discard' && !this.capabilities.discard) throw new Error('A discard');
    if (bio.op === 'write-zeroes' && !this.capabilities.writeZeroes) throw new Error('A zeroing');
    if (this.holding) this.#held.push(bio);
    else this.#serve(bio);
  }

  /** Ends so many held requests, drawn at random. */
  release(count: number): void {
    for (let i = 0; i < count && this.#held.length > 0; i++) {
      const at = this.#prng.between(0, this.#held.length - 1);
      this.#serve(this.#held.splice(at, 1)[0]!);
    }
  }

  /** Works again, whatever was done to it. */
  mend(): void {
    this.holding = false;
    this.failures = 0;
    this.release(this.#held.length);
  }

  async close(): Promise<void> {}

  #serve(bio: Bio): void {
    if (this.failures > 0) {
      this.failures -= 1;
      this.hasFailed = true;
      // A failed write may have changed anything that it was to change, or nothing.
      if (this.#prng.chance(1, 2)) this.#apply(bio);
      bio.fail(this.errno, `"${this.name}" fails`);
      return;
    }
    this.#apply(bio);
    bio.end(OK);
  }

  #apply(bio: Bio): void {
    const start = bio.sector * SECTOR_SIZE;
    const end = start + bio.count * SECTOR_SIZE;
    if (this.bytes.length === 0) {
      if (bio.op === 'read') bio.data!.fill(0);
      return;
    }
    if (bio.op === 'read') bio.data!.set(this.bytes.subarray(start, end));
    else if (bio.op === 'write') this.bytes.set(bio.data!, start);
    else if (bio.op !== 'flush') this.bytes.fill(0, start, end);
  }
}
