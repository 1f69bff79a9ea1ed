/** `dmsetup`, over an emulated machine: the verbs and options that transcripts use. */

import { UserError } from '../../../src/base/failure.ts';
import { parseTable } from '../../../src/dm/table-line.ts';
import type { EmulatedMachine } from '../emulated-machine.ts';
import { failed, ioctlFailed, NotUnderstood, type Outcome, succeeded } from './outcome.ts';

const TYPE_NAME_WIDTH = 16;
const DOES_NOT_EXIST = failed('Device does not exist.', 'Command failed.');

interface Arguments {
  readonly operands: readonly string[];
  readonly flags: ReadonlySet<string>;
  readonly values: ReadonlyMap<string, string>;
}

/** Without a value, by verb; `--nolockfs` means nothing where there is no file system. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  create: ['--readonly'],
  suspend: ['--noflush', '--nolockfs'],
  resume: ['--noflush', '--nolockfs'],
  info: ['-c', '--noheadings'],
};
const VALUES: Readonly<Record<string, readonly string[]>> = {
  create: ['--table', '--uuid'],
  load: ['--table'],
  reload: ['--table'],
  info: ['-o'],
};

export async function dmsetup(
  machine: EmulatedMachine,
  words: readonly string[],
): Promise<Outcome> {
  const [verb = '', ...rest] = words;
  const args = parseArguments(verb, rest);
  const [name = '', ...more] = args.operands;
  switch (verb) {
    case 'targets':
      return targets(machine);
    case 'table':
    case 'status':
      return lines(machine, verb, name);
    case 'info':
      return info(machine, name, args);
    case 'create':
      return create(machine, name, args);
    case 'load':
    case 'reload':
      return (
        misread(tableOf(args)) ??
        attempt('reload', name, args, undefined, () => machine.load(name, tableOf(args)))
      );
    case 'suspend':
      return attempt('suspend', name, args, undefined, () =>
        machine.suspend(name, { noflush: args.flags.has('--noflush') }),
      );
    case 'resume':
      return attempt('resume', name, args, undefined, () => machine.resume(name));
    case 'remove':
      return attempt('remove', name, args, undefined, () => machine.remove(name));
    case 'clear':
      return attempt('clear', name, args, undefined, () => machine.clear(name));
    case 'message': {
      const [sector = '', ...message] = more;
      return attempt('message', name, args, undefined, () =>
        machine.message(name, Number(sector), message),
      );
    }
    default:
      throw new NotUnderstood(`dmsetup ${verb}`);
  }
}

function parseArguments(verb: string, words: readonly string[]): Arguments {
  const operands: string[] = [];
  const flags = new Set<string>();
  const values = new Map<string, string>();
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (!word.startsWith('-') || operands.length > 1) operands.push(word);
    else if (FLAGS[verb]?.includes(word)) flags.add(word);
    else if (VALUES[verb]?.includes(word)) values.set(word, words[++i] ?? '');
    else throw new NotUnderstood(`dmsetup ${verb} ${word}`);
  }
  return { operands, flags, values };
}

function tableOf(args: Arguments): string {
  const table = args.values.get('--table');
  if (table === undefined) throw new NotUnderstood('dmsetup with a table from its input');
  return table;
}

async function attempt(
  ioctl: string,
  name: string,
  args: Arguments,
  where: string | undefined,
  begin: () => { readonly promise: Promise<unknown> },
): Promise<Outcome> {
  if (ioctl !== 'message' && args.operands.length !== 1) {
    throw new NotUnderstood(`dmsetup ${ioctl} of ${args.operands.length} devices`);
  }
  try {
    await begin().promise;
    return succeeded();
  } catch (error) {
    return ioctlFailed({ ioctl, name, error, ...(where === undefined ? {} : { where }) });
  }
}

/** dmsetup reads the table itself, and asks nobody when it cannot. */
function misread(table: string): Outcome | null {
  try {
    parseTable(table);
    return null;
  } catch (error) {
    const line = error instanceof UserError ? /\bline (\d+)/.exec(error.message)?.[1] : undefined;
    if (line === undefined) throw error;
    return failed(`Invalid format on line ${line} of table .`, 'Command failed.');
  }
}

/** Create, load and resume; where one is refused, no device stays. */
async function create(machine: EmulatedMachine, name: string, args: Arguments): Promise<Outcome> {
  const table = tableOf(args);
  const refusal = misread(table);
  if (refusal !== null) return refusal;
  const uuid = args.values.get('--uuid');
  const made = await attempt('create', name, args, undefined, () =>
    machine.createEmpty(name, {
      readOnly: args.flags.has('--readonly'),
      ...(uuid === undefined ? {} : { uuid }),
    }),
  );
  if (made.status !== 0) return made;
  const where = machine.numberOf(name);
  const loaded = await attempt('reload', name, args, where, () => machine.load(name, table));
  if (loaded.status !== 0) {
    await machine.remove(name).promise;
    return loaded;
  }
  return attempt('resume', name, args, undefined, () => machine.resume(name));
}

async function lines(machine: EmulatedMachine, verb: string, name: string): Promise<Outcome> {
  if (verb === 'status' && machine.map.find(name) === null) return DOES_NOT_EXIST;
  try {
    return succeeded(await machine.lines(name, verb === 'table' ? 'table' : 'info').promise);
  } catch (error) {
    return ioctlFailed({ ioctl: verb, name, error });
  }
}

function info(machine: EmulatedMachine, name: string, args: Arguments): Outcome {
  if (!args.flags.has('-c') || !args.flags.has('--noheadings')) {
    throw new NotUnderstood('dmsetup info other than -c --noheadings');
  }
  const device = machine.map.find(name);
  if (device === null) return DOES_NOT_EXIST;
  const columns = (args.values.get('-o') ?? '').split(',').map((column) => {
    if (column === 'name') return device.name;
    if (column === 'uuid') return device.uuid;
    if (column === 'events') return String(device.eventNumber);
    if (column === 'minor') return String(device.minor);
    if (column === 'major') return machine.numberOf(name).split(':')[0]!;
    throw new NotUnderstood(`dmsetup info -o ${column}`);
  });
  return succeeded([columns.join(':')]);
}

function targets(machine: EmulatedMachine): Outcome {
  const output = machine.map.targetTypes
    .list()
    .map(({ name, version }) => `${name.padEnd(TYPE_NAME_WIDTH)} v${version.join('.')}`);
  return { ...succeeded(output), listsMore: true };
}
