/**
 * The command `nbd-mirror`: chooses the subcommand, and turns what goes wrong into a message and an
 * exit status. 0: good; 1: it ran, and the answer is no; 2: bad input, or it could not run.
 */

import { Command, CommanderError, Help, type Option } from 'commander';
import { UserError } from '../base/failure.ts';
import { escapeControls } from '../base/printable.ts';
import { productVersion } from '../daemon/product-version.ts';
import { compareCommand } from './compare-command.ts';
import { FAILED, type Shell } from './control-session.ts';
import { crashCommand } from './crash-command.ts';
import { lifecycleCommands } from './device-commands.ts';
import { verbFirst } from './dmsetup-options.ts';
import { faultCommand } from './fault-command.ts';
import { logCommand } from './log-command.ts';
import { logdCommand } from './logd-command.ts';
import { reportCommands } from './report-commands.ts';
import { serveCommand } from './serve-command.ts';
import { splitCommand } from './split-command.ts';
import { printOut } from './standard-output.ts';

const EXIT_BAD_INPUT = 2;
/** As of `sysexits.h`: an error inside. */
const EXIT_DEFECT = 70;

async function main(words: readonly string[]): Promise<number> {
  let status = 0;
  const end = (result: number): void => {
    status = result;
  };
  const program = new Command('nbd-mirror')
    .description(
      'The device-mapper mirror target with its dirty logs, in user space, served over NBD, ' +
        'for people who test what happens when the power goes.',
    )
    .version(productVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .addCommand(serveCommand(end))
    .addCommand(logdCommand(end))
    .addCommand(logCommand(end))
    .addCommand(compareCommand(end))
    .addCommand(crashCommand(end))
    .commandsGroup('Of a running daemon, as dmsetup:')
    .addHelpText('after', '\n"nbd-mirror COMMAND --help" has options and examples.');
  const shell = processShell(end);
  const daemonCommands = [
    ...lifecycleCommands(shell),
    ...reportCommands(shell),
    faultCommand(shell),
    splitCommand(shell),
  ];
  for (const command of daemonCommands) program.addCommand(command);
  for (const command of allCommands(program)) {
    command.exitOverride().showHelpAfterError(`(${pathOf(command)} --help tells more)`);
    command.configureHelp({ optionDescription, ...command.configureHelp() });
    command.configureOutput({
      writeOut: printOut,
      outputError: (text, write) => write(`nbd-mirror: ${text}`),
    });
  }
  const ordered = verbFirst(words, daemonCommands);
  try {
    await program.parseAsync(ordered, { from: 'user' });
    return status;
  } catch (error) {
    // Scripts for dmsetup know one status for all that goes wrong.
    const isDaemonCommand = daemonCommands.some((command) => isNamed(command, ordered[0]));
    const result = explain(error);
    return result === EXIT_BAD_INPUT && isDaemonCommand ? FAILED : result;
  }
}

function processShell(end: (status: number) => void): Shell {
  return {
    out: printOut,
    err: (text) => void process.stderr.write(text),
    isTerminal: process.stdout.isTTY,
    environment: process.env,
    readFile: async (path) =>
      (await import('../daemon/plan/read-table-file.ts')).readTableFile(path),
    run: async (words) => {
      const problem = await (await import('../daemon/run-command.ts')).runCommand(words);
      if (problem !== null) process.stderr.write(`nbd-mirror: ${problem}\n`);
    },
    end,
  };
}

/** That a flag is not set by default goes without saying. */
function optionDescription(option: Option): string {
  if (option.defaultValue === false) return option.description;
  return new Help().optionDescription(option);
}

/** As it is typed. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function isNamed(command: Command, word: string | undefined): boolean {
  return word !== undefined && [command.name(), ...command.aliases()].includes(word);
}

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap((below) => allCommands(below))];
}

/** The exit status; anything but bad input is a defect of ours and crashes. */
function explain(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_BAD_INPUT;
  if (!(error instanceof UserError)) throw error;
  const lines = [`nbd-mirror: ${error.message}`];
  if (error.kernelMessage !== undefined) lines.push(`  the kernel says: ${error.kernelMessage}`);
  if (error.hint !== undefined) lines.push(`  hint: ${error.hint}`);
  process.stderr.write(lines.map((line) => `${escapeControls(line)}\n`).join(''));
  return EXIT_BAD_INPUT;
}

/** Whoever waits for what never comes would end like this in silence, and with a good status. */
function onNothingLeft(): void {
  process.stderr.write(
    'nbd-mirror: It ended before it was through: nothing was left to wait for\n',
  );
  process.exitCode = EXIT_DEFECT;
}

process.once('beforeExit', onNothingLeft);
process.exitCode = await main(process.argv.slice(2));
process.off('beforeExit', onNothingLeft);
