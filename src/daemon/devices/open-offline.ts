/** Devices for tools that only look: never written, never while a server may be writing to them. */

import { UserError } from '../../base/failure.ts';
import type { OpenedDevice } from '../../block/open-device.ts';
import { openAnyDevice } from './any-device.ts';

export interface OpenOfflineOptions {
  /** Look although a server has it open: what is seen may be half of a change. */
  readonly evenIfInUse: boolean;
}

/** In the place of the advice for those who serve. */
const HINTS: Readonly<Record<string, string>> = {
  'device-busy': 'Stop that server first, or look with --live: it may be half of a change.',
};

/** @throws UserError */
async function openOffline(name: string, options: OpenOfflineOptions): Promise<OpenedDevice> {
  try {
    return await openAnyDevice(name, { readOnly: true, lock: !options.evenIfInUse });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { code, message, errno } = error;
    const hint = HINTS[code];
    throw new UserError(code, message, {
      ...(hint === undefined ? {} : { hint }),
      ...(errno === undefined ? {} : { errno }),
      cause: error,
    });
  }
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
