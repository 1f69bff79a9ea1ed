/** What is told of a device as JSON, and what texts are made of. */

import { MAPPED_DEVICE_MAJOR } from '../../dm/device-numbers.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { MappedDeviceHandle } from '../../dm/mapped-device-handle.ts';
import type { Control } from '../control.ts';

/** A device that another one stands on, or that stands on it. */
export interface RelatedDevice {
  readonly name: string;
  /** `major:minor` */
  readonly number: string;
  /** One of ours, and no file. */
  readonly mapped: boolean;
}

export interface DeviceDescription {
  readonly name: string;
  readonly uuid: string;
  /** `major:minor` */
  readonly number: string;
  readonly suspended: boolean;
  readonly readOnly: boolean;
  /** Present. */
  readonly liveTable: boolean;
  readonly inactiveTable: boolean;
  /** Uses by clients and by other devices. */
  readonly openCount: number;
  readonly clients: number;
  readonly eventNumber: number;
  /** It is removed as soon as nobody uses it. */
  readonly deferredRemove: boolean;
  /** What its live table stands on; the one that was opened last comes first. */
  readonly uses: readonly RelatedDevice[];
  /** Whose live tables stand on it. */
  readonly usedBy: readonly RelatedDevice[];
  /** Of the live table. */
  readonly targetCount: number;
  readonly sizeSectors: number;
  readonly requests: {
    readonly inFlight: number;
    readonly deferred: number;
    readonly reads: number;
    readonly readSectors: number;
    readonly writes: number;
    readonly writtenSectors: number;
  };
}

export function describeDevice(control: Control, device: MappedDevice): DeviceDescription {
  const { name, uuid, suspended, readOnly, openCount, eventNumber, requests } = device;
  return {
    name,
    uuid,
    number: numberOf(device),
    suspended,
    readOnly,
    liveTable: device.liveTable !== null,
    inactiveTable: device.inactiveTable !== null,
    openCount,
    clients: control.host.exports.clientsOf(device),
    eventNumber,
    deferredRemove: device.removesWhenUnused,
    uses: usesOf(control, device),
    usedBy: usersOf(control, device),
    targetCount: device.liveTable?.targets.length ?? 0,
    sizeSectors: device.sizeSectors,
    requests: { ...requests, ...device.requestCounts },
  };
}

function usesOf(control: Control, device: MappedDevice): RelatedDevice[] {
  const { byNumber } = control.host.devices;
  return [...(device.liveTable?.devices ?? [])].reverse().map((one) => {
    const mapped = one instanceof MappedDeviceHandle;
    return { name: mapped ? one.mapped.name : one.name, number: byNumber(one), mapped };
  });
}

function usersOf(control: Control, device: MappedDevice): RelatedDevice[] {
  const isUser = (other: MappedDevice): boolean =>
    (other.liveTable?.devices ?? []).some(
      (one) => one instanceof MappedDeviceHandle && one.mapped === device,
    );
  return control.host.devices
    .list()
    .filter(isUser)
    .map((one) => ({ name: one.name, number: numberOf(one), mapped: true }));
}

export function numberOf({ minor }: MappedDevice): string {
  return `${MAPPED_DEVICE_MAJOR}:${minor}`;
}

export function minorOf({ number }: Pick<DeviceDescription, 'number'>): string {
  return number.slice(number.indexOf(':') + 1);
}

/** Whether a word of a command line means the device: its name, number, or path of either. */
export function isCalled(device: DeviceDescription, word: string): boolean {
  const { name, number } = device;
  return [name, `/dev/mapper/${name}`, number, `/dev/dm-${minorOf(device)}`].includes(word);
}

/** Which slots are filled, such as "Live" or "Live & Inactive". */
export function tablesOf(device: DeviceDescription, joint: string): string {
  const present = [
    ...(device.liveTable ? ['Live'] : []),
    ...(device.inactiveTable ? ['Inactive'] : []),
  ];
  return present.length === 0 ? 'None' : present.join(joint);
}
