/** What is told of a device as JSON, and what texts are made of. */

import { MAPPED_DEVICE_MAJOR } from '../dm/device-numbers.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import type { Control } from './control.ts';

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
    targetCount: device.liveTable?.targets.length ?? 0,
    sizeSectors: device.sizeSectors,
    requests: { ...requests, ...device.requestCounts },
  };
}

export function numberOf({ minor }: MappedDevice): string {
  return `${MAPPED_DEVICE_MAJOR}:${minor}`;
}

export function minorOf({ number }: DeviceDescription): string {
  return number.slice(number.indexOf(':') + 1);
}

/** Which slots are filled, such as "Live" or "Live & Inactive". */
export function tablesOf(device: DeviceDescription, joint: string): string {
  const present = [
    ...(device.liveTable ? ['Live'] : []),
    ...(device.inactiveTable ? ['Inactive'] : []),
  ];
  return present.length === 0 ? 'None' : present.join(joint);
}
