/**
 * The text of a table: lines of `start length type argument…`, as `dmsetup` reads them and the
 * kernel splits them.
 */

import { UserError } from '../base/failure.ts';
import { TABLE_TEXT_MAX } from '../base/limits.ts';
import { quoted } from '../base/printable.ts';
import { parseUnsigned, SECTOR_MAX } from './parse-number.ts';

export interface TableLine {
  readonly start: number;
  readonly length: number;
  readonly type: string;
  readonly args: readonly string[];
}

/**
 * Parses a table of one or more lines. Empty lines and lines that begin with `#` are skipped.
 *
 * @throws UserError naming the line and the word.
 */
export function parseTable(text: string): TableLine[] {
  if (text.length > TABLE_TEXT_MAX) {
    throw tableError(
      `the text has ${text.length} characters, at most ${TABLE_TEXT_MAX} are allowed`,
    );
  }
  const lines: TableLine[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    // Not the trimmed text: an escaped space may end the last word.
    lines.push(parseTableLine(line, index + 1));
  }
  if (lines.length === 0) throw tableError('it has no line, at least one target is required');
  return lines;
}

function parseTableLine(line: string, lineNumber: number): TableLine {
  const words = splitWords(line);
  const [startWord, lengthWord, type, ...args] = words;
  const start = parseUnsigned(startWord, SECTOR_MAX);
  const length = parseUnsigned(lengthWord, SECTOR_MAX);
  const where = `line ${lineNumber}`;
  if (start === null) {
    throw tableError(`${where} starts with ${quoted(startWord)}, must be a start in sectors`);
  }
  if (length === null) {
    throw tableError(`${where} has the length ${quoted(lengthWord)}, must be a number of sectors`);
  }
  if (type === undefined) throw tableError(`${where} has no target type behind start and length`);
  return { start, length, type, args };
}

/** Splits at white space; a backslash takes the next character as it is. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === '\\' && i + 1 < text.length) {
      i += 1;
      word = (word ?? '') + text[i]!;
    } else if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (word !== null) words.push(word);
  return words;
}

/** The inverse of `splitWords` for one word, so that a file name with a space survives a table. */
export function quoteWord(word: string): string {
  return word.replace(/[\s\\]/g, (character) => `\\${character}`);
}

export function formatTableLine(line: TableLine): string {
  return [line.start, line.length, ...[line.type, ...line.args].map(quoteWord)].join(' ');
}

/** The text of a whole table. */
export function textOf(lines: readonly TableLine[]): string {
  return lines.map(formatTableLine).join('\n');
}

function tableError(problem: string): UserError {
  return new UserError('bad-table', `Cannot read the table: ${problem}`, {
    hint: 'A line reads: START LENGTH TYPE ARGUMENT..., for example 0 2097152 linear disk.img 0',
  });
}
