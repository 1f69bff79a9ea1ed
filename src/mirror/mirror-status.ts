/**
 * The lines that `dmsetup status`, `dmsetup table` and `dmsetup measure` show of a mirror
 * (specification 7.1, 7.2, 7.3).
 */

import type { DeviceNaming, StatusKind } from '../dm/target.ts';
import { formatFeatures } from './mirror-args.ts';
import type { MirrorSet } from './mirror-set.ts';

export function mirrorStatus(
  set: MirrorSet,
  kind: StatusKind,
  nameOf: DeviceNaming,
): Promise<string> {
  return kind === 'info' ? infoStatus(set, nameOf) : tableStatus(set, nameOf);
}

async function infoStatus(set: MirrorSet, nameOf: DeviceNaming): Promise<string> {
  const { legs, log, geometry } = set;
  const names = legs.map((leg) => nameOf(leg.device)).join(' ');
  const health = legs.map((leg) => leg.health).join('');
  const synced = `${await log.getSyncCount('status')}/${geometry.regionCount}`;
  return `${legs.length} ${names} ${synced} 1 ${health} ${await log.status('info', nameOf)}`;
}

async function tableStatus(set: MirrorSet, nameOf: DeviceNaming): Promise<string> {
  const { legs, log, features } = set;
  const places = legs.map((leg) => `${nameOf(leg.device)} ${leg.offset}`).join(' ');
  return `${await log.status('table', nameOf)} ${legs.length} ${places}${formatFeatures(features)}`;
}

/** Legs and features; of its log the kernel reports nothing. */
export function mirrorMeasurement({ legs, features }: MirrorSet, nameOf: DeviceNaming): string {
  const yesNo = (on: boolean): string => (on ? 'y' : 'n');
  return [
    `nr_mirrors=${legs.length}`,
    ...legs.map(
      (leg, index) =>
        `mirror_device_${index}=${nameOf(leg.device)},mirror_device_${index}_status=${leg.health}`,
    ),
    `handle_errors=${yesNo(features.handleErrors)}`,
    `keep_log=${yesNo(features.keepLog)}`,
    'log_type_status=',
  ].join(',');
}
