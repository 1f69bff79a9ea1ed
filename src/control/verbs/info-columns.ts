/** Reports in columns, for people and for programs, made of fields. */

import { UserError } from '../../base/failure.ts';
import { quoted } from '../../base/printable.ts';
import { CommandError } from '../command-error.ts';
import type { DeviceDescription } from './device-description.ts';
import { DEVICE_FIELDS, type Field, type FieldSection, formatFieldHelp } from './device-fields.ts';
import { formatRows } from './format-rows.ts';

const DEFAULT_FIELDS = 'name,major,minor,attr,open,segments,events,uuid';
const HELP_WORDS: readonly string[] = ['help', '?'];

export interface ColumnOptions {
  /** Names with commas between; with a plus in front, those beside the usual ones. */
  readonly fields?: string | undefined;
  /** Fields, each with a minus in front for the other way round; by name without any. */
  readonly sort?: string | undefined;
  /** Each value behind the name of its field, for a shell to evaluate. */
  readonly namePrefixes?: boolean | undefined;
  /** With `namePrefixes`: values are not quoted. */
  readonly unquoted?: boolean | undefined;
  /** One line for each field. */
  readonly rows?: boolean | undefined;
  readonly noHeadings: boolean;
  readonly separator?: string | undefined;
}

/** @throws UserError for a field that is not known. */
export function formatColumns(
  devices: readonly DeviceDescription[],
  options: ColumnOptions,
): string {
  return formatReport(DEVICE_FIELDS, DEFAULT_FIELDS, devices, options);
}

/** The same of anything else that has fields. @throws UserError */
export function formatReport<Row>(
  sections: readonly FieldSection<Row>[],
  usual: string,
  rows: readonly Row[],
  options: ColumnOptions,
): string {
  const words = fieldWords(usual, options.fields);
  if (words.some((word) => HELP_WORDS.includes(word))) return formatFieldHelp(sections);
  const fields = words.flatMap((word) => findFields(sections, word));
  const sorted = sortRows(sections, rows, options.sort);
  const cells = sorted.map((row) => fields.map((field) => field.value(row)));
  return formatCells(fields, cells, options);
}

/** The words of `-o`: fields, or with a plus those beside the usual ones. None: no column. */
function fieldWords(usual: string, fields = usual): string[] {
  const words = fields.startsWith('+') ? `${usual},${fields.slice(1)}` : fields;
  return words.split(',').filter((word) => word !== '');
}

function formatCells<Row>(
  fields: readonly Field<Row>[],
  cells: readonly (readonly string[])[],
  options: ColumnOptions,
): string {
  const { noHeadings, namePrefixes = false, rows = false, unquoted = false } = options;
  const quote = unquoted ? '' : "'";
  const shown = namePrefixes
    ? cells.map((row) =>
        row.map((value, at) => `DM_${fields[at]!.name.toUpperCase()}=${quote}${value}${quote}`),
      )
    : cells;
  // Without headings, with names or with rows it is for programs: nothing is aligned.
  const isAligned = !noHeadings && !namePrefixes && !rows && options.separator === undefined;
  if (isAligned) return formatRows(fields, shown);
  const lines = noHeadings ? shown : [fields.map(({ heading }) => heading), ...shown];
  const separator = options.separator ?? (noHeadings ? ':' : ' ');
  return (rows ? transpose(lines, fields.length) : lines)
    .map((line) => `${line.join(separator)}\n`)
    .join('');
}

function transpose(lines: readonly (readonly string[])[], width: number): string[][] {
  return Array.from({ length: width }, (_, at) => lines.map((line) => line[at]!));
}

/** All fields of a section by its word. @throws UserError for a field that is not known. */
function findFields<Row>(
  sections: readonly FieldSection<Row>[],
  word: string,
): readonly Field<Row>[] {
  const wanted = word.toLowerCase();
  if (wanted === 'all') return sections.flatMap(({ fields }) => fields);
  for (const { all, fields } of sections) {
    if (wanted === all) return fields;
    const field = fields.find(({ name }) => name === wanted);
    if (field !== undefined) return [field];
  }
  const known = sections.flatMap(({ fields }) => fields.map(({ name }) => name)).join(', ');
  const shown = word.slice(0, 80);
  const error = new UserError(
    'bad-field',
    `Cannot make a report: field is ${quoted(word)}, must be one of ${known}`,
  );
  throw new CommandError(error, `Unrecognised field: ${shown}`, { isTerse: true });
}

/** Rows of equal keys stay in their order. */
function sortRows<Row>(
  sections: readonly FieldSection<Row>[],
  rows: readonly Row[],
  keys = '',
): readonly Row[] {
  if (keys === '') return rows;
  const orders = keys.split(',').flatMap((key) => {
    const sign = key.startsWith('-') ? -1 : 1;
    return findFields(sections, key.replace(/^[+-]/, '')).map((field) => ({ field, sign }));
  });
  return [...rows].sort((one, other) => {
    for (const { field, sign } of orders) {
      const difference = compareValues(field.kind, field.value(one), field.value(other));
      if (difference !== 0) return sign * difference;
    }
    return 0;
  });
}

function compareValues(kind: Field['kind'], one: string, other: string): number {
  if (kind === 'number') return Number(one) - Number(other);
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
