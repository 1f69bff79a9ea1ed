/** The columns of `info -c`: fields, their headings and widths, and the report made of them. */

import { UserError } from '../base/failure.ts';
import { MAPPED_DEVICE_MAJOR } from '../dm/device-numbers.ts';
import { CommandError } from './command-error.ts';
import { type DeviceDescription, minorOf, tablesOf } from './device-description.ts';
import { formatRows } from './format-rows.ts';

interface Column {
  readonly heading: string;
  readonly width: number;
  readonly align: 'left' | 'right';
  readonly meaning: string;
  value(device: DeviceDescription): string;
}

const COLUMNS: Readonly<Record<string, Column>> = {
  name: {
    heading: 'Name',
    width: 16,
    align: 'left',
    meaning: 'Name of mapped device.',
    value: ({ name }) => name,
  },
  uuid: {
    heading: 'UUID',
    width: 32,
    align: 'left',
    meaning: 'Unique (optional) identifier for mapped device.',
    value: ({ uuid }) => uuid,
  },
  blkdevname: {
    heading: 'BlkDevName',
    width: 16,
    align: 'left',
    meaning: 'Name of block device.',
    value: (device) => `dm-${minorOf(device)}`,
  },
  attr: {
    heading: 'Stat',
    width: 4,
    align: 'left',
    meaning: '(L)ive, (I)nactive, (s)uspended, (r)ead-only, read-(w)rite.',
    value: (device) =>
      [
        device.liveTable ? 'L' : '-',
        device.inactiveTable ? 'I' : '-',
        device.suspended ? 's' : '-',
        device.readOnly ? 'r' : 'w',
      ].join(''),
  },
  tables_loaded: {
    heading: 'Tables',
    width: 6,
    align: 'left',
    meaning: 'Which of the live and inactive table slots are filled.',
    value: (device) => tablesOf(device, '+'),
  },
  suspended: {
    heading: 'Suspended',
    width: 9,
    align: 'left',
    meaning: 'Whether the device is suspended.',
    value: ({ suspended }) => (suspended ? 'Suspended' : 'Active'),
  },
  readonly: {
    heading: 'Read-only',
    width: 9,
    align: 'left',
    meaning: 'Whether the device is read-only or writeable.',
    value: ({ readOnly }) => (readOnly ? 'Read-only' : 'Writeable'),
  },
  devno: {
    heading: 'DevNo',
    width: 5,
    align: 'left',
    meaning: 'Device major and minor numbers',
    value: ({ number }) => number,
  },
  major: {
    heading: 'Maj',
    width: 3,
    align: 'right',
    meaning: 'Block device major number.',
    value: () => `${MAPPED_DEVICE_MAJOR}`,
  },
  minor: {
    heading: 'Min',
    width: 3,
    align: 'right',
    meaning: 'Block device minor number.',
    value: minorOf,
  },
  open: {
    heading: 'Open',
    width: 4,
    align: 'right',
    meaning: 'Number of references to open device, if requested.',
    value: ({ openCount }) => `${openCount}`,
  },
  segments: {
    heading: 'Targ',
    width: 4,
    align: 'right',
    meaning: 'Number of segments in live table, if present.',
    value: ({ targetCount }) => `${targetCount}`,
  },
  events: {
    heading: 'Event',
    width: 6,
    align: 'right',
    meaning: 'Number of most recent event.',
    value: ({ eventNumber }) => `${eventNumber}`,
  },
};

const DEFAULT_FIELDS = 'name,major,minor,attr,open,segments,events,uuid';

export interface ColumnOptions {
  readonly fields?: string | undefined;
  /** Fields, each with a minus in front for the other way round; by name without any. */
  readonly sort?: string | undefined;
  /** Each value behind the name of its field, for a shell to evaluate. */
  readonly namePrefixes?: boolean;
  readonly noHeadings: boolean;
  readonly separator?: string | undefined;
}

/** @throws UserError for a field that is not known. */
export function formatColumns(
  devices: readonly DeviceDescription[],
  options: ColumnOptions,
): string {
  const fields = chooseFields(options.fields);
  const columns = fields.map(columnOf);
  const sorted = sortDevices(devices, options.sort);
  const rows = sorted.map((device) => columns.map((column) => column.value(device)));
  if (options.namePrefixes === true) {
    const quoted = rows.map((row) =>
      row.map((value, index) => `DM_${fields[index]!.toUpperCase()}='${value}'`),
    );
    return quoted.map((row) => `${row.join(options.separator ?? ':')}\n`).join('');
  }
  // Without headings it is for programs: nothing is aligned.
  if (options.noHeadings) {
    return rows.map((row) => `${row.join(options.separator ?? ':')}\n`).join('');
  }
  return formatRows(columns, rows, options.separator);
}

/** The words of `-o`: fields, or with a plus those beside the usual ones. */
function chooseFields(fields = ''): string[] {
  const words = fields.startsWith('+') ? `${DEFAULT_FIELDS},${fields.slice(1)}` : fields;
  return (words === '' ? DEFAULT_FIELDS : words).split(',');
}

function columnOf(word: string): Column {
  if (Object.hasOwn(COLUMNS, word)) return COLUMNS[word]!;
  const known = Object.keys(COLUMNS).join(', ');
  const shown = word.slice(0, 80);
  const error = new UserError(
    'bad-field',
    `Cannot print columns: field is "${shown}", must be one of ${known}`,
  );
  throw new CommandError(error, `Unrecognised field: ${shown}`);
}

/** Devices of equal keys stay in their order. */
function sortDevices(
  devices: readonly DeviceDescription[],
  keys = '',
): readonly DeviceDescription[] {
  if (keys === '') return devices;
  const orders = keys.split(',').map((key) => {
    const word = key.replace(/^[+-]/, '');
    return { column: columnOf(word), sign: key.startsWith('-') ? -1 : 1 };
  });
  return [...devices].sort((one, other) => {
    for (const { column, sign } of orders) {
      const [a, b] = [column.value(one), column.value(other)];
      const difference =
        column.align === 'right' ? Number(a) - Number(b) : a === b ? 0 : a < b ? -1 : 1;
      if (difference !== 0) return sign * difference;
    }
    return 0;
  });
}
