/** Finds the devices that a verb is about. */

import { ENXIO } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { quoted } from '../../base/printable.ts';
import { isDeviceNumber } from '../../dm/device-numbers.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { CommandError, ioctl } from '../command-error.ts';
import type { Control } from '../control.ts';

export interface DeviceChoice {
  readonly device?: string | undefined;
  readonly uuid?: string | undefined;
}

/** By name, as the kernel lists them. */
export function allDevices(control: Control): MappedDevice[] {
  return control.host.devices.list().sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** @throws UserError where it is not said which, or there is no such device. */
export function findDevice(control: Control, choice: DeviceChoice): MappedDevice {
  const { devices } = control.host;
  const { device, uuid } = choice;
  if (device !== undefined && uuid !== undefined) {
    throw new UserError('two-devices', 'Cannot find the device: a name and a uuid are given');
  }
  if (device !== undefined) return devices.get(device);
  if (uuid === undefined) {
    const error = new UserError('no-name', 'Cannot find the device: its name must be given');
    throw new CommandError(error, 'No device specified.');
  }
  const found = devices.findByUuid(uuid);
  if (found !== null) return found;
  throw new UserError('no-device', `Cannot find a device of uuid ${quoted(uuid)}: there is none`, {
    errno: ENXIO,
  });
}

type Change = <T>(
  control: Control,
  choice: DeviceChoice,
  ioctlName: string | null,
  work: (device: MappedDevice) => Promise<T>,
) => Promise<T>;

/** Does something to a device in its turn; it is there then, and stays there meanwhile. */
export const changeDevice: Change = (...change) => changeInTurn('run', ...change);

/** The same for what may take long; `changeBeside` does not wait for it. */
export const changeForLong: Change = (...change) => changeInTurn('runLong', ...change);

export const changeBeside: Change = (...change) => changeInTurn('beside', ...change);

async function changeInTurn<T>(
  turn: 'run' | 'runLong' | 'beside',
  control: Control,
  choice: DeviceChoice,
  ioctlName: string | null,
  work: (device: MappedDevice) => Promise<T>,
): Promise<T> {
  const subject = subjectOf(choice);
  for (;;) {
    const device = await ioctl(ioctlName, subject, () => findDevice(control, choice));
    const done = await control.turns[turn](device, () =>
      ioctl(ioctlName, subject, async () => {
        // It may have been removed, or renamed, in the turn before.
        if (findDevice(control, choice) !== device) return null;
        return { result: await work(device) };
      }),
    );
    if (done !== null) return done.result;
  }
}

/** More than any name or uuid has; the rest of a longer word tells nobody anything. */
const WORD_LENGTH_MAX = 200;

/** As `dmsetup` names it: name, space, uuid or number. */
export function subjectOf({ device = '', uuid = '' }: DeviceChoice): string {
  if (isDeviceNumber(device)) return ` (${device})`;
  return `${cut(device)} ${cut(uuid)}`;
}

function cut(word: string): string {
  return word.length > WORD_LENGTH_MAX ? `${word.slice(0, WORD_LENGTH_MAX)}...` : word;
}
