/** Devices that a command line means without naming each: those that `-S` selects, or all. */

import { UserError } from '../base/failure.ts';
import type { DeviceDescription } from '../control/verbs/device-description.ts';
import { type ControlOptions, connectControl, type Shell } from './control-session.ts';

export interface Choosing extends ControlOptions {
  /** The expression of `-S`. */
  readonly select?: string;
}

/** All devices, by name. @throws UserError where no daemon answers. */
export async function describeAll(
  shell: Shell,
  options: ControlOptions,
): Promise<readonly DeviceDescription[]> {
  const client = await connectControl(shell, options);
  const { body } = await client.call('info', {}, 'json');
  return (JSON.parse(body) as { devices: DeviceDescription[] }).devices;
}

export interface Chosen {
  readonly names: readonly string[];
  /** The first of them that there is no device of. */
  readonly missing: string | undefined;
  /** There is no device at all. */
  readonly isEmpty: boolean;
}

/**
 * The devices that are selected, of those that are named, or of all. A name that nobody has stays
 * among them: that there is none is said by whoever is asked for it.
 *
 * @throws UserError for a selection that cannot be understood.
 */
export async function chooseDevices(
  shell: Shell,
  names: readonly string[],
  options: Choosing,
): Promise<Chosen> {
  const { isCalled } = await import('../control/verbs/device-description.ts');
  const { parseSelection } = await import('../control/verbs/selection.ts');
  const selection = parseSelection(options.select ?? '');
  const all = await describeAll(shell, options);
  const isEmpty = all.length === 0;
  if (names.length === 0) {
    return { names: all.filter(selection).map(({ name }) => name), missing: undefined, isEmpty };
  }
  const missing = names.find((word) => !all.some((one) => isCalled(one, word)));
  const isChosen = (word: string): boolean => {
    const device = all.find((one) => isCalled(one, word));
    return device === undefined || selection(device);
  };
  return { names: names.filter(isChosen), missing, isEmpty };
}

/**
 * Runs a command for each device, with `/dev/mapper/NAME` as its last word, which every command of
 * ours takes for a device. As with `dmsetup`, what becomes of it makes no difference.
 *
 * @throws UserError for a command without a word.
 */
export async function runForEach(
  shell: Shell,
  command: string,
  names: readonly string[],
): Promise<number> {
  const words = command.split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) {
    throw new UserError('bad-option', 'Cannot run a command: --exec has no words, must have one');
  }
  for (const name of names) await shell.run([...words, `/dev/mapper/${name}`]);
  return 0;
}
