/**
 * The verbs of `dmsetup`, with its options and the order of its arguments, sent to a daemon. What
 * they mean is known there; here are only words.
 */

import type { Command } from 'commander';
import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import type { Choosing } from './choose-devices.ts';
import { collect } from './collect.ts';
import {
  type ControlOptions,
  callAndPrint,
  refuse,
  reportErrors,
  type Shell,
} from './control-session.ts';
import {
  type ByIdentity,
  identityInput,
  verb,
  withIdentity,
  withIdleCreateOptions,
  withSelection,
} from './dmsetup-options.ts';

interface TableInput {
  readonly table?: readonly string[];
  readonly tableFile?: string;
}

interface DeviceOptions extends Choosing, ByIdentity {}

export function lifecycleCommands(shell: Shell): Command[] {
  return [
    createCommand(shell),
    removeCommand(shell),
    suspendCommand(shell),
    resumeCommand(shell),
    loadCommand(shell),
    clearCommand(shell),
    renameCommand(shell),
    waitCommand(shell),
    messageCommand(shell),
    removeAllCommand(shell),
    wipeTableCommand(shell),
    mknodesCommand(shell),
  ];
}

interface CreateOptions extends ControlOptions, ByIdentity, TableInput {
  readonly readonly?: boolean;
  readonly notable?: boolean;
  readonly concise?: boolean;
}

function createCommand(shell: Shell): Command {
  return withIdleCreateOptions(withTable(verb('create', 'make a device, with a table')))
    .argument('[name]')
    .argument('[table file]')
    .option('-u, --uuid <uuid>', 'its uuid')
    .option('-j, --major <major>', 'with --minor: its number, of which the major must be 253')
    .option('-m, --minor <minor>', 'with --major: its number')
    .option('-r, --readonly', 'refuse writes')
    .option('-n, --notable', 'no table yet')
    .option(
      '--concise',
      'devices as "NAME,UUID,MINOR,FLAGS,LINE[,LINE]...[;...]", in place of a name',
    )
    .action(async (name: string | undefined, file: string | undefined, options: CreateOptions) => {
      const run = async (): Promise<number> => {
        if (options.concise === true) return createConcise(shell, options, name);
        if (name === undefined) {
          await refuse(
            'no-name',
            'Cannot create a device: it has no name',
            'Please provide a name for the new device.',
          );
        }
        const { notable = false, uuid, readonly: readOnly = false } = options;
        if (notable && (options.table !== undefined || hasFile(options, file))) {
          await refuse(
            'bad-option',
            'Cannot create a device: a table and --notable are given',
            '--table and --notable are incompatible.',
          );
        }
        const minor = wantedMinor(options);
        const table = notable ? {} : { table: await readTable(shell, options, file) };
        const identity = uuid === undefined ? minor : { uuid, ...minor };
        return callAndPrint(shell, options, 'create', [
          { device: name, ...identity, readOnly, ...table },
        ]);
      };
      shell.end(await reportErrors(shell, options, run));
    });
}

/** @throws UserError for a number that a device cannot have. */
function wantedMinor({ major, minor }: ByIdentity): object {
  if (major === undefined && minor === undefined) return {};
  if (major === '253' && minor !== undefined && /^[0-9]{1,7}$/.test(minor)) {
    return { minor: Number(minor) };
  }
  throw new UserError(
    'bad-number',
    `Cannot create a device: its number is "${major ?? ''}:${minor ?? ''}", must be 253:MINOR`,
  );
}

async function createConcise(
  shell: Shell,
  options: CreateOptions,
  word: string | undefined,
): Promise<number> {
  const { parseConcise } = await import('./concise.ts');
  const inputs = parseConcise(word ?? (await shell.readFile('-'))).map((device) => ({
    device: device.name,
    ...(device.uuid === '' ? {} : { uuid: device.uuid }),
    ...(device.minor === null ? {} : { minor: device.minor }),
    readOnly: device.readOnly,
    table: device.table,
  }));
  return inputs.length === 0 ? 0 : callAndPrint(shell, options, 'create', inputs);
}

interface RemovalOptions {
  readonly force: boolean;
  readonly deferred: boolean;
}

function removeCommand(shell: Shell): Command {
  return withSelection(withIdentity(verb('remove', 'take devices down in good order, and away')))
    .argument('[device...]')
    .option('-f, --force', 'fail requests and cut clients off', false)
    .option('--deferred', 'one that is in use goes when its last user does', false)
    .action(async (names: string[], options: DeviceOptions & RemovalOptions) => {
      const { force, deferred } = options;
      shell.end(await callForEach(shell, options, 'remove', names, { force, deferred }));
    });
}

function removeAllCommand(shell: Shell): Command {
  return verb('remove_all', 'remove all devices that nobody uses')
    .option('-f, --force', 'fail requests and cut clients off, and so remove all of them', false)
    .option('--deferred', 'those in use go when their last users do', false)
    .action(async (options: ControlOptions & RemovalOptions) => {
      const { force, deferred } = options;
      shell.end(await callAndPrint(shell, options, 'remove_all', [{ force, deferred }]));
    });
}

function wipeTableCommand(shell: Shell): Command {
  return withSelection(
    withIdentity(verb('wipe_table', 'put a table of errors in the place of the live one')),
  )
    .argument('[device...]')
    .option('-f, --force', 'accepted')
    .option('--noflush', 'fail held requests by way of the new table', false)
    .option('--nolockfs', 'accepted')
    .action(async (names: string[], options: DeviceOptions & { noflush: boolean }) => {
      const { noflush } = options;
      shell.end(await callForEach(shell, options, 'wipe_table', names, { noflush }));
    });
}

function suspendCommand(shell: Shell): Command {
  return withSelection(withIdentity(verb('suspend', 'let requests end, and keep new ones waiting')))
    .argument('[device...]')
    .option('--noflush', 'keep held requests for the next table', false)
    .option('--nolockfs', 'accepted: there is no file system to lock')
    .action(async (names: string[], options: DeviceOptions & { noflush: boolean }) => {
      shell.end(await callForEach(shell, options, 'suspend', names, { noflush: options.noflush }));
    });
}

function resumeCommand(shell: Shell): Command {
  return withSelection(
    withIdentity(verb('resume', 'make an inactive table live, and let requests go on')),
  )
    .argument('[device...]')
    .option('--noflush', 'accepted')
    .option('--nolockfs', 'accepted')
    .action(async (names: string[], options: DeviceOptions) => {
      shell.end(await callForEach(shell, options, 'resume', names, {}));
    });
}

function loadCommand(shell: Shell): Command {
  interface Options extends ControlOptions, ByIdentity, TableInput {
    readonly readonly?: boolean;
  }
  return withTable(withIdentity(verb('load', 'put a table into the inactive slot')))
    .alias('reload')
    .argument('[device]')
    .argument('[table file]')
    .option('-r, --readonly', 'refuse writes with it')
    .action(async (name: string | undefined, file: string | undefined, options: Options) => {
      const run = async (): Promise<number> => {
        // With a uuid there is no name before the file.
        const [device, path] = isNamed(options) ? [name, file] : [undefined, name];
        const which = await deviceInput(device, options, 'Please specify device.');
        const table = await readTable(shell, options, path);
        const { readonly: readOnly = false } = options;
        return callAndPrint(shell, options, 'load', [{ ...which, table, readOnly }]);
      };
      shell.end(await reportErrors(shell, options, run));
    });
}

function clearCommand(shell: Shell): Command {
  return withSelection(withIdentity(verb('clear', 'drop the inactive table')))
    .argument('[device...]')
    .action(async (names: string[], options: DeviceOptions) => {
      shell.end(await callForEach(shell, options, 'clear', names, {}));
    });
}

function renameCommand(shell: Shell): Command {
  return withIdentity(verb('rename', 'give a device another name, or its uuid'))
    .argument('[device]')
    .argument('[new name or uuid]')
    .option('--setuuid', 'set the uuid, which can be done once', false)
    .action(
      async (
        first: string | undefined,
        second: string | undefined,
        options: ControlOptions & ByIdentity & { setuuid: boolean },
      ) => {
        const run = async (): Promise<number> => {
          const [device, to] = isNamed(options) ? [first, second] : [undefined, first];
          const which = await deviceInput(device, options);
          const target = options.setuuid ? { newUuid: to } : { newName: to };
          return callAndPrint(shell, options, 'rename', [{ ...which, ...target }]);
        };
        shell.end(await reportErrors(shell, options, run));
      },
    );
}

/** There are no nodes that could be wrong. */
function mknodesCommand(shell: Shell): Command {
  return verb('mknodes', 'accepted, and without effect: there are no device nodes')
    .argument('[device...]')
    .action(() => shell.end(0));
}

function waitCommand(shell: Shell): Command {
  return withIdentity(verb('wait', 'wait until the event number of a device is another one'))
    .argument('[device]')
    .argument('[event number]')
    .option('--noflush', 'accepted')
    .action(
      async (
        first: string | undefined,
        second: string | undefined,
        options: ControlOptions & ByIdentity,
      ) => {
        const run = async (): Promise<number> => {
          const [device, word] = isNamed(options) ? [first, second] : [undefined, first];
          const which = await deviceInput(device, options);
          const eventNumber = await parseNumber(word ?? '0', 'event number');
          return callAndPrint(shell, options, 'wait', [{ ...which, eventNumber }]);
        };
        shell.end(await reportErrors(shell, options, run));
      },
    );
}

function messageCommand(shell: Shell): Command {
  return withIdentity(verb('message', 'send words to the target at a sector'))
    .argument('[device]')
    .argument('[sector]')
    .argument('[message...]')
    .action(
      async (
        first: string | undefined,
        second: string | undefined,
        rest: string[],
        options: ControlOptions & ByIdentity,
      ) => {
        const run = async (): Promise<number> => {
          const words = [first, second, ...rest].filter((word) => word !== undefined);
          const device = isNamed(options) ? words.shift() : undefined;
          const which = await deviceInput(device, options);
          const sector = await parseNumber(words.shift() ?? '', 'sector');
          // That the kernel refuses it, too, is told behind this.
          if (words.length === 0) shell.err('No message supplied.\n');
          return callAndPrint(shell, options, 'message', [{ ...which, sector, words }]);
        };
        shell.end(await reportErrors(shell, options, run));
      },
    );
}

/** One request for each device, as `dmsetup` makes one ioctl for each. */
function callForEach(
  shell: Shell,
  options: DeviceOptions,
  name: string,
  devices: readonly string[],
  input: object,
): Promise<number> {
  return reportErrors(shell, options, async () => {
    if (options.select !== undefined && isNamed(options)) {
      const { chooseDevices } = await import('./choose-devices.ts');
      const { names } = await chooseDevices(shell, devices, options);
      const inputs = names.map((device) => ({ device, ...input }));
      return names.length === 0 ? 0 : callAndPrint(shell, options, name, inputs);
    }
    if (devices.length === 0) {
      const which = await deviceInput(undefined, options);
      return callAndPrint(shell, options, name, [{ ...which, ...input }]);
    }
    const inputs = devices.map((device) => ({ device, ...input }));
    return callAndPrint(shell, options, name, inputs);
  });
}

function isNamed(options: ByIdentity): boolean {
  return identityInput(options) === null;
}

/** @throws UserError where the device is not given. */
async function deviceInput(
  device: string | undefined,
  options: ByIdentity,
  dmsetupLine = 'No device specified.',
): Promise<object> {
  const which = identityInput(options);
  if (which !== null) return which;
  if (device !== undefined) return { device };
  return refuse('no-name', 'Cannot find the device: its name must be given', dmsetupLine);
}

function withTable(command: Command): Command {
  return command
    .option('--table <table>', 'the table; more of them go below each other', collect)
    .option('--table-file <file>', 'the table is in this file ("-": standard input, the default)');
}

function hasFile(options: TableInput, file: string | undefined): boolean {
  return options.tableFile !== undefined || file !== undefined;
}

async function readTable(
  shell: Shell,
  options: TableInput,
  file: string | undefined,
): Promise<string> {
  const { table, tableFile } = options;
  const ways = [table, tableFile, file].filter((way) => way !== undefined).length;
  if (ways > 1) {
    await refuse(
      'two-tables',
      'Cannot read the table: it is given more than once',
      'Incorrect number of arguments.',
    );
  }
  if (table !== undefined) return table.join('\n');
  const path = tableFile ?? file ?? '-';
  try {
    return await shell.readFile(path);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { CommandError } = await import('../control/command-error.ts');
    throw new CommandError(error, `Couldn't open '${path}' for reading.`);
  }
}

async function parseNumber(word: string, what: string): Promise<number> {
  const number = /^[0-9]{1,16}$/.test(word) ? Number(word) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  return refuse(
    'bad-number',
    `Cannot use the ${what}: it is ${quoted(word)}, must be a whole number`,
    `Invalid ${what}.`,
  );
}
