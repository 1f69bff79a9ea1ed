/** Finds devices that would stand on themselves: their requests would go round for ever. */

import { EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import type { DeviceMap } from '../dm/device-map.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';

/** @throws UserError if tables of the device, live or inactive, reach the device again. */
export function checkNoLoop(devices: DeviceMap, device: MappedDevice): void {
  const seen = new Set<MappedDevice>();
  const waiting = devices.below(device);
  for (let below = waiting.pop(); below !== undefined; below = waiting.pop()) {
    if (below === device) {
      throw new UserError(
        'device-loop',
        `Cannot load the table of device "${device.name}": it stands on the device itself, ` +
          'must stand on others',
        { errno: EINVAL },
      );
    }
    if (seen.has(below)) continue;
    seen.add(below);
    waiting.push(...devices.below(below));
  }
}
