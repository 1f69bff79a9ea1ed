/** What `dmsetup` prints on a real kernel, command by command, and what we print for the same. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ControlRig, runCommandLine } from '../../support/control-rig.ts';

const RECORDINGS = new URL('../../golden-dmsetup/', import.meta.url);
/** The recordings' disks, and the kernel's names of them. */
const DISKS = new Map([
  ['memory:vda,size=16M', 'vda'],
  ['memory:vdb,size=16M', 'vdb'],
]);
/** Files of the recordings, and what is in them. */
const FILES = new Map([
  ['/tmp/table', '0 8 zero\n'],
  ['/tmp/concise', 'x5,,,,0 8 zero\n'],
]);
/** What the kernel has no choice in: devices below are printed by number. */
const BY_NUMBER = new Set(['table', 'status', 'measure']);
/** That a device without a table has no node to look at is told by dmsetup alone. */
const NO_NODE = /^\/dev\/mapper\/.*: open failed: .*\n/gm;

interface RecordedCommand {
  readonly words: readonly string[];
  /** The text of its standard input. */
  readonly stdin: string | null;
  readonly output: string;
  readonly status: number;
}

for (const [recording, count] of [
  ['verbs.txt', 190],
  ['more.txt', 100],
  ['reports.txt', 200],
] as const) {
  t.test(`Each command of ${recording} prints the same and ends the same`, async (t) => {
    const rig = await ControlRig.start(t);
    for (const disk of DISKS.keys()) await rig.daemon.devices.notice(disk);
    const file = join(rig.directory, 'table');
    writeFileSync(file, FILES.get('/tmp/table')!);
    const commands = parseRecording(readFileSync(new URL(recording, RECORDINGS), 'utf8'));
    t.ok(commands.length > count, `${commands.length} commands`);
    for (const { words, stdin, output, status } of commands) {
      const ours = words.map((word) => (word === '/tmp/table' ? file : word));
      if (BY_NUMBER.has(ours[0]!)) ours.push('-o', 'devno');
      const environment = { NBD_MIRROR_CONTROL: rig.socket };
      const result = await runCommandLine(ours, environment, stdin === null ? {} : { stdin });
      const shown = JSON.stringify(words);
      t.equal(withoutOurs(result.err) + withNames(result.out), output, `output of ${shown}`);
      t.equal(result.status, status, `status of ${shown}: ${result.err}`);
    }
  });
}

/** Disks as the kernel names them. */
function withNames(text: string): string {
  return [...DISKS].reduce((out, [ours, name]) => out.replaceAll(ours, name), text);
}

/** Errors without the lines that explain them. */
function withoutOurs(errors: string): string {
  return errors.replaceAll(/^(nbd-mirror| {2}hint| {2}the kernel says): .*\n/gm, '');
}

function parseRecording(text: string): RecordedCommand[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const firstLineEnd = part.indexOf('\n') + 1;
      const match = /^((?:.*\n)*)rc=(\d+)\n$/.exec(part.slice(firstLineEnd))!;
      const line = part.slice(0, firstLineEnd - 1);
      return {
        words: parseShellWords(line.replace(/ < \S+$/, '')).slice(1),
        stdin: FILES.get(/ < (\S+)$/.exec(line)?.[1] ?? '') ?? null,
        output: match[1]!.replaceAll(NO_NODE, ''),
        status: Number(match[2]),
      };
    });
}

/** `'word'`, `'a'\\''b'` and `$'word\n'`, as bash quotes. */
function parseShellWords(line: string): string[] {
  return [...line.matchAll(/(\$?)'((?:[^']|'\\'')*)'/g)].map(([, dollar, quoted]) => {
    const word = quoted!.replaceAll("'\\''", "'");
    return dollar === '$' ? word.replaceAll('\\n', '\n').replaceAll('\\t', '\t') : word;
  });
}
