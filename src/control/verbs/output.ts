/** Texts as `dmsetup` prints them, byte for byte, from what the verbs found. */

import { MAPPED_DEVICE_MAJOR } from '../../dm/device-numbers.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { type DeviceDescription, minorOf, tablesOf } from './device-description.ts';
import { READ_AHEAD_SECTORS } from './device-fields.ts';

const TARGET_COLUMNS = 16;
const LABEL_COLUMNS = 19;

export const NO_DEVICES = 'No devices found\n';

/** One row of `ls`. */
export function formatLs(name: string, inBrackets: string): string {
  return `${name}\t(${inBrackets})\n`;
}

/** The lines of `status` and `table`: each behind its device's name where there may be several. */
export function formatLines(
  device: MappedDevice,
  lines: readonly string[],
  prefixed: boolean,
): string {
  const prefix = prefixed ? `${device.name}: ` : '';
  // A device without a table has one empty line.
  const shown = lines.length === 0 ? [''] : lines;
  return shown.map((line) => `${prefix}${line}\n`).join('');
}

/** One device as `create --concise` reads it. */
export function formatConcise(device: MappedDevice, lines: readonly string[]): string {
  const { name, uuid, minor, readOnly } = device;
  const fields = [name, uuid, `${minor}`, readOnly ? 'ro' : 'rw', ...lines];
  return fields.map((field) => field.replace(/[\\,;]/g, (special) => `\\${special}`)).join(',');
}

export function formatDeps(
  device: MappedDevice,
  names: readonly string[],
  prefixed: boolean,
): string {
  const prefix = prefixed ? `${device.name}: ` : '';
  const list = names.map((name) => ` (${name})`).join('');
  return `${prefix}${names.length} dependencies\t:${list}\n`;
}

export function formatTarget(name: string, version: readonly number[]): string {
  return `${name.padEnd(TARGET_COLUMNS)} v${version.join('.')}\n`;
}

export function formatVersion(library: string, driver: string): string {
  return [
    `${label('Library version:')}${library}`,
    `${label('Driver version:')}${driver}`,
    '',
  ].join('\n');
}

/** The block of `info`, with the empty line behind it. */
export function formatInfo(device: DeviceDescription): string {
  const { name, openCount, eventNumber, targetCount, uuid } = device;
  const tables = tablesOf(device, ' & ');
  const hasNode = tables !== 'None';
  return [
    `${label('Name:')}${name}`,
    `${label('State:')}${stateOf(device)}`,
    ...(hasNode ? [`${label('Read Ahead:')}${READ_AHEAD_SECTORS}`] : []),
    `${label('Tables present:')}${hasNode ? tables.toUpperCase() : tables}`,
    `${label('Open count:')}${openCount}`,
    `${label('Event number:')}${eventNumber}`,
    `${label('Major, minor:')}${MAPPED_DEVICE_MAJOR}, ${minorOf(device)}`,
    `${label('Number of targets:')}${targetCount}`,
    ...(uuid === '' ? [] : [`UUID: ${uuid}`]),
    '',
    '',
  ].join('\n');
}

function stateOf({ suspended, readOnly, deferredRemove }: DeviceDescription): string {
  const remarks = `${readOnly ? ' (READ-ONLY)' : ''}${deferredRemove ? ' (DEFERRED REMOVE)' : ''}`;
  return `${suspended ? 'SUSPENDED' : 'ACTIVE'}${remarks}`;
}

function label(text: string): string {
  return text.padEnd(LABEL_COLUMNS);
}
