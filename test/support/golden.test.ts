import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  formatGoldenCase,
  goldenBytes,
  goldenCaseNames,
  goldenText,
  loadGoldenCase,
  parseGoldenCase,
} from './golden.ts';

const names = goldenCaseNames();

t.test('Golden cases: each is read and written back as it is', async (t) => {
  t.ok(names.length > 60, `${names.length} cases`);
  for (const name of names) {
    t.equal(formatGoldenCase(loadGoldenCase(name)), goldenText(name), name);
  }
});

t.test('Golden cases: each has its script, its disks and the bytes it speaks of', async (t) => {
  for (const name of names) {
    const { steps } = loadGoldenCase(name);
    t.equal(steps[0]?.kind, 'disks', `${name} begins with its disks`);
    t.ok(existsSync(join(import.meta.dirname, `../golden/cases/${name}.sh`)), `${name}.sh`);
    const boots = steps.filter((step) => step.kind === 'disks').length;
    const cuts = steps.filter((step) => step.kind === 'power-cut').length;
    t.equal(boots, cuts + 1, `${name} boots again after each power cut`);
    for (const step of steps) {
      if (step.kind === 'kept') t.equal(goldenBytes(step.file).length, step.byteCount, step.file);
    }
  }
});

t.test('Golden cases: every step is understood', async (t) => {
  const comments = new Set<string>();
  for (const name of names) {
    for (const step of loadGoldenCase(name).steps) {
      if (step.kind !== 'comment') continue;
      comments.add(step.text);
      t.same(step.output, [], `${name}:${step.lineNumber}: output belongs to something done`);
      t.notMatch(step.text, /^wait|, sector |the command in the background/, step.text);
    }
  }
  t.ok(comments.size > 30, 'there are comments left that are only for people');
});

t.test('Golden cases: a command is split as a shell does', async (t) => {
  const { steps } = loadGoldenCase('disk-extend');
  const table = steps.find((step) => step.kind === 'command' && step.line.includes('\n'));
  t.match(table, {
    words: [
      'dmsetup',
      'create',
      'leg1h',
      '--table',
      '0 16384 linear 254:16 0\n16384 49152 linear 253:1 0',
    ],
    background: false,
  });
  const background = loadGoldenCase('disk-dirty-write').steps.find(
    (step) => step.kind === 'command' && step.background,
  );
  t.match(background, { words: ['dd', 'if=/dev/zero', 'of=/dev/mapper/m'], status: 0 });
});

t.test('Golden cases: what does not have the form is refused with its line', async (t) => {
  const refused = [
    ['# y: title\n', /^x:1: title/],
    ['# x: title', /last line does not end/],
    ['# x: title\n> output\n', /^x:2: ">" stands before anything/],
    ['# x: title\n$ true\n? 1\n> late\n', /^x:4: ">" stands too late/],
    ['# x: title\n$ true\n? 0\n', /^x:3: status is "0"/],
    ['# x: title\n$ true\n> a\n+ b\n', /^x:4: "\+" does not follow/],
    ['# x: title\n$true\n', /^x:2: /],
    ['# x: title\n% what\n', /^x:2: /],
    ["# x: title\n$ dd 'open\n", /cannot split/],
    ['# x: title\n@ file: all of it\n', /kept bytes/],
  ] as const;
  for (const [text, message] of refused) t.throws(() => parseGoldenCase('x', text), message);
});
