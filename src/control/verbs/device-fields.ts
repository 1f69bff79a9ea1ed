/** What reports tell of a device, field by field: the columns of `info -c`, and what `-S` asks. */

import { MAPPED_DEVICE_MAJOR } from '../../dm/device-numbers.ts';
import { type DeviceDescription, minorOf, tablesOf } from './device-description.ts';
import type { RowColumn } from './format-rows.ts';
import { splitName, subsystemOf } from './split-name.ts';

/** Read-ahead that a device has by default; nothing is read ahead. */
export const READ_AHEAD_SECTORS = 256;

export interface Field<Row = DeviceDescription> extends RowColumn {
  readonly name: string;
  readonly kind: 'string' | 'number';
  readonly meaning: string;
  value(row: Row): string;
}

export interface FieldSection<Row = DeviceDescription> {
  readonly title: string;
  /** Stands for all of them. */
  readonly all: string;
  readonly fields: readonly Field<Row>[];
}

/** Numbers stand to the right, texts to the left. */
type FieldWords = readonly [name: string, heading: string, width: number, meaning: string];

function text<Row = DeviceDescription>(words: FieldWords, value: (row: Row) => string): Field<Row> {
  const [name, heading, width, meaning] = words;
  return { name, heading, width, align: 'left', kind: 'string', meaning, value };
}

function number(words: FieldWords, value: (row: DeviceDescription) => number): Field {
  const [name, heading, width, meaning] = words;
  const shown = (row: DeviceDescription): string => `${value(row)}`;
  return { name, heading, width, align: 'right', kind: 'number', meaning, value: shown };
}

const NAMES: FieldSection = {
  title: 'Mapped Device Name',
  all: 'name_all',
  fields: [
    text(['name', 'Name', 16, 'Name of mapped device.'], ({ name }) => name),
    text(['mangled_name', 'MangledName', 16, 'Mangled name of mapped device.'], (row) => row.name),
    text(
      ['unmangled_name', 'UnmangledName', 16, 'Unmangled name of mapped device.'],
      ({ name }) => name,
    ),
    text(
      ['uuid', 'UUID', 32, 'Unique (optional) identifier for mapped device.'],
      ({ uuid }) => uuid,
    ),
    text(
      [
        'mangled_uuid',
        'MangledUUID',
        32,
        'Mangled unique (optional) identifier for mapped device.',
      ],
      ({ uuid }) => uuid,
    ),
    text(
      [
        ...(['unmangled_uuid', 'UnmangledUUID', 32] as const),
        'Unmangled unique (optional) identifier for mapped device.',
      ],
      ({ uuid }) => uuid,
    ),
    number(['read_ahead', 'RAhead', 6, 'Read ahead value.'], ({ liveTable }) =>
      liveTable ? READ_AHEAD_SECTORS : 0,
    ),
  ],
};

const STATE: FieldSection = {
  title: 'Mapped Device Information',
  all: 'info_all',
  fields: [
    text(['blkdevname', 'BlkDevName', 16, 'Name of block device.'], (row) => `dm-${minorOf(row)}`),
    text(
      ['attr', 'Stat', 4, '(L)ive, (I)nactive, (s)uspended, (r)ead-only, read-(w)rite.'],
      ({ liveTable, inactiveTable, suspended, readOnly }) =>
        `${liveTable ? 'L' : '-'}${inactiveTable ? 'I' : '-'}${suspended ? 's' : '-'}` +
        `${readOnly ? 'r' : 'w'}`,
    ),
    text(
      [
        ...(['tables_loaded', 'Tables', 6] as const),
        'Which of the live and inactive table slots are filled.',
      ],
      (row) => tablesOf(row, '+'),
    ),
    text(['suspended', 'Suspended', 9, 'Whether the device is suspended.'], ({ suspended }) =>
      suspended ? 'Suspended' : 'Active',
    ),
    text(
      ['readonly', 'Read-only', 9, 'Whether the device is read-only or writeable.'],
      ({ readOnly }) => (readOnly ? 'Read-only' : 'Writeable'),
    ),
    text(['devno', 'DevNo', 5, 'Device major and minor numbers'], (row) => row.number),
    number(['major', 'Maj', 3, 'Block device major number.'], () => MAPPED_DEVICE_MAJOR),
    number(['minor', 'Min', 3, 'Block device minor number.'], (row) => Number(minorOf(row))),
    number(
      ['open', 'Open', 4, 'Number of references to open device, if requested.'],
      ({ openCount }) => openCount,
    ),
    number(
      ['segments', 'Targ', 4, 'Number of segments in live table, if present.'],
      ({ targetCount }) => targetCount,
    ),
    number(['events', 'Event', 6, 'Number of most recent event.'], (row) => row.eventNumber),
  ],
};

const RELATIONS: FieldSection = {
  title: 'Mapped Device Relationship Information',
  all: 'deps_all',
  fields: [
    number(
      ['device_count', '#Devs', 5, 'Number of devices used by this one.'],
      ({ uses }) => uses.length,
    ),
    text(
      ['devs_used', 'DevNamesUsed', 16, 'List of names of mapped devices used by this one.'],
      ({ uses }) => uses.flatMap(({ name, mapped }) => (mapped ? [name] : [])).join(','),
    ),
    text(
      ['devnos_used', 'DevNosUsed', 16, 'List of device numbers of devices used by this one.'],
      ({ uses }) => uses.map((one) => one.number).join(','),
    ),
    text(
      [
        ...(['blkdevs_used', 'BlkDevNamesUsed', 16] as const),
        'List of names of block devices used by this one.',
      ],
      ({ uses }) => uses.map(blockDeviceName).join(','),
    ),
    number(
      ['device_ref_count', '#Refs', 5, 'Number of mapped devices referencing this one.'],
      ({ usedBy }) => usedBy.length,
    ),
    text(
      [
        ...(['names_using_dev', 'RefNames', 8] as const),
        'List of names of mapped devices using this one.',
      ],
      ({ usedBy }) => usedBy.map(({ name }) => name).join(','),
    ),
    text(
      [
        ...(['devnos_using_dev', 'RefDevNos', 9] as const),
        'List of device numbers of mapped devices using this one.',
      ],
      ({ usedBy }) => usedBy.map((one) => one.number).join(','),
    ),
  ],
};

function blockDeviceName(used: DeviceDescription['uses'][number]): string {
  return used.mapped ? `dm-${minorOf(used)}` : used.name;
}

/** Of a name that is LVM's. */
export interface SplitRow {
  readonly name: string;
  readonly subsystem: string;
}

export const SPLIT_NAME: FieldSection<SplitRow> = {
  title: 'Mapped Device Name Components',
  all: 'splitname_all',
  fields: [
    text(['vg_name', 'VG', 4, 'LVM Volume Group name.'], (row) => partsOf(row).group),
    text(['lv_name', 'LV', 4, 'LVM Logical Volume name.'], (row) => partsOf(row).volume),
    text(['lv_layer', 'LVLayer', 7, 'LVM device layer.'], (row) => partsOf(row).layer),
  ],
};

function partsOf({ name, subsystem }: SplitRow) {
  return subsystem === 'LVM' ? splitName(name) : { group: '', volume: '', layer: '' };
}

const NAME_PARTS: FieldSection = {
  ...SPLIT_NAME,
  fields: [
    text(
      ['subsystem', 'Subsys', 6, 'Userspace subsystem responsible for this device.'],
      ({ uuid }) => subsystemOf(uuid),
    ),
    ...SPLIT_NAME.fields.map(
      (field): Field => ({
        ...field,
        value: ({ name, uuid }) => field.value({ name, subsystem: subsystemOf(uuid) }),
      }),
    ),
  ],
};

export const DEVICE_FIELDS: readonly FieldSection[] = [NAMES, STATE, RELATIONS, NAME_PARTS];

/** The list that `-o help` prints. */
export function formatFieldHelp<Row>(sections: readonly FieldSection<Row>[]): string {
  const special = {
    title: 'Special',
    all: null,
    fields: [{ name: 'help', meaning: 'Show help.' }],
  };
  const parts = [...sections, special].map(({ title, all, fields }) => {
    const heading = `${title} Fields`;
    const rows = fields.map(({ name, meaning }) => `  ${name.padEnd(21)} - ${meaning}\n`);
    const first = all === null ? '' : `  ${all.padEnd(21)} - All fields in this section.\n`;
    return `${heading}\n${'-'.repeat(heading.length)}\n${first}${rows.join('')} \n`;
  });
  return parts.join('');
}
