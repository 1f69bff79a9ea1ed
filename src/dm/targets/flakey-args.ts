/** The words of a flakey table behind `DEVICE OFFSET`: intervals and features. */

import { quoted } from '../../base/printable.ts';
import { parseUnsigned, U32_MAX } from '../parse-number.ts';
import { targetError } from './stretch-args.ts';

export interface CorruptByte {
  /** The byte of each request, counted from 1. */
  readonly nth: number;
  readonly direction: 'r' | 'w';
  readonly value: number;
  /** Requests with other flags are left alone; 0: all. */
  readonly flags: number;
}

export interface FlakeyArgs {
  /** Seconds. */
  readonly up: number;
  readonly down: number;
  readonly dropWrites: boolean;
  readonly errorWrites: boolean;
  readonly errorReads: boolean;
  readonly corrupt: CorruptByte | null;
  /** Of 10^9. */
  readonly randomReadCorrupt: number;
  readonly randomWriteCorrupt: number;
}

const PROBABILITY_MAX = 1_000_000_000;

/** @throws UserError with the kernel's words. */
export function parseFlakeyArgs(words: readonly string[]): FlakeyArgs {
  const up = parseUnsigned(words[0], U32_MAX);
  const down = parseUnsigned(words[1], U32_MAX);
  // The kernel says "up" of either.
  if (up === null)
    throw bad(`up interval is "${words[0]}", must be seconds`, 'Invalid up interval');
  if (down === null)
    throw bad(`down interval is "${words[1]}", must be seconds`, 'Invalid up interval');
  const total = up + down;
  // In the kernel the sum wraps at 2^32, and it looks for zero first.
  if (total % (U32_MAX + 1) === 0) {
    throw bad(
      `up and down interval are ${up} and ${down}, one must be positive`,
      'Total (up + down) interval is zero',
    );
  }
  if (total > U32_MAX) {
    throw bad(
      `up and down interval are ${up} and ${down}, their sum must be at most ${U32_MAX}`,
      'Interval overflow',
    );
  }
  const features = new FeatureWords(words.slice(2));
  const args = features.parse({ up, down });
  const writeFeature = args.dropWrites ? 'drop_writes' : args.errorWrites ? 'error_writes' : null;
  if (writeFeature !== null && args.corrupt?.direction === 'w') {
    throw bad(
      `${writeFeature} is given with corrupt_bio_byte of writes`,
      `${writeFeature} is incompatible with corrupt_bio_byte with the WRITE flag set`,
    );
  }
  return args;
}

class FeatureWords {
  readonly #words: string[];

  constructor(words: readonly string[]) {
    const count = words.length === 0 ? 0 : parseUnsigned(words[0], words.length - 1);
    if (count === null) {
      throw bad(
        `number of feature words is "${words[0]}", but ${words.length - 1} follow`,
        'Invalid number of feature args',
      );
    }
    this.#words = words.slice(1, 1 + count);
  }

  parse(intervals: { up: number; down: number }): FlakeyArgs {
    let corrupt: CorruptByte | null = null;
    let randomReadCorrupt = 0;
    let randomWriteCorrupt = 0;
    const flags = new Set<string>();
    for (let word = this.#words.shift(); word !== undefined; word = this.#words.shift()) {
      if (word === 'drop_writes' || word === 'error_writes' || word === 'error_reads') {
        this.#once(word, flags);
        flags.add(word);
      } else if (word === 'corrupt_bio_byte') {
        corrupt = this.#corruptByte();
      } else if (word === 'random_read_corrupt') {
        randomReadCorrupt = this.#number(PROBABILITY_MAX, 'Invalid random corrupt argument');
      } else if (word === 'random_write_corrupt') {
        randomWriteCorrupt = this.#number(PROBABILITY_MAX, 'Invalid random corrupt argument');
      } else {
        throw bad(
          `feature is ${quoted(word)}, which is unknown`,
          'Unrecognised flakey feature requested',
        );
      }
    }
    return {
      ...intervals,
      dropWrites: flags.has('drop_writes'),
      errorWrites: flags.has('error_writes'),
      errorReads: flags.has('error_reads'),
      corrupt,
      randomReadCorrupt,
      randomWriteCorrupt,
    };
  }

  #once(word: string, seen: ReadonlySet<string>): void {
    if (seen.has(word)) throw bad(`${word} is given twice`, `Feature ${word} duplicated`);
    const conflicting = {
      drop_writes: 'error_writes',
      error_writes: 'drop_writes',
      error_reads: '',
    };
    const other = conflicting[word as keyof typeof conflicting];
    if (seen.has(other)) {
      throw bad(
        `${word} is given with ${other}`,
        `Feature ${word} conflicts with feature ${other}`,
      );
    }
  }

  #corruptByte(): CorruptByte {
    if (this.#words.length === 0) {
      throw bad(
        'corrupt_bio_byte has no parameters, must have 4',
        'Feature corrupt_bio_byte requires parameters',
      );
    }
    const nth = this.#number(U32_MAX, 'Invalid corrupt bio byte');
    if (nth === 0)
      throw bad('corrupt_bio_byte is 0, must be 1 or more', 'Invalid corrupt bio byte');
    const direction = this.#words.shift();
    if (direction !== 'r' && direction !== 'w') {
      throw bad(
        `direction is "${direction}", must be r or w`,
        'Invalid corrupt bio direction (r or w)',
      );
    }
    const value = this.#number(255, 'Invalid corrupt value to write into bio byte (0-255)');
    const flags = this.#number(U32_MAX, 'Invalid corrupt bio flags mask');
    return { nth, direction, value, flags };
  }

  #number(max: number, kernelMessage: string): number {
    const word = this.#words.shift();
    const value = parseUnsigned(word, max);
    if (value === null) throw bad(`"${word}" is no number of at most ${max}`, kernelMessage);
    return value;
  }
}

function bad(problem: string, kernelMessage: string) {
  return targetError('flakey', problem, kernelMessage);
}

/** As the kernel prints it, with the space at the end. */
export function formatFlakeyArgs(args: FlakeyArgs): string {
  const words: string[] = [];
  if (args.dropWrites) words.push('drop_writes');
  if (args.errorWrites) words.push('error_writes');
  if (args.errorReads) words.push('error_reads');
  const { corrupt } = args;
  if (corrupt !== null) {
    const { nth, direction, value, flags } = corrupt;
    words.push('corrupt_bio_byte', ...[nth, direction, value, flags].map(String));
  }
  if (args.randomReadCorrupt > 0) words.push('random_read_corrupt', `${args.randomReadCorrupt}`);
  if (args.randomWriteCorrupt > 0) words.push('random_write_corrupt', `${args.randomWriteCorrupt}`);
  return `${[args.up, args.down, words.length, ...words].join(' ')} `;
}
