/**
 * What `-S` selects: comparisons of fields, joined by "&&" or ",", by "||" or "#", negated by "!",
 * with parentheses. Evaluated where the command was given, so that no pattern keeps a daemon busy.
 */

import { UserError } from '../../base/failure.ts';
import { CommandError } from '../command-error.ts';
import type { DeviceDescription } from './device-description.ts';
import { DEVICE_FIELDS, type Field } from './device-fields.ts';

export type Selection = (device: DeviceDescription) => boolean;

/** Nobody writes more. */
const SELECTION_LENGTH_MAX = 4096;
const PARENTHESES_DEPTH_MAX = 64;
const OPERATORS = ['=~', '!~', '!=', '>=', '<=', '=', '>', '<'] as const;
type Operator = (typeof OPERATORS)[number];
const ENDS_QUOTE: Readonly<Record<string, string>> = { '"': '"', "'": "'" };
/** A pattern may stand between these, too. */
const ENDS_PATTERN: Readonly<Record<string, string>> = { ...ENDS_QUOTE, '(': ')', '[': ']' };

/** @throws UserError with `dmsetup`'s words for what it does not understand. */
export function parseSelection(text: string): Selection {
  if (text.length > SELECTION_LENGTH_MAX) {
    throw refusal(
      [`Selection syntax error at '${text.slice(0, 40)}...'.`],
      `it has ${text.length} characters, must have at most ${SELECTION_LENGTH_MAX}`,
    );
  }
  return new SelectionParser(text).parse();
}

class SelectionParser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Selection {
    const all = this.#rest().trim();
    if (all === '' || all === 'all') return () => true;
    const selection = this.#either();
    this.#skipBlanks();
    if (this.#at < this.#text.length) throw this.#syntaxError('Expecting logical operator');
    return selection;
  }

  #either(): Selection {
    const parts = [this.#both()];
    while (this.#take('||') || this.#take('#')) parts.push(this.#both());
    return (device) => parts.some((part) => part(device));
  }

  #both(): Selection {
    const parts = [this.#one()];
    while (this.#take('&&') || this.#take(',')) parts.push(this.#one());
    return (device) => parts.every((part) => part(device));
  }

  #one(): Selection {
    if (this.#take('!')) {
      if (!this.#take('(')) throw this.#misplaced('left');
      const inner = this.#inParentheses();
      return (device) => !inner(device);
    }
    if (this.#take('(')) return this.#inParentheses();
    return this.#comparison();
  }

  #inParentheses(): Selection {
    this.#depth += 1;
    if (this.#depth > PARENTHESES_DEPTH_MAX) throw this.#misplaced('right');
    const inner = this.#either();
    if (!this.#take(')')) throw this.#misplaced('right');
    this.#depth -= 1;
    return inner;
  }

  #comparison(): Selection {
    this.#skipBlanks();
    const start = this.#at;
    const name = /^\w+/.exec(this.#rest())?.[0];
    if (name === undefined) throw this.#syntaxError('Expecting field name');
    this.#at += name.length;
    const wanted = name.toLowerCase();
    const field = DEVICE_FIELDS.flatMap(({ fields }) => fields).find((one) => one.name === wanted);
    if (field === undefined) {
      throw this.#syntaxError(`Unrecognised selection field: ${name}`, start);
    }
    this.#skipBlanks();
    const operator = OPERATORS.find((one) => this.#rest().startsWith(one));
    if (operator === undefined) {
      throw this.#syntaxError(`Unrecognised comparison operator: ${this.#rest()}`, start);
    }
    this.#at += operator.length;
    if (operator === '=~' || operator === '!~') return this.#match(field, operator, start);
    return field.kind === 'number'
      ? this.#compareNumbers(field, operator, start)
      : this.#compareTexts(field, operator, start);
  }

  #match(field: Field, operator: Operator, start: number): Selection {
    const pattern = this.#value(ENDS_PATTERN, 'regex', field, start);
    if (field.kind === 'number') {
      const line = `dm_report: incompatible comparison type for selection field ${field.name}`;
      throw refusal([line], `field "${field.name}" is a number, which no pattern matches`);
    }
    let expression: RegExp;
    try {
      expression = new RegExp(pattern);
    } catch {
      throw this.#syntaxError(
        `Failed to parse regex value for selection field ${field.name}.`,
        start,
      );
    }
    return (device) => expression.test(field.value(device)) === (operator === '=~');
  }

  #compareTexts(field: Field, operator: Operator, start: number): Selection {
    if (operator !== '=' && operator !== '!=') {
      throw this.#syntaxError(
        'Operator can be used only with number, size, time or percent fields: ' +
          this.#text.slice(start),
        start,
      );
    }
    const value = this.#value(ENDS_QUOTE, 'string', field, start);
    return (device) => (field.value(device) === value) === (operator === '=');
  }

  #compareNumbers(field: Field, operator: Operator, start: number): Selection {
    const word = this.#value({}, 'numeric', field, start);
    // A fraction is accepted, and cut off.
    if (!/^[0-9]+(\.[0-9]*)?$/.test(word)) {
      throw this.#syntaxError(
        `Failed to parse numeric value for selection field ${field.name}.`,
        start,
      );
    }
    const value = Math.trunc(Number(word));
    if (value >= 2 ** 64) {
      const line = `Field selection value ${word} out of supported range for field ${field.name}.`;
      throw refusal([line], `${word} is too large`);
    }
    return (device) => isTrue(Number(field.value(device)), operator, value);
  }

  /** A word, or what stands between two signs of which one opens and one closes. */
  #value(ends: Readonly<Record<string, string>>, kind: string, field: Field, from: number): string {
    this.#skipBlanks();
    const end = ends[this.#text[this.#at] ?? ''];
    if (end === undefined) {
      const word = /^(?:(?!&&|\|\|)[^\s,#()])*/.exec(this.#rest())![0];
      this.#at += word.length;
      return word;
    }
    const start = this.#at + 1;
    const close = this.#text.indexOf(end, start);
    if (close === -1) {
      throw this.#syntaxError(
        `Missing end quote.\nFailed to parse ${kind} value for selection field ${field.name}.`,
        from,
      );
    }
    this.#at = close + 1;
    return this.#text.slice(start, close);
  }

  #rest(): string {
    return this.#text.slice(this.#at);
  }

  #skipBlanks(): void {
    while (/^\s/.test(this.#text[this.#at] ?? '')) this.#at += 1;
  }

  #take(word: string): boolean {
    this.#skipBlanks();
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #misplaced(side: 'left' | 'right'): UserError {
    const line = `Syntax error: ${side} parenthesis expected at '${this.#rest()}'`;
    return refusal(
      [line],
      `a ${side} parenthesis is missing, or more than ${PARENTHESES_DEPTH_MAX} are open`,
    );
  }

  #syntaxError(problem: string, at = this.#at): UserError {
    return refusal(
      [
        ...problem.split('\n'),
        `Selection syntax error at '${this.#text.slice(at)}'.`,
        "Use 'help' for selection to get more help.",
      ],
      problem.split('\n')[0]!,
    );
  }
}

function isTrue(one: number, operator: Operator, other: number): boolean {
  switch (operator) {
    case '=':
      return one === other;
    case '!=':
      return one !== other;
    case '>':
      return one > other;
    case '>=':
      return one >= other;
    case '<':
      return one < other;
    default:
      return one <= other;
  }
}

function refusal(lines: readonly string[], problem: string): UserError {
  const known = DEVICE_FIELDS.flatMap(({ fields }) => fields.map(({ name }) => name)).join(', ');
  const error = new UserError('bad-selection', `Cannot select devices: ${problem}`, {
    hint: `For example: -S 'name=~^vg && open>0'. Fields: ${known}`,
  });
  return new CommandError(error, lines.join('\n'), { isTerse: true });
}
