/**
 * The lines that `dmsetup status` and `dmsetup table` show of a mirror (specification 7.1, 7.2).
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
  const synced = `${await log.getSyncCount()}/${geometry.regionCount}`;
  return `${legs.length} ${names} ${synced} 1 ${health} ${await log.status('info', nameOf)}`;
}

async function tableStatus(set: MirrorSet, nameOf: DeviceNaming): Promise<string> {
  const { legs, log, features } = set;
  const places = legs.map((leg) => `${nameOf(leg.device)} ${leg.offset}`).join(' ');
  return `${await log.status('table', nameOf)} ${legs.length} ${places}${formatFeatures(features)}`;
}
