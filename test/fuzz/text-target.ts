/**
 * Parsers of what people, files and sockets say: whatever it is, it is taken, or refused with an
 * error that says so; and what was taken and is printed again means the same.
 */

import { UserError } from '../../src/base/failure.ts';
import { Prng } from '../../src/base/prng.ts';
import { readBytes, writeBytes } from './episode.ts';
import type { FuzzCase, FuzzTarget } from './fuzz-case.ts';
import { mutate } from './nbd-grammar.ts';
import { shorterBytes } from './smaller.ts';

/** Inputs of one case. */
const BATCH = 50;
/** A refusal that quotes all of a hostile input is an attack on whoever reads it. */
const MESSAGE_LENGTH_MAX = 20_000;

export interface TextTargetOptions {
  readonly name: string;
  readonly about: string;
  /** What is right, or nearly so: where mutations begin. */
  readonly seeds: readonly (string | Buffer)[];
  /** Words that are spliced in. */
  readonly words: readonly string[];
  /**
   * Parses; throws UserError for what it refuses. What it gives is compared with what the printed
   * form of it parses to; null where there is none.
   */
  readonly parse: (input: Buffer) => unknown;
  readonly print?: (value: never) => Buffer;
}

/** The planted mistake: an input with this in it is not refused but ends the process. */
const CANARY_BYTE = 0x07;

export function textTarget(options: TextTargetOptions): FuzzTarget {
  return {
    name: options.name,
    about: options.about,
    canaries: ['bell'],
    draw: (seed) => {
      const prng = new Prng(seed);
      return textCase(
        options,
        Array.from({ length: BATCH }, () => drawInput(prng, options)),
      );
    },
    read: (text) => {
      const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      return textCase(
        options,
        lines.map((line) => readBytes(line.slice('input '.length))),
      );
    },
  };
}

function drawInput(prng: Prng, { seeds, words }: TextTargetOptions): Buffer {
  let input = Buffer.from(prng.pick(seeds));
  for (let i = prng.pick([1, 1, 2, 5]); i > 0; i--) {
    if (prng.chance(1, 2)) {
      const other = prng.pick([...seeds, ...words].map((one) => Buffer.from(one)));
      input = Buffer.from(mutate(prng, input, [other]));
    } else {
      const at = prng.between(0, input.length);
      const word = Buffer.from(prng.pick(words));
      const skipped = prng.pick([0, 0, 1, word.length]);
      input = Buffer.concat([input.subarray(0, at), word, input.subarray(at + skipped)]);
    }
  }
  return input;
}

function textCase(options: TextTargetOptions, inputs: readonly Buffer[]): FuzzCase {
  return {
    messages: inputs.length,
    mutated: inputs.length,
    play: async (canary) => {
      for (const input of inputs) {
        if (canary !== null && input.includes(CANARY_BYTE)) throw new Error('planted');
        judge(options, input);
      }
    },
    smaller: function* () {
      if (inputs.length > 1) for (const input of inputs) yield textCase(options, [input]);
      if (inputs.length !== 1) return;
      for (const shorter of shorterBytes(inputs[0]!)) yield textCase(options, [shorter]);
    },
    write: (about) => {
      const lines = inputs.map((input) => `input ${writeBytes(input)}\n`);
      return `${about.replace(/^/gm, '# ')}\n${lines.join('')}`;
    },
  };
}

function judge({ parse, print }: TextTargetOptions, input: Buffer): void {
  let value: unknown;
  try {
    value = parse(input);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { message } = error;
    if (message === '' || message.length > MESSAGE_LENGTH_MAX) {
      throw new Error(`a refusal has ${message.length} characters`);
    }
    return;
  }
  if (print === undefined) return;
  const again = parse(print(value as never));
  if (canonical(again) !== canonical(value)) {
    const details = { cause: { value, again } };
    throw new Error('what was printed and parsed again is something else', details);
  }
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, one: unknown) => {
    if (typeof one === 'bigint') return `${one}n`;
    if (one instanceof Map || one instanceof Set) return [...one];
    return one;
  });
}
