/** A memory device whose faults a test switches: failing, holding requests back, recording them. */

import { EIO, OK } from '../../src/base/errno.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../../src/base/units.ts';
import { unknownAllocation } from '../../src/block/allocation.ts';
import type { Bio, BioOp } from '../../src/block/bio.ts';
import type { Allocation, BlockDevice, DeviceCapabilities } from '../../src/block/block-device.ts';

export class ScriptedDevice implements BlockDevice {
  readonly name: string;
  readonly sizeSectors: SectorCount;
  readonly logicalBlockSize: number;
  readonly capabilities: DeviceCapabilities;
  readonly bytes: Uint8Array;
  /** Operations that fail with EIO. */
  readonly failing = new Set<BioOp>();
  /** Sectors at which reads and writes fail, whatever `failing` says. */
  readonly badSectors = new Set<number>();
  /** A read that meets a bad sector has read what comes before it. */
  readsUpToBad = false;
  /** Every request in the order of its coming, e.g. "write 8+8" or "flush". */
  readonly seen: string[] = [];
  closed = false;
  /** It knows which of its sectors read as zeros. */
  knowsZeros = false;
  #held: Bio[] | null = null;
  readonly #onSeen: ((what: string) => void) | undefined;

  constructor(options: {
    name: string;
    sectors: number;
    blockSize?: number;
    discard?: boolean;
    onSeen?: (what: string) => void;
  }) {
    this.name = options.name;
    this.sizeSectors = options.sectors as SectorCount;
    this.logicalBlockSize = options.blockSize ?? 512;
    this.bytes = new Uint8Array(options.sectors * SECTOR_SIZE);
    this.#onSeen = options.onSeen;
    this.capabilities = {
      readOnly: false,
      discard: options.discard ?? true,
      writeZeroes: false,
      rotational: false,
    };
  }

  /** From now on requests wait. */
  hold(): void {
    this.#held ??= [];
  }

  /** Lets waiting requests go, in order; later ones pass again. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const bio of held) this.#serve(bio);
  }

  get heldCount(): number {
    return this.#held?.length ?? 0;
  }

  allocation(sector: Sector, count: SectorCount): Allocation {
    if (!this.knowsZeros || this.failing.has('read')) return unknownAllocation(count);
    const isZero = (one: number): boolean =>
      !this.badSectors.has(one) &&
      this.bytes.subarray(one * SECTOR_SIZE, (one + 1) * SECTOR_SIZE).every((byte) => byte === 0);
    const zero = isZero(sector);
    let end = sector + 1;
    while (end < sector + count && isZero(end) === zero) end += 1;
    return { count: (end - sector) as SectorCount, zero, hole: zero };
  }

  submit(bio: Bio): void {
    const fua = bio.fua ? ' fua' : '';
    const what = bio.op === 'flush' ? 'flush' : `${bio.op} ${bio.sector}+${bio.count}${fua}`;
    this.seen.push(what);
    this.#onSeen?.(`${this.name} ${what}`);
    if (this.#held === null) this.#serve(bio);
    else this.#held.push(bio);
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  #serve(bio: Bio): void {
    const start = bio.sector * SECTOR_SIZE;
    const end = start + bio.count * SECTOR_SIZE;
    for (let sector = bio.sector; sector < bio.sector + bio.count; sector++) {
      if (this.badSectors.has(sector)) {
        if (bio.op === 'read' && this.readsUpToBad) {
          bio.data!.set(this.bytes.subarray(start, sector * SECTOR_SIZE));
        }
        bio.fail(EIO, `Bad sector ${sector}`);
        return;
      }
    }
    if (this.failing.has(bio.op)) {
      bio.fail(EIO, `Scripted failure of ${bio.op}`);
      return;
    }
    if (bio.op === 'read') bio.data!.set(this.bytes.subarray(start, end));
    else if (bio.op === 'write') this.bytes.set(bio.data!, start);
    else if (bio.op !== 'flush') this.bytes.fill(0, start, end);
    bio.end(OK);
  }
}
