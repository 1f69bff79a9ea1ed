/**
 * Finds what a fault is to be armed on: `leg0` to `leg8` or `log` of a mirror, or a device below
 * the table by the name that the table gives it.
 *
 * The mirror is not known here: its legs are the data areas that its target lists, in order, and
 * its log is what it lists without an area.
 */

import { ENXIO } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { quoted } from '../../base/printable.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { MappedDeviceHandle } from '../../dm/mapped-device-handle.ts';
import type { Table } from '../../dm/table.ts';
import type { Target, TargetDevice } from '../../dm/target.ts';
import type { FaultPlace } from '../../fault/fault-board.ts';
import { FaultableDevice } from '../../fault/faultable-device.ts';
import type { Control } from '../control.ts';

const LEG = /^leg(\d+)$/;

/** @throws UserError saying what there is instead. */
export function findFaultPlace(control: Control, device: MappedDevice, word: string): FaultPlace {
  const table = device.liveTable ?? device.inactiveTable;
  if (table === null) throw noPlace(device, word, 'the device has no table');
  const leg = LEG.exec(word)?.[1];
  if (leg !== undefined) return placeOf(device, word, findLeg(device, table, word, Number(leg)));
  if (word === 'log') return placeOf(device, word, findLog(device, table));
  return placeOf(device, word, findByName(control, device, table, word));
}

function findLeg(device: MappedDevice, table: Table, word: string, leg: number): TargetDevice {
  const legs = mirrorOf(device, table, word).devices.filter(({ length }) => length > 0);
  const found = legs[leg];
  if (found !== undefined) return found;
  throw noPlace(device, word, `its mirror has the legs leg0 to leg${legs.length - 1}`);
}

function findLog(device: MappedDevice, table: Table): TargetDevice {
  const log = mirrorOf(device, table, 'log').devices.find(({ length }) => length === 0);
  if (log !== undefined) return { ...log, length: log.device.sizeSectors };
  throw noPlace(device, 'log', 'its mirror has no log on a device');
}

/** The one that `leg0` means: nobody can tell where there are several. */
function mirrorOf(device: MappedDevice, table: Table, word: string): Target {
  const mirrors = table.targets.filter(({ type }) => type.name === 'mirror');
  if (mirrors.length === 1) return mirrors[0]!.target;
  const count = mirrors.length === 0 ? 'no mirror' : `${mirrors.length} mirrors, must have one`;
  throw noPlace(device, word, `its table has ${count}; devices go by their names too`);
}

function findByName(
  control: Control,
  device: MappedDevice,
  table: Table,
  word: string,
): TargetDevice {
  const { devices } = control.host;
  const all = [...table.devices, ...(device.inactiveTable?.devices ?? [])];
  const found = all.find((one) => one.name === word || devices.numberOf(one) === word);
  if (found !== undefined) return { device: found, start: 0, length: found.sizeSectors };
  const names = [...new Set(all.map(({ name }) => quoted(name)))];
  const known = names.length === 0 ? 'it stands on no device' : `it stands on ${names.join(', ')}`;
  throw noPlace(device, word, `must be a leg ("leg0"), "log" or a device: ${known}`);
}

function placeOf(
  device: MappedDevice,
  target: string,
  { device: underlying, start, length }: TargetDevice,
): FaultPlace {
  if (underlying instanceof FaultableDevice) {
    return { device: device.name, target, underlying, area: { start, length } };
  }
  const hint =
    underlying instanceof MappedDeviceHandle
      ? `Arm it on a device below "${underlying.mapped.name}", or load a table of faults there.`
      : undefined;
  throw noPlace(device, target, `"${underlying.name}" is a mapped device itself`, hint);
}

function noPlace(device: MappedDevice, word: string, problem: string, hint?: string): UserError {
  return new UserError(
    'no-fault-place',
    `Cannot arm a fault on ${quoted(word)} of device "${device.name}": ${problem}`,
    { errno: ENXIO, ...(hint === undefined ? {} : { hint }) },
  );
}
