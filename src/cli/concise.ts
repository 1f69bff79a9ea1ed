/**
 * Devices on one line, as `dmsetup create --concise` reads them:
 * `<name>,<uuid>,<minor>,<flags>,<table line>[,<table line>...]`, devices separated by semicolons.
 * A backslash takes the next character as it is.
 */

import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import { CommandError } from '../control/command-error.ts';

export interface ConciseDevice {
  readonly name: string;
  readonly uuid: string;
  /** Null: the next free one. */
  readonly minor: number | null;
  readonly readOnly: boolean;
  /** Lines, each ended by nothing; empty where there is no table. */
  readonly table: string;
}

const FIELDS = 5;
const FIELD_NAMES = ['name', 'uuid', 'minor', 'flags', 'table'];

/** @throws UserError naming the device and the field. */
export function parseConcise(text: string): ConciseDevice[] {
  return splitAt(text, ';')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseDevice);
}

function parseDevice(text: string): ConciseDevice {
  const fields = splitAt(text, ',').map(unescaped);
  const [name = '', uuid = '', minorWord = '', flags = '', ...lines] = fields;
  if (fields.length < FIELDS) {
    const parsed = FIELD_NAMES.map((field, index) => `${field}: ${fields[index] ?? '(null)'}`);
    throw refused(
      `device ${quoted(name)} has ${fields.length} fields, must have ${FIELDS}: ` +
        'name, uuid, minor, flags, table',
      'Five comma-separated fields are required for each device\n' +
        `Parsed ${fields.length} fields: ${parsed.join(' ')}`,
    );
  }
  if (!['', 'ro', 'rw'].includes(flags)) {
    const shown = flags.slice(0, 80);
    throw refused(
      `flags of device ${quoted(name)} are ${quoted(flags)}, must be "ro", "rw" or empty`,
      `Invalid flags parameter '${shown}' must be 'ro' or 'rw' or empty.`,
    );
  }
  if (!/^[0-9]{0,7}$/.test(minorWord)) {
    throw refused(
      `minor of device ${quoted(name)} is ${quoted(minorWord)}, must be a number`,
      'Invalid minor number.',
    );
  }
  const minor = minorWord === '' ? null : Number(minorWord);
  return { name, uuid, minor, readOnly: flags === 'ro', table: lines.join('\n') };
}

/** Parts keep their backslashes. */
function splitAt(text: string, separator: string): string[] {
  const parts = [''];
  for (let index = 0; index < text.length; index++) {
    const character = text[index]!;
    if (character === separator) parts.push('');
    else parts[parts.length - 1] += character;
    if (character !== '\\' || index + 1 === text.length) continue;
    index += 1;
    parts[parts.length - 1] += text[index]!;
  }
  return parts;
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, '$1');
}

function refused(problem: string, dmsetupLine: string): CommandError {
  const error = new UserError('bad-concise', `Cannot create devices: ${problem}`);
  return new CommandError(error, dmsetupLine);
}
