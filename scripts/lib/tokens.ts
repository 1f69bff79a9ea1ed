/**
 * A small tokenizer for TypeScript, enough to judge a file's style and imports.
 *
 * TypeScript 7 has no compiler API, and the scripts must not need one. It knows comments, strings,
 * templates with nested code, and regular expressions (told from a division by what stands before
 * them); everything else is a word or a single mark. It never fails: what it cannot tell is a mark.
 */

export type TokenKind = 'word' | 'mark' | 'string' | 'template' | 'regexp' | 'comment';

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** 1 is the first line. */
  readonly line: number;
  readonly offset: number;
}

/** Words behind which a slash begins a regular expression. */
const BEFORE_REGEXP = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'else',
  'do',
  'void',
  'throw',
]);

const SPACE = /\s+/y;
const TEMPLATE_TEXT = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y;
const LEXEMES: readonly (readonly [TokenKind, RegExp])[] = [
  ['comment', /\/\/[^\n]*|\/\*[\s\S]*?\*\//y],
  ['string', /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y],
  ['regexp', /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y],
  ['word', /[#\p{L}\p{N}_$]+/uy],
];

export function tokenize(source: string): Token[] {
  return new Tokenizer(source).run();
}

class Tokenizer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  /** For each open template, how many braces are open inside its `${`. */
  readonly #templateBraces: number[] = [];
  #offset = 0;
  #line = 1;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    if (this.#source.startsWith('#!')) this.#take(this.#source.indexOf('\n'), 'comment');
    while (this.#offset < this.#source.length) this.#next();
    return this.#tokens;
  }

  #next(): void {
    const space = this.#match(SPACE);
    if (space > 0) {
      this.#skip(space);
      return;
    }
    for (const [kind, pattern] of LEXEMES) {
      const length = kind === 'regexp' && !this.#mayBeRegexp() ? 0 : this.#match(pattern);
      if (length === 0) continue;
      this.#take(length, kind);
      return;
    }
    this.#mark();
  }

  #mark(): void {
    const mark = this.#source[this.#offset];
    const depth = this.#templateBraces.length - 1;
    if (mark === '`') {
      this.#template();
    } else if (mark === '}' && this.#templateBraces[depth] === 0) {
      this.#templateBraces.pop();
      this.#template();
    } else {
      if (depth >= 0 && mark === '{') this.#templateBraces[depth]! += 1;
      if (depth >= 0 && mark === '}') this.#templateBraces[depth]! -= 1;
      this.#take(1, 'mark');
    }
  }

  /** A template's text, from its backquote or closing brace to the next `${` or its end. */
  #template(): void {
    TEMPLATE_TEXT.lastIndex = this.#offset + 1;
    const length = 1 + (TEMPLATE_TEXT.exec(this.#source)?.[0].length ?? 0);
    const nested = this.#source.startsWith('${', this.#offset + length);
    this.#take(Math.min(length + (nested ? 2 : 1), this.#source.length - this.#offset), 'template');
    if (nested) this.#templateBraces.push(0);
  }

  #mayBeRegexp(): boolean {
    if (this.#source[this.#offset] !== '/') return false;
    const before = this.#tokens.findLast((token) => token.kind !== 'comment');
    if (before === undefined) return true;
    if (before.kind === 'word') return BEFORE_REGEXP.has(before.text);
    return before.kind === 'mark' && !/[)\]}]/.test(before.text);
  }

  #match(pattern: RegExp): number {
    pattern.lastIndex = this.#offset;
    return pattern.exec(this.#source)?.[0].length ?? 0;
  }

  #take(length: number, kind: TokenKind): void {
    const text = this.#source.slice(this.#offset, this.#offset + length);
    this.#tokens.push({ kind, text, line: this.#line, offset: this.#offset });
    this.#skip(length);
  }

  #skip(length: number): void {
    for (let at = this.#offset; at < this.#offset + length; at++) {
      if (this.#source[at] === '\n') this.#line += 1;
    }
    this.#offset += length;
  }
}
