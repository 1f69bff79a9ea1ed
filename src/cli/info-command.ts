/** `info`: the state of devices, as blocks or in columns; and `splitname`, a report of one name. */

import { Command, Option } from 'commander';
import type { ControlAnswer } from '../control/control-client.ts';
import type { DeviceDescription } from '../control/verbs/device-description.ts';
import type { ColumnOptions } from '../control/verbs/info-columns.ts';
import { type Choosing, describeAll } from './choose-devices.ts';
import {
  callAndPrint,
  connectControl,
  printRefusal,
  refuse,
  reportErrors,
  type Shell,
  withControlOptions,
} from './control-session.ts';
import {
  type ByIdentity,
  identityInput,
  withIdentity,
  withIdleOptions,
  withSelection,
} from './dmsetup-options.ts';
import { parseCount, parseInterval } from './parse-count.ts';

interface ReportOptions {
  readonly o?: string;
  readonly sort?: string;
  readonly nameprefixes?: boolean;
  readonly unquoted?: boolean;
  readonly rows?: boolean;
  readonly noheadings?: boolean;
  readonly separator?: string;
}

interface InfoOptions extends Choosing, ByIdentity, ReportOptions {
  readonly interval?: string;
  readonly count?: string;
  readonly C?: boolean;
  readonly columns?: boolean;
}

export function infoCommands(shell: Shell): Command[] {
  return [infoCommand(shell), splitnameCommand(shell)];
}

function withReportOptions(command: Command): Command {
  return command
    .option('-c, --columns', 'one line for each')
    .addOption(new Option('-C').hideHelp())
    .option('-o <fields>', 'these columns; with a plus in front, those beside the usual; or help')
    .option('-O, --sort <fields>', 'in this order; a field with a minus the other way round')
    .option('--noheadings', 'for programs')
    .option('--nameprefixes', 'NAME=VALUE, for shells')
    .option('--unquoted', 'with --nameprefixes: no quotes around values')
    .option('--rows', 'one line for each field')
    .option('--separator <text>', 'between columns')
    .addOption(new Option('--unbuffered').hideHelp());
}

function columnOptions(options: ReportOptions): ColumnOptions {
  const { o: fields, noheadings: noHeadings = false, separator, sort, rows, unquoted } = options;
  return {
    fields,
    noHeadings,
    separator,
    sort,
    rows,
    unquoted,
    namePrefixes: options.nameprefixes,
  };
}

function infoCommand(shell: Shell): Command {
  const command = withIdleOptions(
    withControlOptions(
      new Command('info')
        .summary('tell the state of devices')
        .description('Tell the state of devices.')
        .argument('[device...]'),
    ),
  );
  const withAll = withReportOptions(withSelection(withIdentity(command)))
    .option('--interval <seconds>', 'with -c: again and again, so often')
    .option('--count <count>', 'with -c: so many times');
  return withAll.action(async (names: string[], options: InfoOptions) => {
    const run = (): Promise<number> => {
      const { columns = false, C = false } = options;
      if (columns || C) return printOften(shell, names, options);
      const all = identityInput(options) ?? {};
      const inputs = names.length === 0 ? [all] : names.map((device) => ({ device }));
      return callAndPrint(shell, options, 'info', inputs);
    };
    shell.end(await reportErrors(shell, options, run));
  });
}

/** Once, or as often as is said. */
async function printOften(
  shell: Shell,
  names: readonly string[],
  options: InfoOptions,
): Promise<number> {
  const { interval, count: word } = options;
  const intervalMs = parseInterval(interval ?? '1');
  const always = interval === undefined ? 1 : Number.POSITIVE_INFINITY;
  const count = word === undefined ? always : parseCount('--count', word);
  const { SystemClock } = await import('../daemon/system-clock.ts');
  const clock = new SystemClock();
  let status = 0;
  for (let round = 0; round < count && status === 0; round++) {
    if (round > 0) {
      await new Promise<void>((resolve) => clock.after(intervalMs, resolve));
      shell.out('\n');
    }
    status = await printColumns(shell, names, options);
  }
  return status;
}

/** Columns are as wide as the widest of all devices wants: they are put together here. */
async function printColumns(
  shell: Shell,
  names: readonly string[],
  options: InfoOptions,
): Promise<number> {
  const { formatColumns } = await import('../control/verbs/info-columns.ts');
  const { parseSelection } = await import('../control/verbs/selection.ts');
  const selection = parseSelection(options.select ?? '');
  const { devices, refusal } = await findDevices(shell, names, options);
  const selected = devices.filter(selection);
  if (options.json === true) {
    shell.out(`${JSON.stringify({ devices: selected }, null, 2)}\n`);
  } else if (names.length === 0 && devices.length === 0) {
    const { NO_DEVICES } = await import('../control/verbs/output.ts');
    shell.out(NO_DEVICES);
  } else {
    const text = formatColumns(selected, columnOptions(options));
    if (selected.length > 0) shell.out(text);
  }
  return refusal === null ? 0 : printRefusal(shell, refusal);
}

interface Found {
  readonly devices: readonly DeviceDescription[];
  /** The answer for the first that is not there; those behind it are not asked for. */
  readonly refusal: ControlAnswer | null;
}

async function findDevices(
  shell: Shell,
  names: readonly string[],
  options: InfoOptions,
): Promise<Found> {
  const identity = identityInput(options);
  if (names.length === 0 && identity === null) {
    return { devices: await describeAll(shell, options), refusal: null };
  }
  const inputs = names.length === 0 ? [identity!] : names.map((device) => ({ device }));
  const client = await connectControl(shell, options);
  const devices: DeviceDescription[] = [];
  for (const input of inputs) {
    const answer = await client.call('info', input, 'json');
    if (answer.status !== 200) {
      // The text of a refusal is for people.
      const form = options.json === true ? 'json' : 'text';
      return { devices, refusal: await client.call('info', input, form) };
    }
    devices.push(...(JSON.parse(answer.body) as { devices: DeviceDescription[] }).devices);
  }
  return { devices, refusal: null };
}

/** Needs no daemon: the parts of a name are in the name. */
function splitnameCommand(shell: Shell): Command {
  const command = new Command('splitname')
    .summary("take a name of LVM's apart")
    .description("Take a name of LVM's apart: volume group, logical volume, layer.")
    .argument('[name]')
    .argument('[subsystem]')
    .helpOption('-h, --help', 'print this');
  return withReportOptions(withIdleOptions(command)).action(
    async (name: string | undefined, subsystem = 'LVM', options: ReportOptions) => {
      const run = async (): Promise<number> => {
        if (name === undefined) {
          const problem = 'Cannot take a name apart: it must be given';
          return refuse('no-name', problem, 'Incorrect number of arguments.');
        }
        const { formatReport } = await import('../control/verbs/info-columns.ts');
        const { SPLIT_NAME } = await import('../control/verbs/device-fields.ts');
        const usual = 'vg_name,lv_name,lv_layer';
        const rows = [{ name, subsystem }];
        shell.out(formatReport([SPLIT_NAME], usual, rows, columnOptions(options)));
        return 0;
      };
      shell.end(await reportErrors(shell, {}, run));
    },
  );
}
