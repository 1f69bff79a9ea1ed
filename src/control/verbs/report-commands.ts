/** The verbs that tell how things are, and change nothing. */

import * as v from 'valibot';
import { UserError } from '../../base/failure.ts';
import { asInTable } from '../../dm/device-naming.ts';
import { MAPPED_DEVICE_MAJOR } from '../../dm/device-numbers.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import type { Table } from '../../dm/table.ts';
import type { DeviceNaming, StatusKind } from '../../dm/target.ts';
import { CommandError, ioctl } from '../command-error.ts';
import type { Control } from '../control.ts';
import {
  type Answer,
  defineVerb,
  deviceEntries,
  flagSchema,
  namingSchema,
  wordSchema,
} from '../verb.ts';
import { describeDevice, numberOf } from './device-description.ts';
import { formatColumns } from './info-columns.ts';
import {
  formatConcise,
  formatDeps,
  formatInfo,
  formatLines,
  formatLs,
  formatTarget,
  formatVersion,
  NO_DEVICES,
} from './output.ts';
import { allDevices, type DeviceChoice, findDevice, subjectOf } from './select-device.ts';

/** Of the ioctl interface that is imitated (specification 13.5). */
const DRIVER_VERSION = '4.47.0';

/** One device, or all of them where none is named. */
const reportEntries = {
  ...deviceEntries,
  /** Put the name before each line although one device is named. */
  prefix: flagSchema,
  target: v.optional(wordSchema),
  inactive: flagSchema,
};

interface Report {
  readonly devices: readonly MappedDevice[];
  readonly prefixed: boolean;
}

async function chooseReport(
  control: Control,
  choice: DeviceChoice & { readonly prefix: boolean },
  ioctlName: string | null,
): Promise<Report> {
  const { device, uuid } = choice;
  if (device === undefined && uuid === undefined) {
    return { devices: allDevices(control), prefixed: true };
  }
  const found = await (ioctlName === null
    ? findOrTell(control, choice)
    : ioctl(ioctlName, subjectOf(choice), () => findDevice(control, choice)));
  return { devices: [found], prefixed: choice.prefix };
}

/** Where `dmsetup` asks for the device's state first, it tells differently that there is none. */
function findOrTell(control: Control, choice: DeviceChoice): MappedDevice {
  try {
    return findDevice(control, choice);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new CommandError(error, 'Device does not exist.');
  }
}

/** The text for each device, or that there is no device at all. */
function joinTexts(control: Control, texts: readonly string[]): string {
  return control.host.devices.list().length === 0 ? NO_DEVICES : texts.join('');
}

function namingOf(control: Control, naming: 'name' | 'devno'): DeviceNaming {
  return naming === 'devno' ? control.host.devices.byNumber : asInTable;
}

function tableOf(device: MappedDevice, inactive: boolean): Table | null {
  return inactive ? device.inactiveTable : device.liveTable;
}

/** How devices are written where they are listed. */
const devicesNamingSchema = v.optional(
  v.picklist(['devno', 'devname', 'blkdevname'], 'must be "devno", "devname" or "blkdevname"'),
  'devno',
);

export const lsVerb = defineVerb({
  name: 'ls',
  usage: '[--target <type>] [-o devno|devname|blkdevname]',
  summary: 'list the devices',
  readsOnly: true,
  input: v.strictObject(
    {
      target: v.optional(wordSchema),
      naming: devicesNamingSchema,
    },
    'must be an object',
  ),
  run: async ({ control, input }) => {
    const devices = allDevices(control).filter((device) => hasTarget(device, input.target));
    const shown = (device: MappedDevice): string => {
      if (input.naming === 'devname') return device.name;
      if (input.naming === 'blkdevname') return `dm-${device.minor}`;
      const comma = input.target === undefined ? ':' : ', ';
      return `${MAPPED_DEVICE_MAJOR}${comma}${device.minor}`;
    };
    const rows = devices.map((device) => formatLs(device.name, shown(device)));
    const json = devices.map((device) => ({
      name: device.name,
      uuid: device.uuid,
      number: numberOf(device),
    }));
    const text = rows.length === 0 ? NO_DEVICES : rows.join('');
    return { json: { devices: json }, text };
  },
});

function hasTarget(device: MappedDevice, type: string | undefined): boolean {
  if (type === undefined) return true;
  return device.liveTable?.targets.some((placed) => placed.type.name === type) ?? false;
}

export const infoVerb = defineVerb({
  name: 'info',
  usage: '[-c [-o <fields>] [-O <fields>] [--noheadings] [--separator <text>]] [<device>...]',
  summary: 'tell the state of devices',
  readsOnly: true,
  input: v.strictObject(
    {
      ...deviceEntries,
      columns: flagSchema,
      fields: v.optional(wordSchema),
      sort: v.optional(wordSchema),
      namePrefixes: flagSchema,
      unquoted: flagSchema,
      rows: flagSchema,
      noHeadings: flagSchema,
      separator: v.optional(v.pipe(v.string('must be a string'), v.maxLength(80, 'is too long'))),
    },
    'must be an object',
  ),
  run: async ({ control, input }) => {
    const { devices } = await chooseReport(control, { ...input, prefix: false }, null);
    const described = devices.map((device) => describeDevice(control, device));
    const texts = input.columns ? [formatColumns(described, input)] : described.map(formatInfo);
    return { json: { devices: described }, text: joinTexts(control, texts) };
  },
});

export const statusVerb = defineVerb({
  name: 'status',
  usage: '[--target <type>] [-o devno] [--inactive] [--watch] [<device>...]',
  summary: 'print the status line of each target',
  readsOnly: true,
  input: v.strictObject(
    { ...reportEntries, naming: namingSchema, details: flagSchema },
    'must be an object',
  ),
  run: ({ control, input }) => reportTables(control, input, 'info', null),
});

export const tableVerb = defineVerb({
  name: 'table',
  usage: '[--target <type>] [-o devno] [--inactive] [<device>...]',
  summary: 'print the table of each device',
  readsOnly: true,
  input: v.strictObject(
    { ...reportEntries, naming: namingSchema, concise: flagSchema },
    'must be an object',
  ),
  run: ({ control, input }) => {
    const { concise, ...report } = input;
    return reportTables(control, { ...report, details: false, concise }, 'table', 'table');
  },
});

export const measureVerb = defineVerb({
  name: 'measure',
  usage: '[-o devno] [--inactive] [<device>...]',
  summary: 'print what the kernel would report of devices for measurement',
  readsOnly: true,
  input: v.strictObject({ ...reportEntries, naming: namingSchema }, 'must be an object'),
  run: ({ control, input }) => reportTables(control, { ...input, details: false }, 'measure', null),
});

interface TableReportInput extends DeviceChoice {
  readonly prefix: boolean;
  readonly target?: string | undefined;
  readonly inactive: boolean;
  readonly naming: 'name' | 'devno';
  readonly details: boolean;
  /** All devices on one line. */
  readonly concise?: boolean;
}

async function reportTables(
  control: Control,
  input: TableReportInput,
  kind: StatusKind | 'measure',
  ioctlName: string | null,
): Promise<Answer> {
  const { devices, prefixed } = await chooseReport(control, input, ioctlName);
  const nameOf = namingOf(control, input.naming);
  const texts: string[] = [];
  const json: unknown[] = [];
  for (const device of devices) {
    const table = tableOf(device, input.inactive);
    const lines =
      (kind === 'measure' ? table?.measure(nameOf) : await table?.status(kind, nameOf)) ?? [];
    const rows = (table?.targets ?? [])
      .map((placed, index) => ({ placed, line: lines[index]! }))
      .filter(({ placed }) => input.target === undefined || placed.type.name === input.target);
    const hidden = input.target !== undefined && rows.length === 0;
    const shown = rows.map(({ line }) => line);
    if (!hidden) {
      const isConcise = input.concise === true;
      texts.push(isConcise ? formatConcise(device, shown) : formatLines(device, shown, prefixed));
    }
    const targets: unknown[] = [];
    for (const { placed, line } of rows) {
      const { start, length, type, target } = placed;
      const details = input.details ? { details: await control.host.detailsOf(target) } : {};
      targets.push({ start, length, type: type.name, line, ...details });
    }
    json.push({ ...describeDevice(control, device), targets });
  }
  const text = input.concise === true ? `${texts.join(';')}\n` : joinTexts(control, texts);
  return { json: { devices: json }, text };
}

export const depsVerb = defineVerb({
  name: 'deps',
  usage: '[-o devno|devname|blkdevname] [--inactive] [<device>...]',
  summary: 'list the devices that a table stands on',
  readsOnly: true,
  input: v.strictObject(
    {
      ...deviceEntries,
      prefix: flagSchema,
      inactive: flagSchema,
      naming: devicesNamingSchema,
    },
    'must be an object',
  ),
  run: async ({ control, input }) => {
    const { devices, prefixed } = await chooseReport(control, input, 'deps');
    const { byNumber } = control.host.devices;
    const texts: string[] = [];
    const json: unknown[] = [];
    for (const device of devices) {
      // The kernel puts each new one before the others.
      const below = [...(tableOf(device, input.inactive)?.devices ?? [])].reverse();
      const names = below.map((one) =>
        input.naming === 'devno' ? byNumber(one).replace(':', ', ') : one.name,
      );
      texts.push(formatDeps(device, names, prefixed));
      json.push({
        name: device.name,
        devices: below.map((one) => ({ name: one.name, number: byNumber(one) })),
      });
    }
    return { json: { devices: json }, text: joinTexts(control, texts) };
  },
});

export const targetsVerb = defineVerb({
  name: 'targets',
  usage: '',
  summary: 'list the types of targets',
  readsOnly: true,
  input: v.strictObject({}, 'must be an object'),
  run: async ({ control }) => {
    const types = control.host.devices.targetTypes.list();
    const json = types.map(({ name, version }) => ({ name, version: version.join('.') }));
    const text = types.map(({ name, version }) => formatTarget(name, version)).join('');
    return { json: { targets: json }, text };
  },
});

export const targetVersionVerb = defineVerb({
  name: 'target-version',
  usage: '[<target>...]',
  summary: 'print the version of a type of target',
  readsOnly: true,
  input: v.strictObject({ target: wordSchema }, 'must be an object'),
  run: ({ control, input }) =>
    ioctl('target-version', `${input.target.slice(0, 80)} `, () => {
      const { name, version } = control.host.devices.targetTypes.get(input.target);
      const json = { name, version: version.join('.') };
      return { json: { targets: [json] }, text: formatTarget(name, version) };
    }),
});

export const versionVerb = defineVerb({
  name: 'version',
  usage: '',
  summary: 'print versions',
  readsOnly: true,
  input: v.strictObject({}, 'must be an object'),
  run: async ({ control }) => {
    const { version } = control.host;
    return {
      json: { version, driver: DRIVER_VERSION },
      text: formatVersion(`${version} (nbd-mirror)`, DRIVER_VERSION),
    };
  },
});
