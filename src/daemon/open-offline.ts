/** Devices for tools that only look: never written, never while a server may be writing to them. */

import type { OpenedDevice } from '../block/open-device.ts';
import { openAnyDevice } from './any-device.ts';

export interface OpenOfflineOptions {
  /** Look although a server has it open: what is seen may be half of a change. */
  readonly evenIfInUse: boolean;
}

/** @throws UserError */
export function openOffline(name: string, options: OpenOfflineOptions): Promise<OpenedDevice> {
  return openAnyDevice(name, { readOnly: true, lock: !options.evenIfInUse });
}

/** Opens all, hands them over, and closes them whatever happens. */
export async function withOfflineDevices<T>(
  names: readonly string[],
  options: OpenOfflineOptions,
  use: (devices: readonly OpenedDevice[]) => Promise<T>,
): Promise<T> {
  const devices: OpenedDevice[] = [];
  try {
    for (const name of names) devices.push(await openOffline(name, options));
    return await use(devices);
  } finally {
    for (const device of devices) await device.close();
  }
}
