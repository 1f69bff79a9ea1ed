/**
 * `nbd-mirror fault`: makes devices below a mirror misbehave, lists the faults and removes them.
 * The words of a fault go to the daemon as they are; it says what is wrong with them.
 */

import { Command } from 'commander';
import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import {
  type ControlOptions,
  callAndPrint,
  reportErrors,
  type Shell,
  withControlOptions,
} from './control-session.ts';

const EXAMPLES = `
Targets: leg0, leg1, ... or log of a mirror, or the name of a device that the table stands on.
Faults:
  error [--errno NAME]   requests fail (EIO, ENOSPC, ...)
  delay --ms N           requests are held back so long
  hang                   requests wait until the fault is removed
  offline [--errno NAME] every request fails until the fault is removed
Which requests (not with offline):
  --op read|write|flush|discard|all    (default: all)
  --count N          at most so many; --after N: not the first so many
  --sectors A-B      only where these sectors are touched, counted from the target's first
  --probability P    only so many of them (0.1, 10%); --seed S: which ones

Examples:
  nbd-mirror fault data leg1 error --op write --count 3
  nbd-mirror fault data log offline
  nbd-mirror fault data leg0 delay --ms 200 --op flush
  nbd-mirror fault list
  nbd-mirror fault remove 1`;

export function faultCommand(shell: Shell): Command {
  const command = new Command('fault')
    .summary('make legs and logs misbehave')
    .description(
      'Make legs and logs misbehave while they are in use; print the number of the fault.',
    )
    .addCommand(listCommand(shell))
    .addCommand(removeCommand(shell))
    .addCommand(armCommand(shell), { isDefault: true, hidden: true })
    .usage('<device> <target> <fault> [option...] | list [device] | remove <id>... | remove --all')
    .addHelpText('after', EXAMPLES);
  return command.helpOption('-h, --help', 'print this');
}

function armCommand(shell: Shell): Command {
  interface Options extends ControlOptions {
    readonly uuid?: string;
  }
  const command = withControlOptions(new Command('arm'))
    .option('-u, --uuid <uuid>', 'the device of this uuid')
    .argument('[word...]')
    // The options of a fault are the daemon's to understand.
    .allowUnknownOption()
    .usage('<device> <target> <fault> [option...]')
    .addHelpText('after', EXAMPLES);
  return command.action(async (given: string[], options: Options) => {
    const run = async (): Promise<number> => {
      const words = [...given];
      const { uuid } = options;
      const device = uuid === undefined ? words.shift() : undefined;
      const target = words.shift();
      if (target === undefined || (device === undefined && uuid === undefined)) {
        throw new UserError(
          'bad-input',
          'Cannot arm a fault: a device, a target and a fault must be given',
          { hint: 'For example "nbd-mirror fault data leg0 error --op write --count 3".' },
        );
      }
      const which = uuid === undefined ? { device } : { uuid };
      return callAndPrint(shell, options, 'fault', [{ ...which, target, fault: words.join(' ') }]);
    };
    shell.end(await reportErrors(shell, options, run));
  });
}

function listCommand(shell: Shell): Command {
  return withControlOptions(new Command('list'))
    .summary('list the faults, and how often each fired')
    .argument('[device]')
    .action(async (device: string | undefined, options: ControlOptions) => {
      const input = device === undefined ? {} : { device };
      shell.end(await callAndPrint(shell, options, 'fault-list', [input]));
    });
}

function removeCommand(shell: Shell): Command {
  interface Options extends ControlOptions {
    readonly all: boolean;
    readonly fail: boolean;
    readonly device?: string;
  }
  return withControlOptions(new Command('remove'))
    .summary('remove faults; requests that hang or wait go on')
    .argument('[id...]')
    .option('-a, --all', 'all of them, or of --device', false)
    .option('-d, --device <device>', 'only of this device')
    .option('--fail', 'requests that hang or wait fail instead', false)
    .action(async (words: string[], options: Options) => {
      const run = async (): Promise<number> => {
        const ids = words.map(parseId);
        const { all, fail, device } = options;
        const which = device === undefined ? {} : { device };
        return callAndPrint(shell, options, 'fault-remove', [{ ...which, ids, all, fail }]);
      };
      shell.end(await reportErrors(shell, options, run));
    });
}

function parseId(word: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(word)) return Number(word);
  throw new UserError(
    'bad-number',
    `Cannot remove fault ${quoted(word)}: must be the number of a fault`,
    {
      hint: '"nbd-mirror fault list" shows the numbers.',
    },
  );
}
