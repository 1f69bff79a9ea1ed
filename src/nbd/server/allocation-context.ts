/**
 * The context `base:allocation` over any device (NBD protocol, 8.3), and the holes of READs: what a
 * device knows of its contents, in bytes. Nothing known is status 0, data.
 */

import { SECTOR_SIZE, type Sector, type SectorCount } from '../../base/units.ts';
import { allocationOf, unknownAllocation } from '../../block/allocation.ts';
import type { Allocation, BlockDevice } from '../../block/block-device.ts';
import { ALLOCATION } from '../constants.ts';
import { ExtentList, type MetaContext } from './meta-context.ts';

/** Runs that one answer looks at: some ten milliseconds at the very worst. */
const RUNS_MAX = 512;

export function allocationContext(device: BlockDevice): MetaContext {
  return {
    name: 'base:allocation',
    asksDevice: true,
    status({ offset, length, extentsMax }) {
      const list = new ExtentList(extentsMax);
      const end = offset + length;
      let at = offset;
      for (let runs = 0; at < end && runs < RUNS_MAX; runs++) {
        const { byteEnd, status } = runAt(device, at, end);
        if (!list.add(byteEnd - at, status)) break;
        at = byteEnd;
      }
      return list.extents;
    },
  };
}

/** The first so many bytes of the range can be told when `done` is called, until it returns. */
export function learnBytes(
  device: BlockDevice,
  offset: number,
  length: number,
  done: (length: number) => void,
): void {
  const sector = Math.floor(offset / SECTOR_SIZE) as Sector;
  const end = Math.min(Math.ceil((offset + length) / SECTOR_SIZE), device.sizeSectors);
  if (device.learnAllocation === undefined || end <= sector) {
    done(length);
    return;
  }
  device.learnAllocation(sector, (end - sector) as SectorCount, (known) => {
    done(Math.min(length, (sector + known) * SECTOR_SIZE - offset));
  });
}

/** How many of the bytes from `offset` on are known to read as zeros; 0 where nothing is known. */
export function zeroBytesAt(device: BlockDevice, offset: number, length: number): number {
  const { byteEnd, status } = runAt(device, offset, offset + length);
  return (status & ALLOCATION.ZERO) === 0 ? 0 : byteEnd - offset;
}

/** A run of one status from a byte on, at most to `end`. */
function runAt(
  device: BlockDevice,
  offset: number,
  end: number,
): { readonly byteEnd: number; readonly status: number } {
  const sector = Math.floor(offset / SECTOR_SIZE) as Sector;
  const count = (Math.ceil(end / SECTOR_SIZE) - sector) as SectorCount;
  const { count: known, zero, hole } = lookAt(device, sector, count);
  const byteEnd = Math.min(end, (sector + known) * SECTOR_SIZE);
  return { byteEnd, status: (zero ? ALLOCATION.ZERO : 0) | (hole ? ALLOCATION.HOLE : 0) };
}

/** A device may have become smaller than the client was told. */
function lookAt(device: BlockDevice, sector: Sector, count: SectorCount): Allocation {
  const inside = Math.min(count, device.sizeSectors - sector) as SectorCount;
  return inside > 0 ? allocationOf(device, sector, inside) : unknownAllocation(count);
}
