/**
 * Glue: what is known of a mapped device's regions, as NBD metadata contexts. From memory only: no
 * leg and no log is asked. The legend of the bits is in `docs/nbd.md`.
 */

import { type Region, SECTOR_SIZE, toSector } from '../base/units.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import type { Table } from '../dm/table.ts';
import type { MirrorSet } from '../mirror/mirror-set.ts';
import { MirrorTarget } from '../mirror/mirror-target.ts';
import { ExtentList, type MetaContext, type StatusRange } from '../nbd/server/meta-context.ts';

/** Bits of `x-dm-mirror:region-state`. */
export const REGION_STATUS = {
  /** Writes are pending, or the clean bit is not back yet. */
  DIRTY: 1 << 0,
  /** The legs are not known to be equal. */
  NOSYNC: 1 << 1,
  /** Is being copied. */
  RECOVERING: 1 << 2,
  /** The log cannot tell without being asked: nothing is claimed of the other bits. */
  UNKNOWN: 1 << 3,
} as const;

/** Status 0 for anything that is no mirror: there is nothing to see. */
const NOTHING = 0;

/** Regions that one answer looks at: a few milliseconds. */
const REGIONS_MAX = 65_536;

type RegionStatus = (set: MirrorSet, region: Region) => number;

/** `withAlias`: also under a name that qemu's tools show as a dirty bitmap. */
export function regionContexts(
  device: MappedDevice,
  options: { readonly withAlias: boolean },
): MetaContext[] {
  const contexts = [
    regionContext(device, 'x-dm-mirror:region-state', regionStatus),
    regionContext(device, 'x-dm-mirror:leg-damage', damagedLegs),
  ];
  if (!options.withAlias) return contexts;
  const isDirty: RegionStatus = (set, region) => (regionStatus(set, region) === 0 ? 0 : 1);
  return [...contexts, regionContext(device, 'qemu:dirty-bitmap:region-state', isDirty)];
}

function regionStatus(set: MirrorSet, region: Region): number {
  const { log, hash } = set;
  const inSync = log.inSyncNow(region);
  const isClean = log.isCleanNow?.(region) ?? 'would-block';
  const state = hash.stateNow(region);
  let status = 0;
  if (inSync === 'would-block' || isClean === 'would-block') status |= REGION_STATUS.UNKNOWN;
  if (state === 'dirty' || isClean === false) status |= REGION_STATUS.DIRTY;
  if (inSync === 0 || state === 'nosync') status |= REGION_STATUS.NOSYNC;
  if (state === 'recovering') status |= REGION_STATUS.RECOVERING;
  return status;
}

/** Bit i: leg i may lack current data. A leg with an error is not trusted anywhere. */
function damagedLegs(set: MirrorSet, region: Region): number {
  const status = regionStatus(set, region);
  const isEqual = (status & (REGION_STATUS.NOSYNC | REGION_STATUS.UNKNOWN)) === 0;
  return set.legs
    .filter((leg) => leg.failed || (!isEqual && leg !== set.defaultLeg))
    .reduce((bits, { index }) => bits | (1 << index), 0);
}

function regionContext(device: MappedDevice, name: string, statusOf: RegionStatus): MetaContext {
  return { name, status: (range) => regionExtents(device.liveTable, range, statusOf) };
}

function regionExtents(table: Table | null, range: StatusRange, statusOf: RegionStatus) {
  const list = new ExtentList(range.extentsMax);
  const end = range.offset + range.length;
  let at = range.offset;
  for (let looks = 0; at < end && looks < REGIONS_MAX; looks++) {
    const { byteEnd, status } = statusAt(table, at, end, statusOf);
    if (!list.add(byteEnd - at, status)) break;
    at = byteEnd;
  }
  return list.extents;
}

/** The status of one region, or of one target that has none, from a byte on, at most to `end`. */
function statusAt(
  table: Table | null,
  byte: number,
  end: number,
  statusOf: RegionStatus,
): { readonly byteEnd: number; readonly status: number } {
  const sector = Math.floor(byte / SECTOR_SIZE);
  // A device may have become smaller than the client was told.
  if (table === null || sector >= table.sizeSectors) return { byteEnd: end, status: NOTHING };
  const { start, length, target } = table.find(toSector(sector));
  const targetEnd = Math.min(end, (start + length) * SECTOR_SIZE);
  if (!(target instanceof MirrorTarget)) return { byteEnd: targetEnd, status: NOTHING };
  const { set } = target;
  const region = set.geometry.regionOf(toSector(sector - start));
  const regionEnd =
    (start + set.geometry.startOf(region) + set.geometry.lengthOf(region)) * SECTOR_SIZE;
  return { byteEnd: Math.min(targetEnd, regionEnd), status: statusOf(set, region) };
}
