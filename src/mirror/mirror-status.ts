/** The lines that `dmsetup status` and `dmsetup table` show of a mirror (specification 7.1, 7.2). */

import { quoteWord } from '../dm/table-line.ts';
import { formatFeatures } from './mirror-args.ts';
import type { MirrorSet } from './mirror-set.ts';

export async function mirrorStatus(set: MirrorSet, kind: 'info' | 'table'): Promise<string> {
  return kind === 'info' ? infoStatus(set) : tableStatus(set);
}

async function infoStatus({ legs, log, geometry }: MirrorSet): Promise<string> {
  const names = legs.map((leg) => quoteWord(leg.device.name)).join(' ');
  const health = legs.map((leg) => leg.health).join('');
  const synced = `${await log.getSyncCount()}/${geometry.regionCount}`;
  return `${legs.length} ${names} ${synced} 1 ${health} ${await log.status('info')}`;
}

async function tableStatus({ legs, log, features }: MirrorSet): Promise<string> {
  const places = legs.map((leg) => `${quoteWord(leg.device.name)} ${leg.offset}`).join(' ');
  return `${await log.status('table')} ${legs.length} ${places}${formatFeatures(features)}`;
}
