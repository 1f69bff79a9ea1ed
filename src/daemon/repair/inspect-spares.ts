/** Looks at the spares: which of them are there, how large they are, and who uses them already. */

import { UserError } from '../../base/failure.ts';
import type { DeviceMap } from '../../dm/device-map.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import type { Spare } from '../../mirror/repair-table.ts';
import { openAnyDevice } from '../devices/any-device.ts';

/** As they are now, for a repair of this device, whose inactive table is to be replaced. */
export async function inspectSpares(
  devices: DeviceMap,
  names: readonly string[],
  repaired: MappedDevice,
): Promise<Spare[]> {
  const spares: Spare[] = [];
  for (const device of names) {
    try {
      const user = findUser(devices, await devices.notice(device), repaired);
      spares.push(user === null ? await measure(device) : useless(device, user));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      spares.push(useless(device, error.message));
    }
  }
  return spares;
}

function findUser(devices: DeviceMap, number: string, repaired: MappedDevice): string | null {
  for (const mapped of devices.list()) {
    const tables = [mapped.liveTable, mapped === repaired ? null : mapped.inactiveTable];
    const below = tables.flatMap((table) => table?.devices ?? []);
    if (below.some((one) => devices.numberOf(one) === number)) {
      return `it is in use by device "${mapped.name}"`;
    }
  }
  return null;
}

async function measure(name: string): Promise<Spare> {
  const device = await openAnyDevice(name, { readOnly: false });
  const { sizeSectors, logicalBlockSize } = device;
  await device.close();
  return { device: name, sizeSectors, logicalBlockSize, problem: null };
}

function useless(device: string, problem: string): Spare {
  return { device, sizeSectors: 0, logicalBlockSize: 512, problem };
}
