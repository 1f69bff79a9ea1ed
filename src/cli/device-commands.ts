/**
 * The verbs of `dmsetup`, with its options and the order of its arguments, sent to a daemon. What they
 * mean is known there; here are only words.
 */

import { Command } from 'commander';
import {
  type ControlOptions,
  callAndPrint,
  refuse,
  reportErrors,
  withControlOptions,
} from './control-session.ts';

type End = (status: number) => void;

interface ByUuid {
  readonly uuid?: string;
}

interface TableInput {
  readonly table?: readonly string[];
  readonly tableFile?: string;
}

export function lifecycleCommands(end: End): Command[] {
  return [
    createCommand(end),
    removeCommand(end),
    suspendCommand(end),
    resumeCommand(end),
    loadCommand(end),
    clearCommand(end),
    renameCommand(end),
    waitCommand(end),
    messageCommand(end),
  ];
}

function verb(name: string, summary: string): Command {
  return withControlOptions(new Command(name).summary(summary).description(`${capital(summary)}.`));
}

function withUuid(command: Command): Command {
  return command.option('-u, --uuid <uuid>', 'the device of this uuid');
}

function createCommand(end: End): Command {
  interface Options extends ControlOptions, ByUuid, TableInput {
    readonly readonly?: boolean;
    readonly notable?: boolean;
  }
  return withTable(verb('create', 'make a device, with a table'))
    .argument('[name]')
    .argument('[table file]')
    .option('-u, --uuid <uuid>', 'its uuid')
    .option('-r, --readonly', 'refuse writes')
    .option('-n, --notable', 'no table yet')
    .action(async (name: string | undefined, file: string | undefined, options: Options) => {
      const run = async (): Promise<number> => {
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
        const table = notable ? {} : { table: await readTable(options, file) };
        const input = { device: name, ...(uuid === undefined ? {} : { uuid }), readOnly, ...table };
        return callAndPrint(options, 'create', [input]);
      };
      end(await reportErrors(options, run));
    });
}

function removeCommand(end: End): Command {
  return withUuid(verb('remove', 'take devices down in good order, and away'))
    .argument('[device...]')
    .option('-f, --force', 'fail requests and cut clients off', false)
    .action(async (names: string[], options: ControlOptions & ByUuid & { force: boolean }) => {
      end(await callForEach(options, 'remove', names, { force: options.force }));
    });
}

function suspendCommand(end: End): Command {
  return withUuid(verb('suspend', 'let requests end, and keep new ones waiting'))
    .argument('[device...]')
    .option('--noflush', 'keep held requests for the next table', false)
    .option('--nolockfs', 'accepted: there is no file system to lock')
    .action(async (names: string[], options: ControlOptions & ByUuid & { noflush: boolean }) => {
      end(await callForEach(options, 'suspend', names, { noflush: options.noflush }));
    });
}

function resumeCommand(end: End): Command {
  return withUuid(verb('resume', 'make an inactive table live, and let requests go on'))
    .argument('[device...]')
    .option('--noflush', 'accepted')
    .option('--nolockfs', 'accepted')
    .action(async (names: string[], options: ControlOptions & ByUuid) => {
      end(await callForEach(options, 'resume', names, {}));
    });
}

function loadCommand(end: End): Command {
  interface Options extends ControlOptions, ByUuid, TableInput {
    readonly readonly?: boolean;
  }
  return withTable(withUuid(verb('load', 'put a table into the inactive slot')))
    .alias('reload')
    .argument('[device]')
    .argument('[table file]')
    .option('-r, --readonly', 'refuse writes with it')
    .action(async (name: string | undefined, file: string | undefined, options: Options) => {
      const run = async (): Promise<number> => {
        // With a uuid there is no name before the file.
        const [device, path] = options.uuid === undefined ? [name, file] : [undefined, name];
        const which = await deviceInput(device, options.uuid, 'Please specify device.');
        const table = await readTable(options, path);
        const { readonly: readOnly = false } = options;
        return callAndPrint(options, 'load', [{ ...which, table, readOnly }]);
      };
      end(await reportErrors(options, run));
    });
}

function clearCommand(end: End): Command {
  return withUuid(verb('clear', 'drop the inactive table'))
    .argument('[device...]')
    .action(async (names: string[], options: ControlOptions & ByUuid) => {
      end(await callForEach(options, 'clear', names, {}));
    });
}

function renameCommand(end: End): Command {
  return withUuid(verb('rename', 'give a device another name, or its uuid'))
    .argument('[device]')
    .argument('[new name or uuid]')
    .option('--setuuid', 'set the uuid, which can be done once', false)
    .action(
      async (
        first: string | undefined,
        second: string | undefined,
        options: ControlOptions & ByUuid & { setuuid: boolean },
      ) => {
        const run = async (): Promise<number> => {
          const [device, to] = options.uuid === undefined ? [first, second] : [undefined, first];
          const which = await deviceInput(device, options.uuid);
          const target = options.setuuid ? { newUuid: to } : { newName: to };
          return callAndPrint(options, 'rename', [{ ...which, ...target }]);
        };
        end(await reportErrors(options, run));
      },
    );
}

function waitCommand(end: End): Command {
  return withUuid(verb('wait', 'wait until the event number of a device is another one'))
    .argument('[device]')
    .argument('[event number]')
    .option('--noflush', 'accepted')
    .action(
      async (
        first: string | undefined,
        second: string | undefined,
        options: ControlOptions & ByUuid,
      ) => {
        const run = async (): Promise<number> => {
          const [device, word] = options.uuid === undefined ? [first, second] : [undefined, first];
          const which = await deviceInput(device, options.uuid);
          const eventNumber = await parseNumber(word ?? '0', 'event number');
          return callAndPrint(options, 'wait', [{ ...which, eventNumber }]);
        };
        end(await reportErrors(options, run));
      },
    );
}

function messageCommand(end: End): Command {
  return withUuid(verb('message', 'send words to the target at a sector'))
    .argument('[device]')
    .argument('[sector]')
    .argument('[message...]')
    .action(
      async (
        first: string | undefined,
        second: string | undefined,
        rest: string[],
        options: ControlOptions & ByUuid,
      ) => {
        const run = async (): Promise<number> => {
          const words = [first, second, ...rest].filter((word) => word !== undefined);
          const device = options.uuid === undefined ? words.shift() : undefined;
          const which = await deviceInput(device, options.uuid);
          const sector = await parseNumber(words.shift() ?? '', 'sector');
          return callAndPrint(options, 'message', [{ ...which, sector, words }]);
        };
        end(await reportErrors(options, run));
      },
    );
}

/** One request for each device, as `dmsetup` makes one ioctl for each. */
function callForEach(
  options: ControlOptions & ByUuid,
  name: string,
  devices: readonly string[],
  input: object,
): Promise<number> {
  return reportErrors(options, async () => {
    const { uuid } = options;
    if (devices.length === 0) {
      return callAndPrint(options, name, [{ ...(await deviceInput(undefined, uuid)), ...input }]);
    }
    const inputs = devices.map((device) => ({ device, ...input }));
    return callAndPrint(options, name, inputs);
  });
}

/** @throws UserError where neither is given. */
async function deviceInput(
  device: string | undefined,
  uuid: string | undefined,
  dmsetupLine = 'No device specified.',
): Promise<object> {
  if (uuid !== undefined) return { uuid };
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

async function readTable(options: TableInput, file: string | undefined): Promise<string> {
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
  const { readTableFile } = await import('../daemon/read-table-file.ts');
  return readTableFile(tableFile ?? file ?? '-');
}

async function parseNumber(word: string, what: string): Promise<number> {
  const number = /^[0-9]{1,16}$/.test(word) ? Number(word) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  const shown = JSON.stringify(word.slice(0, 80));
  return refuse(
    'bad-number',
    `Cannot use the ${what}: it is ${shown}, must be a whole number`,
    `Invalid ${what}.`,
  );
}

function collect(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value];
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
