import t from 'tap';
import { formatProblem, parseSourceFile } from '../../scripts/lib/source-tree.ts';
import { checkTidiness } from '../../scripts/lib/tidiness.ts';
import type { Exception } from '../../scripts/lib/tidy-rules.ts';

const DOC = '/** A file. */\n';

/** What tidy says of one file of src, apart from that nobody imports it. */
function judge(text: string, path = 'src/dm/planted.ts'): string[] {
  return judgeTree({ [path]: text }).filter((problem) => !problem.includes('[orphan]'));
}

function judgeTree(tree: Record<string, string>, exceptions: Exception[] = []): string[] {
  const files = Object.entries(tree).map(([path, text]) => parseSourceFile(path, text));
  return checkTidiness(files, exceptions).map(formatProblem);
}

t.test('tidy names the replacement of each banned call', async (t) => {
  const cases: [code: string, said: RegExp][] = [
    ['const now = Date.now();', /Date.now: use clock.now\(\)/],
    ['const x = Math.random();', /Math.random: use a Prng/],
    ['setTimeout(f, 1);', /setTimeout: use clock.after\(\)/],
    ['const timer = setInterval(f, 1);', /setInterval: use clock.after\(\)/],
    ['setImmediate(f);', /setImmediate: use clock.defer\(\)/],
    ['queueMicrotask(f);', /queueMicrotask: use clock.defer\(\)/],
    ['process.nextTick(f);', /process.nextTick: use clock.defer\(\)/],
    ['process.exit(1);', /process.exit: use a return value/],
    ['console.log(1);', /console: use the injected Logger/],
    ["import { readSync } from 'node:fs';", /module node:fs: use a BlockDevice/],
    ["import { connect } from 'node:net';", /module node:net: use nbd\/server\/server.ts/],
    ["import koffi from 'koffi';", /module koffi: use the wrapper in block/],
  ];
  for (const [code, said] of cases) {
    const problems = judge(`${DOC}\n${code}\n`);
    t.equal(problems.length, 1, code);
    t.match(problems[0], said);
    t.match(problems[0], /^src\/dm\/planted.ts:3: .* \[banned\]$/);
  }
});

t.test('tidy lets a banned call stand where it is the job', async (t) => {
  t.strictSame(
    judge(`${DOC}export const now = () => Date.now();`, 'src/daemon/system-clock.ts'),
    [],
  );
  t.strictSame(judge(`${DOC}import { connect } from 'node:net';`, 'src/nbd/server.ts'), []);
  t.strictSame(judge(`${DOC}setTimeout(f, 1);`, 'test/support/wait.ts'), []);
});

t.test('tidy does not mistake words for calls', async (t) => {
  const innocent = [
    '// Date.now() is not for us',
    "const text = 'Math.random';",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: source text under test
    'const text = `setTimeout ${clock.after}`;',
    'socket.setTimeout(0);',
    'interface Host { setTimeout: number }',
  ];
  for (const code of innocent) t.strictSame(judge(`${DOC}${code}\n`), [], code);
});

t.test('tidy measures lines, files and functions', async (t) => {
  t.match(judge(`${DOC}const x = '${'y'.repeat(100)}';`), [/:2: 113 columns.*\[line-length\]/]);
  t.match(judge(DOC + '\n'.repeat(500)), [/501 lines, must be about 400 at most.*\[file-length\]/]);
  const long = `function long() {\n${'  f();\n'.repeat(80)}}\n`;
  t.match(judge(DOC + long), [/:2: function long has 82 lines, .*\[function-length\]/]);
});

t.test('tidy wants a doc comment first, named exports, no notes to oneself', async (t) => {
  t.match(judge('export const x = 1;'), [/\[opening\]/]);
  t.match(judge(`${DOC}export default 1;`), [/default export.*\[exports\]/]);
  t.match(judge(`${DOC}export * from './x.ts';`), [/barrel.*\[exports\]/]);
  // Split, so that this file itself is tidy.
  t.match(judge(`${DOC}// ${'FIX'}${'ME'}: later\n`), [/\[notes\]/]);
  t.match(judge(DOC, 'src/dm/MappedDevice.ts'), [/kebab-case.*\[file-name\]/]);
});

t.test('tidy finds files that nobody needs', async (t) => {
  const tree = {
    'src/cli/main.ts': `${DOC}import '../base/used.ts';`,
    'src/base/used.ts': DOC,
    'src/base/dead.ts': DOC,
    'src/base/tested.ts': DOC,
    'test/base/tested.test.ts': "import '../../src/base/tested.ts';",
    'test/support/helper.ts': DOC,
  };
  t.strictSame(judgeTree(tree), [
    'src/base/dead.ts: no file imports it [orphan]',
    'src/base/tested.ts: only tests import it [orphan]',
    'test/support/helper.ts: no file imports it [orphan]',
  ]);
});

t.test('an exception covers one rule in one file, and must be needed', async (t) => {
  const exception = (path: string): Exception => ({ path, rule: 'orphan', reason: 'a test' });
  const tree = { 'src/base/dead.ts': `${DOC}export default 1;` };
  t.match(judgeTree(tree, [exception('src/base/dead.ts')]), [/\[exports\]/]);
  t.match(judgeTree(tree, [exception('src/base/dead.ts'), exception('src/base/gone.ts')]), [
    /\[exports\]/,
    /src\/base\/gone.ts: has a needless exception from "orphan".*\[exceptions\]/,
  ]);
});
