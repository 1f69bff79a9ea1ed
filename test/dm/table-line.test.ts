/** The text of tables. */

import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../src/base/failure.ts';
import { formatTableLine, parseTable, splitWords } from '../../src/dm/table-line.ts';

t.test('parseTable() reads lines, skips empty ones and comments', async (t) => {
  t.same(parseTable('# a table\n\n0 8 linear a 0\n  8 16  zero \n'), [
    { start: 0, length: 8, type: 'linear', args: ['a', '0'] },
    { start: 8, length: 16, type: 'zero', args: [] },
  ]);
});

t.test('splitWords() takes a backslash for the next character', async (t) => {
  t.same(splitWords('a\\ b c\\\\d'), ['a b', 'c\\d']);
});

t.test('formatTableLine() is the inverse of parseTable()', async () => {
  const word = fc.string({ minLength: 1 }).filter((text) => !/[\n\r\0]/.test(text));
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.array(word), (start, length, args) => {
      const line = { start, length, type: 'mirror', args };
      const parsed = parseTable(formatTableLine(line));
      return JSON.stringify(parsed) === JSON.stringify([line]);
    }),
  );
});

const BAD = [
  { text: '', names: 'has no line' },
  { text: '# nothing', names: 'has no line' },
  { text: 'x 8 zero', names: '"x"' },
  { text: '0 -8 zero', names: '"-8"' },
  { text: '0 8', names: 'no target type' },
  { text: `0 ${'9'.repeat(30)} zero`, names: '999' },
  { text: '0 8 zero\n8 eight zero', names: 'line 2' },
  { text: 'z'.repeat(2 * 1024 * 1024), names: 'characters' },
];

for (const { text, names } of BAD) {
  t.test(
    `parseTable() refuses ${JSON.stringify(text.slice(0, 20))} and names ${names}`,
    async (t) => {
      try {
        parseTable(text);
        t.fail('accepted');
      } catch (error) {
        t.ok(error instanceof UserError);
        t.match((error as UserError).message, names);
        t.ok((error as UserError).message.length < 300);
      }
    },
  );
}
