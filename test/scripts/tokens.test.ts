import t from 'tap';
import { findFunctions } from '../../scripts/lib/functions.ts';
import { parseSourceFile } from '../../scripts/lib/source-tree.ts';
import { tokenize } from '../../scripts/lib/tokens.ts';

function kinds(source: string): string[] {
  return tokenize(source).map((token) => `${token.kind} ${token.text}`);
}

t.test('tokenize() tells code from what only looks like code', async (t) => {
  t.strictSame(kinds(`a = 'it\\'s // no' // yes`), [
    'word a',
    'mark =',
    `string 'it\\'s // no'`,
    'comment // yes',
  ]);
  t.strictSame(kinds('x = a / b / c'), [
    'word x',
    'mark =',
    'word a',
    'mark /',
    'word b',
    'mark /',
    'word c',
  ]);
  t.strictSame(kinds(`return /[/'"]\\//g.test(s)`).slice(0, 3), [
    'word return',
    `regexp /[/'"]\\//g`,
    'mark .',
  ]);
});

t.test('tokenize() follows code nested in templates', async (t) => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: source text under test
  const source = 'a(`x ${ f({ y: `z${1}` }) } w`, b)';
  t.strictSame(
    tokenize(source)
      .filter((token) => token.kind === 'template')
      .map((token) => token.text),
    ['`x ${', '`z${', '}`', '} w`'],
  );
  t.equal(tokenize(source).at(-2)?.text, 'b');
});

t.test('tokenize() gives every token its place, and loses nothing but space', async (t) => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: source text under test
  const source = '#!/usr/bin/env node\n/* a\n b */ const x = `\n${y}\n`;\nlet z = "q";\n';
  const tokens = tokenize(source);
  for (const token of tokens) {
    t.equal(source.slice(token.offset, token.offset + token.text.length), token.text);
    t.equal(source.slice(0, token.offset).split('\n').length, token.line, token.text);
  }
  const dense = tokens.map((token) => token.text).join('');
  t.equal(dense.replace(/\s/g, ''), source.replace(/\s/g, ''));
});

t.test('parseSourceFile() finds every form of import, and nothing in comments', async (t) => {
  const { imports } = parseSourceFile(
    'src/dm/table.ts',
    `import { a } from '../base/a.ts';
import type { B } from './b.ts';
import './c.ts';
export { d } from './targets/d.ts';
// import { no } from './no.ts';
const e = await import('../../e.ts');
type F = import('node:fs').Stats;
const text = "import { g } from './g.ts'"; const list = Array.from('abc');`,
  );
  t.strictSame(
    imports.map(({ path, specifier, line }) => `${line} ${path ?? specifier}`),
    [
      '1 src/base/a.ts',
      '2 src/dm/b.ts',
      '3 src/dm/c.ts',
      '4 src/dm/targets/d.ts',
      '6 e.ts',
      '7 node:fs',
    ],
  );
});

t.test(
  'findFunctions() measures functions, methods and callbacks, and no other blocks',
  async (t) => {
    const source = `export async function one(a: { b: number }): Promise<void> {
  if (a) {
    for (;;) {}
  }
}
class C<T> extends D {
  #two<U extends T>(x: U): Map<string, U> {
    return new Map([[{ y: 1 }.y, x]]);
  }
  get three() {
    switch (this.z) {
      default: { break; }
    }
  }
}
const four = (x: number): number => {
  return x;
};
t.test('five is a story', async (t) => {
  const plain = { x: 1 };
});
interface I { six(): void }
try { seven(); } catch (error) {
}`;
    const found = findFunctions(tokenize(source)).map((f) => `${f.name} ${f.line} ${f.lines}`);
    t.strictSame(found, [
      'one 1 5',
      '#two 7 3',
      'three 10 5',
      'four 16 3',
      "'five is a story' 19 3",
    ]);
  },
);
