/**
 * `dmsetup`, over an emulated machine: its options as transcripts use them become input of the
 * verbs of the control plane, whose texts are compared with what dmsetup printed.
 */

import { UserError } from '../../../src/base/failure.ts';
import { CommandError } from '../../../src/control/command-error.ts';
import { findVerb } from '../../../src/control/verbs/all-verbs.ts';
import type { EmulatedMachine } from '../emulated-machine.ts';
import { failed, NotUnderstood, type Outcome, reasonsOf, succeeded } from './outcome.ts';

interface Option {
  /** Key of the verb's input; null: nothing here, for there is no file system. */
  readonly key: string | null;
  readonly takesValue: boolean;
}

const flag = (key: string | null): Option => ({ key, takesValue: false });
const value = (key: string): Option => ({ key, takesValue: true });

/** By verb. What is not here is not understood. */
const OPTIONS: Readonly<Record<string, Readonly<Record<string, Option>>>> = {
  create: {
    '--table': value('table'),
    '--uuid': value('uuid'),
    '--readonly': flag('readOnly'),
    // As without a table.
    '--notable': flag(null),
  },
  load: { '--table': value('table'), '--readonly': flag('readOnly') },
  reload: { '--table': value('table'), '--readonly': flag('readOnly') },
  suspend: { '--noflush': flag('noflush'), '--nolockfs': flag(null) },
  resume: { '--noflush': flag(null), '--nolockfs': flag(null) },
  info: { '-c': flag('columns'), '--noheadings': flag('noHeadings'), '-o': value('fields') },
  table: { '--inactive': flag('inactive') },
  status: { '--inactive': flag('inactive') },
  remove: {},
  clear: {},
  message: {},
  targets: {},
};

/** The kernel writes devices by number; ours would write them as they were named. */
const DEVNO_VERBS = new Set(['table', 'status']);

export async function dmsetup(
  machine: EmulatedMachine,
  words: readonly string[],
): Promise<Outcome> {
  const [name = '', ...rest] = words;
  const verb = findVerb(name);
  const options = OPTIONS[name];
  if (verb === null || options === undefined) throw new NotUnderstood(`dmsetup ${name}`);
  const input = inputOf(name, options, rest);
  try {
    const { signal } = new AbortController();
    const { text } = await verb.run({ control: machine.control, input, signal });
    const outcome = succeeded(text === '' ? [] : text.replace(/\n$/, '').split('\n'));
    return name === 'targets' ? { ...outcome, listsMore: true } : outcome;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return refusal(error);
  }
}

function inputOf(
  verb: string,
  options: Readonly<Record<string, Option>>,
  words: readonly string[],
): Record<string, unknown> {
  const input: Record<string, unknown> = DEVNO_VERBS.has(verb) ? { naming: 'devno' } : {};
  const operands: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (!word.startsWith('-') || (verb === 'message' && operands.length > 0)) {
      operands.push(word);
      continue;
    }
    const option = options[word];
    if (option === undefined) throw new NotUnderstood(`dmsetup ${verb} ${word}`);
    const given = option.takesValue ? (words[++i] ?? '') : true;
    if (option.key !== null) input[option.key] = given;
  }
  const [device, ...more] = operands;
  if (device !== undefined) input.device = device;
  if (verb === 'message') {
    input.sector = Number(more[0]);
    input.words = more.slice(1);
  } else if (more.length > 0) {
    throw new NotUnderstood(`dmsetup ${verb} of several devices`);
  }
  return input;
}

function refusal(error: UserError): Outcome {
  if (error instanceof CommandError) {
    const { cause } = error;
    const outcome = failed(error.dmsetupLine, 'Command failed.');
    return { ...outcome, reasons: cause instanceof UserError ? reasonsOf(cause) : [] };
  }
  // dmsetup reads the table itself, and asks nobody when it cannot.
  const line = error.code === 'bad-table' ? /\bline (\d+)/.exec(error.message)?.[1] : undefined;
  if (line === undefined) throw error;
  return failed(`Invalid format on line ${line} of table .`, 'Command failed.');
}
