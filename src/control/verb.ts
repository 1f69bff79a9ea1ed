/** What a verb is: its words, what it takes, what it does, and what it answers. */

import * as v from 'valibot';
import { UserError } from '../base/failure.ts';
import { CONTROL_WORD_LENGTH_MAX } from '../base/limits.ts';
import { quoted } from '../base/printable.ts';
import type { Control } from './control.ts';

export interface Answer {
  readonly json: unknown;
  /** What the command line prints: `dmsetup`'s text, every line ended; "" when there is none. */
  readonly text: string;
}

export interface VerbCall<Input> {
  readonly control: Control;
  readonly input: Input;
  /** The client has gone: nobody waits for the answer. */
  readonly signal: AbortSignal;
}

type InputSchema = v.GenericSchema<unknown, unknown>;

export interface VerbDefinition<Schema extends InputSchema> {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** As on a command line, behind the name. */
  readonly usage: string;
  readonly summary: string;
  /** Changes nothing. */
  readonly readsOnly: boolean;
  readonly input: Schema;
  run(call: VerbCall<v.InferOutput<Schema>>): Promise<Answer>;
}

export interface Verb extends Omit<VerbDefinition<InputSchema>, 'input' | 'run'> {
  /** Its input from the words of a URL: numbers and flags where it takes such. */
  readQuery(words: Readonly<Record<string, string>>): Record<string, unknown>;
  /** @throws UserError for input that it does not understand, or that it refuses. */
  run(call: VerbCall<unknown>): Promise<Answer>;
}

export function defineVerb<Schema extends InputSchema>(definition: VerbDefinition<Schema>): Verb {
  const { input: schema, run, ...words } = definition;
  return {
    ...words,
    readQuery: (query) => readQuery(schema, query),
    run: ({ control, input, signal }) =>
      run({ control, input: parseInput(words.name, schema, input), signal }),
  };
}

/** A word that a person wrote; the empty one is nobody's name. */
export const wordSchema = v.pipe(
  v.string('must be a string'),
  v.nonEmpty('must not be empty'),
  v.maxLength(CONTROL_WORD_LENGTH_MAX, `must have at most ${CONTROL_WORD_LENGTH_MAX} characters`),
);

export const flagSchema = v.optional(v.boolean('must be true or false'), false);

/** 0 to `max`. */
export function wholeNumberSchema(max: number) {
  return v.pipe(
    v.number('must be a number'),
    v.integer('must be a whole number'),
    v.minValue(0, 'must be 0 or more'),
    v.maxValue(max, `must be at most ${max}`),
  );
}

/** One device, by its name (or path, or number) or by its uuid. */
export const deviceEntries = { device: v.optional(wordSchema), uuid: v.optional(wordSchema) };

/** How devices below a table are written. */
export const namingSchema = v.optional(
  v.picklist(['name', 'devno'], 'must be "name" or "devno"'),
  'name',
);

/** As much of a schema as tells what a word may be. */
interface EntrySchema {
  readonly type: string;
  /** Of an optional one. */
  readonly wrapped?: EntrySchema;
}

function readQuery(
  schema: InputSchema,
  query: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const { entries = {} } = schema as { readonly entries?: Record<string, EntrySchema> };
  const read = (name: string, word: string): unknown => {
    const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
    const type = (entry?.wrapped ?? entry)?.type;
    if (type === 'number' && /^\d{1,15}(\.\d{1,15})?$/.test(word)) return Number(word);
    // A flag may stand by itself.
    if (type === 'boolean' && ['', 'true', 'false'].includes(word)) return word !== 'false';
    return word;
  };
  return Object.fromEntries(Object.entries(query).map(([name, word]) => [name, read(name, word)]));
}

function parseInput<Schema extends InputSchema>(
  verb: string,
  schema: Schema,
  input: unknown,
): v.InferOutput<Schema> {
  // To the schema a list is an object, too.
  const given = Array.isArray(input) ? null : input;
  const result = v.safeParse(schema, given, { abortEarly: true });
  if (result.success) return result.output;
  const problem = describeIssue(result.issues[0]);
  throw new UserError('bad-input', `Cannot ${verb}: ${problem}`);
}

function describeIssue(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  if (path === null) return `its input ${issue.message}`;
  const word = quoted(path);
  if (issue.type !== 'strict_object') return `${word} ${issue.message}`;
  return issue.expected === 'never' ? `${word} is not known to it` : `${word} must be given`;
}
