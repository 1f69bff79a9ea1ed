import t from 'tap';
import { TapReport } from '../../scripts/lib/tap-report.ts';

function read(tap: string) {
  const printed: string[] = [];
  const report = new TapReport((line) => printed.push(line));
  for (const line of tap.split('\n')) report.line(line);
  return { ...report.end(), printed };
}

const GOOD = `TAP version 14
1..2
# Subtest: test/a.test.ts
    # Subtest: one
        ok 1 - should be equal
        ok 2 - should match
        1..2
    ok 1 - one # time=5.707ms
    # Subtest: two
        ok 1 - something is missing # SKIP nbdinfo is not installed
        1..1
    ok 2 - two # time=1ms
    ok 3 - bare
    1..3
ok 1 - test/a.test.ts # time=45.903ms

# Subtest: test/b.test.ts
    ok 1 - three # SKIP not today
    1..1
ok 2 - test/b.test.ts # time=1000ms
`;

t.test('TapReport counts named tests, and those in which all was skipped as skipped', async (t) => {
  const { printed, ...counts } = read(GOOD);
  t.strictSame(counts, { passed: 2, failed: 0, skipped: 2 });
  t.strictSame(printed, [
    '        ok 1 - something is missing # SKIP nbdinfo is not installed',
    'ok     test/a.test.ts (2 passed, 0.0 s)',
    '    ok 1 - three # SKIP not today',
    'ok     test/b.test.ts (0 passed, 1.0 s)',
  ]);
});

t.test('TapReport shows a failure with its diagnostics, and is not misled by them', async (t) => {
  const { printed, ...counts } = read(`1..1
# Subtest: test/a.test.ts
    # Subtest: bad
        not ok 1 - should be equal
          ---
          diff: |
    ok 1 - not a point
    not ok 2 - nor this
          ...
        1..1
    not ok 1 - bad # time=5ms
    1..1
not ok 1 - test/a.test.ts # time=6ms
`);
  t.strictSame(counts, { passed: 0, failed: 1, skipped: 0 });
  t.ok(printed.includes('          diff: |'));
  t.equal(printed.at(-1), 'FAILED test/a.test.ts (0 passed, 0.0 s)');
});

t.test('TapReport counts a file that crashed after its tests as a failure', async (t) => {
  const { printed, ...counts } = read(GOOD.replace('ok 2 - test/b', 'not ok 2 - test/b'));
  t.strictSame(counts, { passed: 2, failed: 1, skipped: 2 });
});

t.test('TapReport counts a run that ends early as a failure', async (t) => {
  const { printed, ...counts } = read(GOOD.slice(0, GOOD.indexOf('# Subtest: test/b')));
  t.strictSame(counts, { passed: 2, failed: 1, skipped: 1 });
  t.equal(printed.at(-1), 'FAILED the test run ended after 1 of 2 files');
  t.equal(read('').failed, 1);
});
