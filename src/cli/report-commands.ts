/** The verbs of `dmsetup` that tell how things are, and the stream of events. */

import { Command, Option } from 'commander';
import type { ControlAnswer } from '../control/control-client.ts';
import type { DeviceDescription } from '../control/device-description.ts';
import {
  type ControlOptions,
  callAndPrint,
  connectControl,
  printRefusal,
  reportErrors,
  type Shell,
  withControlOptions,
} from './control-session.ts';
import {
  type ByIdentity,
  identityInput,
  withIdentity,
  withIdleOptions,
} from './dmsetup-options.ts';
import { TREE_WORDS, treeInput } from './tree-options.ts';

const LS_NAMINGS = ['devno', 'devname', 'blkdevname'];

interface ReportOptions extends ControlOptions, ByIdentity {
  readonly target?: string;
  readonly inactive?: boolean;
  readonly o?: string;
}

export function reportCommands(shell: Shell): Command[] {
  return [
    lsCommand(shell),
    infoCommand(shell),
    statusCommand(shell),
    tableCommand(shell),
    measureCommand(shell),
    depsCommand(shell),
    plainCommand(shell, 'targets', 'list the types of targets'),
    targetVersionCommand(shell),
    plainCommand(shell, 'version', 'print versions of the daemon'),
    eventsCommand(shell),
    stallsCommand(shell),
  ];
}

function verb(name: string, summary: string): Command {
  const description = `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
  const command = new Command(name).summary(summary).description(description);
  return withIdleOptions(withControlOptions(command));
}

function withDevices(command: Command): Command {
  return withIdentity(command.argument('[device...]'));
}

function naming(choices: readonly string[], meaning: string): Option {
  return new Option('-o <naming>', meaning).choices([...choices]);
}

function lsCommand(shell: Shell): Command {
  interface Options extends ReportOptions {
    readonly tree?: boolean;
  }
  return verb('ls', 'list the devices')
    .option('--target <type>', 'only those with a target of this type')
    .option('--tree', 'show which devices stand on which')
    .option(
      '-o <options>',
      `what stands in the brackets: ${LS_NAMINGS.join(', ')}; of a tree: ${TREE_WORDS}`,
    )
    .action(async (options: Options) => {
      const { target, tree = false, o } = options;
      const run = async (): Promise<number> => {
        if (tree && target === undefined) {
          return callAndPrint(shell, options, 'tree', [treeInput(shell, o)]);
        }
        const input = {
          ...(target === undefined ? {} : { target }),
          ...(o === undefined || tree ? {} : { naming: o }),
        };
        return callAndPrint(shell, options, 'ls', [input]);
      };
      shell.end(await reportErrors(shell, options, run));
    });
}

function plainCommand(shell: Shell, name: string, summary: string): Command {
  return verb(name, summary).action(async (options: ControlOptions) => {
    shell.end(await callAndPrint(shell, options, name, [{}]));
  });
}

/** One input for each named device; one for the uuid; one for all. */
function inputsFor(names: readonly string[], options: ReportOptions, more: object): object[] {
  const { target, inactive = false } = options;
  const rest = { ...more, ...(target === undefined ? {} : { target }), inactive };
  if (names.length > 0)
    return names.map((device) => ({ device, prefix: names.length > 1, ...rest }));
  return [{ ...identityInput(options), ...rest }];
}

function withLines(command: Command): Command {
  return withDevices(command)
    .option('--target <type>', 'only targets of this type')
    .option('--inactive', 'of the inactive table')
    .option('--noflush', 'accepted')
    .addOption(
      naming(['name', 'devno'], 'how devices below are written (default: as in the table)'),
    );
}

function tableCommand(shell: Shell): Command {
  interface Options extends ReportOptions {
    readonly concise?: boolean;
  }
  return withLines(verb('table', 'print the table of devices'))
    .option('--concise', 'all of them on one line, for "create --concise"')
    .action(async (names: string[], options: Options) => {
      const { concise = false, o: named = 'name' } = options;
      const inputs = inputsFor(names, options, { naming: named, concise });
      const joint = concise ? { between: ';' } : {};
      shell.end(await callAndPrint(shell, options, 'table', inputs, joint));
    });
}

function measureCommand(shell: Shell): Command {
  return withDevices(verb('measure', 'print what the kernel would report for measurement'))
    .option('--inactive', 'of the inactive table')
    .addOption(
      naming(['name', 'devno'], 'how devices below are written (default: as in the table)'),
    )
    .action(async (names: string[], options: ReportOptions) => {
      const inputs = inputsFor(names, options, { naming: options.o ?? 'name' });
      shell.end(await callAndPrint(shell, options, 'measure', inputs));
    });
}

function targetVersionCommand(shell: Shell): Command {
  return verb('target-version', 'print the versions of types of targets')
    .argument('[target...]')
    .action(async (targets: string[], options: ControlOptions) => {
      const inputs = targets.map((target) => ({ target }));
      shell.end(await callAndPrint(shell, options, 'target-version', inputs));
    });
}

function statusCommand(shell: Shell): Command {
  interface Options extends ReportOptions {
    readonly watch?: boolean;
    readonly interval: string;
    readonly count?: string;
  }
  return withLines(verb('status', 'print the status line of each target'))
    .option('--watch', 'a live view, until it is interrupted')
    .option('--interval <seconds>', 'with --watch: look so often', '1')
    .option('--count <count>', 'with --watch: look so many times')
    .action(async (names: string[], options: Options) => {
      const more = { naming: options.o ?? 'name' };
      if (options.watch !== true) {
        shell.end(await callAndPrint(shell, options, 'status', inputsFor(names, options, more)));
        return;
      }
      const { watchStatus } = await import('./watch-status.ts');
      const inputs = inputsFor(names, options, { ...more, details: true });
      shell.end(await reportErrors(shell, options, () => watchStatus(shell, inputs, options)));
    });
}

function depsCommand(shell: Shell): Command {
  return withDevices(verb('deps', 'list the devices that tables stand on'))
    .option('--inactive', 'of the inactive table')
    .addOption(naming(['devno', 'devname', 'blkdevname'], 'how they are written'))
    .action(async (names: string[], options: ReportOptions) => {
      const inputs = inputsFor(names, options, { naming: options.o ?? 'devno' });
      shell.end(await callAndPrint(shell, options, 'deps', inputs));
    });
}

interface InfoOptions extends ReportOptions {
  readonly sort?: string;
  readonly nameprefixes?: boolean;
  readonly C?: boolean;
  readonly columns?: boolean;
  readonly noheadings?: boolean;
  readonly separator?: string;
}

function infoCommand(shell: Shell): Command {
  return withDevices(verb('info', 'tell the state of devices'))
    .option('-c, --columns', 'one line for each device')
    .addOption(new Option('-C').hideHelp())
    .option('-o <fields>', 'with -c: these columns; with a plus in front, those beside the usual')
    .option(
      '-O, --sort <fields>',
      'with -c: in this order; a field with a minus the other way round',
    )
    .option('--noheadings', 'with -c: for programs')
    .option('--nameprefixes', 'with -c: NAME=VALUE, for shells')
    .option('--separator <text>', 'with -c: between columns')
    .action(async (names: string[], options: InfoOptions) => {
      const run = async (): Promise<number> => {
        const { columns: c = false, C = false, o, sort, separator } = options;
        const columns = c || C;
        if (columns && names.length > 1 && options.json !== true) {
          return printColumns(shell, names, options);
        }
        const shape = {
          columns,
          noHeadings: options.noheadings ?? false,
          namePrefixes: options.nameprefixes ?? false,
          ...(o === undefined ? {} : { fields: o }),
          ...(sort === undefined ? {} : { sort }),
          ...(separator === undefined ? {} : { separator }),
        };
        const all = { ...identityInput(options), ...shape };
        const inputs = names.length === 0 ? [all] : names.map((device) => ({ device, ...shape }));
        return callAndPrint(shell, options, 'info', inputs);
      };
      shell.end(await reportErrors(shell, options, run));
    });
}

/** Columns are as wide as the widest of all devices wants: they are put together here. */
async function printColumns(
  shell: Shell,
  names: readonly string[],
  options: InfoOptions,
): Promise<number> {
  const { formatColumns } = await import('../control/info-columns.ts');
  const client = await connectControl(shell, options);
  const devices: DeviceDescription[] = [];
  let refusal: ControlAnswer | null = null;
  for (const device of names) {
    const answer = await client.call('info', { device }, 'json');
    if (answer.status !== 200) {
      // The text of a refusal is for people.
      refusal = await client.call('info', { device }, 'text');
      break;
    }
    devices.push(...(JSON.parse(answer.body) as { devices: DeviceDescription[] }).devices);
  }
  const { o: fields, noheadings: noHeadings = false, separator, sort } = options;
  const namePrefixes = options.nameprefixes ?? false;
  if (devices.length > 0) {
    shell.out(formatColumns(devices, { fields, noHeadings, namePrefixes, separator, sort }));
  }
  return refusal === null ? 0 : printRefusal(shell, refusal);
}

function eventsCommand(shell: Shell): Command {
  interface Options extends ControlOptions {
    readonly follow?: boolean;
    readonly after: string;
  }
  return verb('events', 'tell what happened to devices')
    .option('-f, --follow', 'go on, until it is interrupted')
    .option('--after <id>', 'only events behind this one; or "now"', 'start')
    .action(async (options: Options) => {
      const run = async (): Promise<number> => {
        const client = await connectControl(shell, options);
        const { after, follow = false } = options;
        for await (const { id, type, data } of client.events({ after, follow })) {
          const fields = parse(data);
          const line =
            options.json === true
              ? JSON.stringify({ id, type, ...fields })
              : formatEvent(id, type, fields);
          if (options.json === true || type !== 'ready') shell.out(`${line}\n`);
        }
        return 0;
      };
      shell.end(await reportErrors(shell, options, run));
    });
}

function stallsCommand(shell: Shell): Command {
  return verb('stalls', 'measure for a while how long the event loop is held up')
    .argument('[seconds]', 'how long (default: 10)')
    .action(async (seconds: string | undefined, options: ControlOptions) => {
      // What is no number is refused by the daemon, as it is.
      const input = seconds === undefined ? {} : { seconds: asNumber(seconds) };
      shell.end(await callAndPrint(shell, options, 'stalls', [input]));
    });
}

function asNumber(word: string): number | string {
  const value = Number(word);
  return word.trim() === '' || !Number.isFinite(value) ? word : value;
}

function parse(data: string): Record<string, unknown> {
  return JSON.parse(data) as Record<string, unknown>;
}

/** "ID DEVICE TYPE name=value…" */
function formatEvent(id: string, type: string, data: Record<string, unknown>): string {
  const { sequence: _sequence, type: _type, device = '-', ...fields } = data;
  const words = Object.entries(fields).map(([name, value]) => ` ${name}=${value}`);
  return `${id} ${device} ${type}${words.join('')}`;
}
