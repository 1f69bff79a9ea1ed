/**
 * Finds the functions of a file and how long they are, roughly: a block is a function's body if
 * what stands before its brace, back to the end of the previous statement, reads like a function's
 * head.
 */

import type { Token } from './tokens.ts';

export interface FunctionExtent {
  readonly name: string;
  readonly line: number;
  /** From the head's first line to the closing brace. */
  readonly lines: number;
}

interface OpenBlock {
  /** null for a block that is no function's body. */
  readonly name: string | null;
  readonly line: number;
}

/** Heads that end with `)` and a brace, too, and are no functions. */
const STATEMENTS = new Set(['if', 'for', 'while', 'switch', 'catch', 'with']);
const NAMELESS = 'without a name';

export function findFunctions(tokens: readonly Token[]): FunctionExtent[] {
  const code = tokens.filter((token) => token.kind !== 'comment');
  const found: FunctionExtent[] = [];
  const open: OpenBlock[] = [];
  for (const [index, token] of code.entries()) {
    if (token.kind !== 'mark') continue;
    if (token.text === '{') open.push(readHead(code, index));
    if (token.text !== '}') continue;
    const block = open.pop();
    if (block === undefined || block.name === null) continue;
    found.push({ name: block.name, line: block.line, lines: token.line - block.line + 1 });
  }
  return found;
}

/** What the brace at `brace` opens, judged by the marks and words before it. */
function readHead(code: readonly Token[], brace: number): OpenBlock {
  const line = code[brace]!.line;
  const before = code[brace - 1];
  if (before === undefined) return { name: null, line };
  // An arrow function: `=> {`, which the tokenizer gives as two marks.
  if (before.text === '>' && code[brace - 2]?.text === '=') {
    return { name: arrowName(code, brace - 2), line };
  }
  const parameters = findParameters(code, brace);
  if (parameters === null) return { name: null, line };
  const name = code[parameters - 1];
  if (name === undefined || name.kind !== 'word' || STATEMENTS.has(name.text)) {
    return { name: null, line };
  }
  return { name: name.text === 'function' ? NAMELESS : name.text, line: name.line };
}

/**
 * The index of the parenthesis that opens the parameters of the head before `brace`, skipping a
 * return type (`): Promise<void> {`); null if there is none.
 */
function findParameters(code: readonly Token[], brace: number): number | null {
  let depth = 0;
  for (let index = brace - 1; index >= 0; index--) {
    const text = code[index]!.text;
    if (text === ')') depth += 1;
    if (text === '(') {
      depth -= 1;
      if (depth === 0) return genericStart(code, index);
    }
    if (depth > 0) continue;
    if (text === ';' || text === '{' || text === '}' || text === '=') return null;
  }
  return null;
}

/** Steps over type parameters: for `name<T extends X>(` the index of the `<`, else `index`. */
function genericStart(code: readonly Token[], index: number): number {
  if (code[index - 1]?.text !== '>') return index;
  let depth = 0;
  for (let at = index - 1; at >= 0; at--) {
    if (code[at]!.text === '>') depth += 1;
    if (code[at]!.text === '<') depth -= 1;
    if (depth === 0) return at;
  }
  return index;
}

/**
 * The name in `const name = (…) => {`, in `name: (…) => {`, or the text of a test: `test('name',
 * …`.
 */
function arrowName(code: readonly Token[], arrow: number): string {
  for (let index = arrow - 1; index > 0 && index > arrow - 40; index--) {
    const token = code[index]!;
    if (token.text === ';' || token.text === '{') return NAMELESS;
    if (token.kind === 'string') return token.text;
    if (token.text === '=' && code[index + 1]?.text !== '>' && code[index - 1]?.kind === 'word') {
      return code[index - 1]!.text;
    }
  }
  return NAMELESS;
}
