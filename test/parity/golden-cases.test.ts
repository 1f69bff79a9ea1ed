import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { GOLDEN_DIRECTORY, goldenCaseNames } from '../support/golden.ts';
import { formatDifference, runGoldenCase } from '../support/golden-run/run-directory.ts';

for (const name of goldenCaseNames()) {
  t.test(`Golden case ${name}`, async (t) => {
    const { differences } = await runGoldenCase(name);
    const told = differences.map((difference) => formatDifference(name, difference));
    t.equal(told.join('\n'), '', 'the emulator does what the kernel did');
  });
}

/** A recording that is wrong in one place: whoever compares must find it, at this line. */
const FORGERIES: readonly [what: string, name: string, from: string, to: string, line: number][] = [
  ['a letter of health', 'disk-leg-fails', '15/16 1 AD 3', '15/16 1 AA 3', 12],
  ['a count of regions', 'core-held-at-five', '5/16 1 AA', '6/16 1 AA', 10],
  [
    'a table line',
    'core-sync',
    '> 0 16384 mirror core 2 1024 sync',
    '> 0 16384 mirror core 1 1024',
    5,
  ],
  ['an event number', 'core-two-legs', '> m:1', '> m:2', 9],
  ['an exit status', 'fail-all-legs', '? 1', '? 2', 12],
  ['an error of dd', 'fail-all-legs', 'error writing', 'error reading', 12],
  ['a refusal', 'rejected-log', 'Invalid argument', 'No such device', 3],
  ["the kernel's reason", 'rejected-log', 'logging type "none"', 'logging type "any"', 3],
  ["the reason's errno", 'rejected-legs', '(-ENXIO)', '(-ENODEV)', 69],
  ['a byte read back', 'core-held-at-five', 'vdb, sector 10240: 0', 'vdb, sector 10240: C', 16],
  ['a writer that waits', 'disk-dirty-write', 'background still waits', 'background has ended', 13],
  [
    'a writer that has ended',
    'fail-keep-log',
    'background has ended\n',
    'background still waits\n',
    14,
  ],
  [
    'a comment that tells of an action',
    'disk-garbage',
    'filled with bytes',
    'filled with words',
    3,
  ],
  ['an unknown command', 'core-nosync', '$ dmsetup status m', '$ dmsetup wipe_table m', 6],
  ['an unknown option', 'core-nosync', '$ dmsetup status m', '$ dmsetup status --target mirror', 6],
  ['an unlisted target', 'core-properties', '> error            v1.5.0', '> raid v1.5.0', 4],
];

for (const [what, name, from, to, line] of FORGERIES) {
  t.test(`A forged recording is found out: ${what}`, async (t) => {
    const directory = t.testdir({});
    const text = readFileSync(join(GOLDEN_DIRECTORY, `${name}.txt`), 'utf8');
    t.ok(text.includes(from), 'the place to forge is there');
    for (const file of goldenFiles(name)) {
      cpSync(join(GOLDEN_DIRECTORY, file), join(directory, file));
    }
    writeFileSync(join(directory, `${name}.txt`), text.replace(from, to));
    const { differences } = await runGoldenCase(name, directory);
    t.equal(differences[0]?.lineNumber, line, JSON.stringify(differences[0]));
  });
}

t.test('scripts/golden prints what differs, the counts, and fails', async (t) => {
  const directory = t.testdir({});
  const [file = ''] = goldenFiles('disk-nosync').filter((one) => one.endsWith('created.bin'));
  for (const one of goldenFiles('disk-nosync')) {
    cpSync(join(GOLDEN_DIRECTORY, one), join(directory, one));
  }
  const bytes = readFileSync(join(directory, file));
  bytes[1025] = 0x7f;
  writeFileSync(join(directory, file), bytes);
  const script = join(import.meta.dirname, '../../scripts/golden');
  const differs = spawnSync(script, [directory], { encoding: 'utf8' });
  t.equal(differs.status, 1);
  t.match(differs.stdout, /^disk-nosync\.txt:8:$/m);
  t.match(differs.stdout, /^ {2}kernel \| .* from byte 1025: 7f00/m);
  t.match(differs.stdout, /^ {2}ours {3}\| .* from byte 1025: ff00/m);
  t.match(differs.stdout, /^0 cases the same, 1 different$/m);
  t.equal(spawnSync(script, ['--case', 'core-nosync']).status, 0);
  t.equal(spawnSync(script, [join(directory, 'nothing')]).status, 2);
});

function goldenFiles(name: string): string[] {
  const golden = readFileSync(join(GOLDEN_DIRECTORY, `${name}.txt`), 'utf8');
  const kept = [...golden.matchAll(/^@ (\S+): /gm)].map(([, file]) => file!);
  return [`${name}.txt`, ...kept];
}
