/**
 * What `dmsetup` also accepts on a command line, so that scripts written for it run: options about
 * udev, device nodes and read-ahead, of which there are none here, and options in front of a verb.
 */

import { Command, Option } from 'commander';
import { UserError } from '../base/failure.ts';
import { withControlOptions } from './control-session.ts';

const SELECT = '-S, --select <selection>';

/** Accepted behind every verb, and without effect but where another word is said of them. */
const IDLE_FLAGS: readonly string[] = [
  ...['--noudevsync', '--noudevrules', '--verifyudev', '--checks', '--retry', '--noopencount'],
  ...['--addnodeonresume', '--addnodeoncreate', '-y, --yes', '-v, --verbose', '--showkeys'],
  ...['--udevcookie <cookie>', '--manglename <mode>', '--readahead <sectors>'],
  SELECT,
];

/** Behind `create`: owner and mode of a device node. */
const IDLE_CREATE_FLAGS: readonly string[] = [
  ...['-U, --uid <uid>', '-G, --gid <gid>', '-M, --mode <mode>'],
];

/** A command that is a verb of `dmsetup`. */
export function verb(name: string, summary: string): Command {
  const description = `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
  return withIdleOptions(
    withControlOptions(new Command(name).summary(summary).description(description)),
  );
}

export function withIdleOptions(command: Command): Command {
  return addHidden(command, IDLE_FLAGS);
}

export function withIdleCreateOptions(command: Command): Command {
  return addHidden(command, IDLE_CREATE_FLAGS);
}

/** A verb that minds the selection. */
export function withSelection(command: Command): Command {
  const option = command.options.find(({ flags }) => flags === SELECT)!;
  option.description = 'only devices that this is true of, such as "name=~^vg && open>0"';
  option.hidden = false;
  return command;
}

export interface ByIdentity {
  readonly uuid?: string;
  readonly major?: string;
  readonly minor?: string;
}

/** A device by something else than its name. */
export function withIdentity(command: Command): Command {
  return command
    .option('-u, --uuid <uuid>', 'the device of this uuid')
    .option('-j, --major <major>', 'the device of this number, with --minor')
    .option('-m, --minor <minor>', 'the device of this number, with --major');
}

/** What is sent for it; null where the device is named. @throws UserError for half a number. */
export function identityInput({ uuid, major, minor }: ByIdentity): object | null {
  if (uuid !== undefined) return { uuid };
  if (major === undefined && minor === undefined) return null;
  const isNumber = [major, minor].every((word) => word !== undefined && /^[0-9]{1,7}$/.test(word));
  if (isNumber) return { device: `${Number(major)}:${Number(minor)}` };
  throw new UserError(
    'bad-number',
    `Cannot find the device: major is "${major ?? ''}" and minor is "${minor ?? ''}", ` +
      'must both be numbers',
  );
}

function addHidden(command: Command, flags: readonly string[]): Command {
  for (const words of flags) command.addOption(new Option(words).hideHelp());
  return command;
}

/** The program's own; they end it. */
const PROGRAM_OPTIONS = new Set(['-h', '--help', '-V', '--version']);
/** `dmsetup -c info` is `dmsetup info -c`; `verbs` tell which options take the word behind them. */
export function verbFirst(words: readonly string[], verbs: readonly Command[]): string[] {
  const withValue = new Set(
    verbs.flatMap(({ options }) =>
      options.filter(({ required }) => required).flatMap(({ short, long }) => [short, long]),
    ),
  );
  const rest = [...words];
  const leading: string[] = [];
  while (rest[0]?.startsWith('-') === true && !PROGRAM_OPTIONS.has(rest[0])) {
    const option = rest.shift()!;
    leading.push(option);
    if (withValue.has(option) && rest.length > 0) leading.push(rest.shift()!);
  }
  const verb = rest.shift();
  return verb === undefined ? [...words] : [verb, ...leading, ...rest];
}
