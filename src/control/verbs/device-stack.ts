/**
 * Refuses stacks of devices that could not serve a request: one that stands on itself would send it
 * round for ever, and in one that is too high it would need more stack than a process has.
 */

import { EINVAL } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { STACKED_DEVICES_MAX } from '../../base/limits.ts';
import type { DeviceMap } from '../../dm/device-map.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';

/**
 * @throws UserError if tables of the device, live or inactive, reach the device again, or if it is
 * part of a stack of more than `STACKED_DEVICES_MAX` devices.
 */
export function checkStack(devices: DeviceMap, device: MappedDevice): void {
  checkNoLoop(devices, device);
  const below = heightOf(device, (one) => devices.below(one));
  const above = device.openCount === 0 ? 1 : heightOf(device, usersIn(devices));
  const height = below + above - 1;
  if (height <= STACKED_DEVICES_MAX) return;
  throw new UserError(
    'stack-too-high',
    `Cannot load the table of device "${device.name}": it would be in a stack of ${height} ` +
      `devices, must be at most ${STACKED_DEVICES_MAX}`,
    { errno: EINVAL },
  );
}

function checkNoLoop(devices: DeviceMap, device: MappedDevice): void {
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

/** Which devices stand on a device. */
function usersIn(devices: DeviceMap): (device: MappedDevice) => readonly MappedDevice[] {
  const users = new Map<MappedDevice, MappedDevice[]>();
  for (const user of devices.list()) {
    for (const below of devices.below(user)) {
      const known = users.get(below);
      if (known === undefined) users.set(below, [user]);
      else known.push(user);
    }
  }
  return (device) => users.get(device) ?? [];
}

/** Devices on the longest way from the device on, itself included. No way may be a circle. */
function heightOf(
  device: MappedDevice,
  next: (device: MappedDevice) => readonly MappedDevice[],
  known = new Map<MappedDevice, number>(),
): number {
  const before = known.get(device);
  if (before !== undefined) return before;
  const height = 1 + Math.max(0, ...next(device).map((one) => heightOf(one, next, known)));
  known.set(device, height);
  return height;
}
