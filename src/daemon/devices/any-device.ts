/**
 * Devices by any name that a person may give: files, block devices and memory of this machine, and
 * exports of other NBD servers. For whoever only looks; what tables use is opened in `compose.ts`.
 */

import type { Clock } from '../../base/clock.ts';
import { type Logger, silentLogger } from '../../base/log.ts';
import { sectorsToBytes } from '../../base/units.ts';
import {
  createMissing,
  identifyDevice,
  measureDevice,
  type OpenDeviceOptions,
  type OpenedDevice,
  openDevice,
} from '../../block/open-device.ts';
import { openNbdDevice } from '../../nbd/client/open-nbd-device.ts';
import { isRemoteName, parseRemoteName, remoteIdentity } from '../../nbd/client/remote-name.ts';
import { SystemClock } from '../system-clock.ts';
import { loadClientTls } from '../tls/client-credentials.ts';

export interface OpenAnyDeviceOptions extends OpenDeviceOptions {
  readonly clock?: Clock;
  readonly log?: Logger;
}

/** Opens it for a look: a remote one is not waited for when it goes. @throws UserError */
export function openAnyDevice(name: string, options: OpenAnyDeviceOptions): Promise<OpenedDevice> {
  if (!isRemoteName(name)) return openDevice(name, options);
  const { readOnly, clock = new SystemClock(), log = silentLogger } = options;
  return openNbdDevice(name, { readOnly, clock, log, loadTls: loadClientTls, forOneLook: true });
}

/** Equal for two names of the same thing. @throws UserError for a name that means nothing. */
export async function identifyAnyDevice(name: string): Promise<string> {
  return isRemoteName(name) ? remoteIdentity(parseRemoteName(name)) : identifyDevice(name);
}

/** Its size in bytes, or null where there is none. @throws UserError */
export async function measureAnyDevice(name: string): Promise<number | null> {
  if (!isRemoteName(name)) return measureDevice(name);
  const device = await openAnyDevice(name, { readOnly: true });
  const bytes = sectorsToBytes(device.sizeSectors);
  await device.close();
  return bytes;
}

/** Makes a file that is missing; true if it was made. Exports are their servers' to make. */
export function createMissingFile(name: string, sizeBytes: number): boolean {
  return isRemoteName(name) ? false : createMissing(name, sizeBytes);
}
