/** The verbs of `dmsetup` that tell how things are, and the stream of events. */

import { type Command, Option } from 'commander';
import { type Choosing, chooseDevices, runForEach } from './choose-devices.ts';
import {
  type ControlOptions,
  callAndPrint,
  connectControl,
  reportErrors,
  type Shell,
} from './control-session.ts';
import {
  type ByIdentity,
  identityInput,
  verb,
  withIdentity,
  withSelection,
} from './dmsetup-options.ts';
import { infoCommands } from './info-command.ts';
import { TREE_WORDS, treeInput } from './tree-options.ts';

const LS_NAMINGS = ['devno', 'devname', 'blkdevname'];

interface ReportOptions extends Choosing, ByIdentity {
  readonly exec?: string;
  readonly target?: string;
  readonly inactive?: boolean;
  readonly o?: string;
}

export function reportCommands(shell: Shell): Command[] {
  return [
    lsCommand(shell),
    ...infoCommands(shell),
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
    .option('--exec <command>', 'run a command for each, with its path as the last word')
    .option(
      '-o <options>',
      `what stands in the brackets: ${LS_NAMINGS.join(', ')}; of a tree: ${TREE_WORDS}`,
    )
    .action(async (options: Options) => {
      const { target, tree = false, o } = options;
      const run = async (): Promise<number> => {
        if (options.exec !== undefined) return runExec(shell, [], { ...options, select: '' });
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

interface ReportCall {
  readonly verb: string;
  readonly names: readonly string[];
  readonly more: object;
  /** Between the texts of devices. */
  readonly between?: string;
}

/** Asks for a report of the devices that are named, or selected, or of all. */
function callReport(
  shell: Shell,
  options: ReportOptions,
  { verb, names, more, between }: ReportCall,
): Promise<number> {
  const joint = between === undefined ? {} : { between };
  return reportErrors(shell, options, async () => {
    if (options.exec !== undefined) return runExec(shell, names, options);
    if (options.select === undefined || identityInput(options) !== null) {
      return callAndPrint(shell, options, verb, inputsFor(names, options, more), joint);
    }
    const chosen = await chooseDevices(shell, names, options);
    // That there is none at all is said as if nothing had been selected.
    if (chosen.isEmpty) return callAndPrint(shell, options, verb, inputsFor([], options, more));
    const prefix = names.length !== 1;
    const inputs = inputsFor(chosen.names, options, more).map((one) => ({ ...one, prefix }));
    return chosen.names.length === 0 ? 0 : callAndPrint(shell, options, verb, inputs, joint);
  });
}

/** In place of a report: a command for each device that it would be about. */
async function runExec(
  shell: Shell,
  names: readonly string[],
  options: ReportOptions,
): Promise<number> {
  const { exec = '', target } = options;
  const { names: chosen, missing, isEmpty } = await chooseDevices(shell, names, options);
  // That there is none is said by the daemon.
  if (missing !== undefined) return callAndPrint(shell, options, 'info', [{ device: missing }]);
  if (isEmpty) {
    const { NO_DEVICES } = await import('../control/verbs/output.ts');
    shell.out(NO_DEVICES);
    return 0;
  }
  if (target === undefined) return runForEach(shell, exec, chosen);
  const client = await connectControl(shell, options);
  const { body } = await client.call('ls', { target }, 'json');
  const { devices } = JSON.parse(body) as { devices: { name: string }[] };
  const having = new Set(devices.map(({ name }) => name));
  return runForEach(
    shell,
    exec,
    chosen.filter((name) => having.has(name)),
  );
}

function withLines(command: Command): Command {
  return withSelection(withDevices(command))
    .option('--target <type>', 'only targets of this type')
    .option('--exec <command>', 'run a command for each, with its path as the last word')
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
      const call = { verb: 'table', names, more: { naming: named, concise } };
      const joint = concise ? { between: ';' } : {};
      shell.end(await callReport(shell, options, { ...call, ...joint }));
    });
}

function measureCommand(shell: Shell): Command {
  return withSelection(
    withDevices(verb('measure', 'print what the kernel would report for measurement')),
  )
    .option('--inactive', 'of the inactive table')
    .addOption(
      naming(['name', 'devno'], 'how devices below are written (default: as in the table)'),
    )
    .action(async (names: string[], options: ReportOptions) => {
      const more = { naming: options.o ?? 'name' };
      shell.end(await callReport(shell, options, { verb: 'measure', names, more }));
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
        shell.end(await callReport(shell, options, { verb: 'status', names, more }));
        return;
      }
      const { watchStatus } = await import('./watch-status.ts');
      const inputs = inputsFor(names, options, { ...more, details: true });
      shell.end(await reportErrors(shell, options, () => watchStatus(shell, inputs, options)));
    });
}

function depsCommand(shell: Shell): Command {
  return withSelection(withDevices(verb('deps', 'list the devices that tables stand on')))
    .option('--inactive', 'of the inactive table')
    .addOption(naming(['devno', 'devname', 'blkdevname'], 'how they are written'))
    .action(async (names: string[], options: ReportOptions) => {
      const more = { naming: options.o ?? 'devno' };
      shell.end(await callReport(shell, options, { verb: 'deps', names, more }));
    });
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
