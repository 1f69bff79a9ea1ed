/** What `dmsetup` prints on a real kernel, command by command, and what we print for the same. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ControlRig, runCommandLine } from '../support/control-rig.ts';

const RECORDING = new URL('../golden-dmsetup/verbs.txt', import.meta.url);
/** The recording's disks. */
const DISKS = ['memory:vda,size=16M', 'memory:vdb,size=16M'];
const TABLE_FILE = '/tmp/table';

interface RecordedCommand {
  readonly words: readonly string[];
  readonly stdin: boolean;
  readonly output: string;
  readonly status: number;
}

t.test('Each command of the recording prints the same and ends with the same status', async (t) => {
  const rig = await ControlRig.start(t);
  for (const disk of DISKS) await rig.daemon.devices.notice(disk);
  const file = join(rig.directory, 'table');
  writeFileSync(file, '0 8 zero\n');
  const commands = parseRecording(readFileSync(RECORDING, 'utf8'));
  t.ok(commands.length > 190, `${commands.length} commands`);
  for (const { words, stdin, output, status } of commands) {
    const ours = words.map((word) => (word === TABLE_FILE ? file : word));
    // What the kernel has no choice in: devices below are printed by number.
    if (ours[0] === 'table' || ours[0] === 'status') ours.push('-o', 'devno');
    const environment = { NBD_MIRROR_CONTROL: rig.socket };
    const result = await runCommandLine(ours, environment, stdin ? { stdin: '0 8 zero\n' } : {});
    const shown = JSON.stringify(words);
    t.equal(withoutOurs(result.err) + result.out, output, `output of ${shown}`);
    t.equal(result.status, status, `status of ${shown}: ${result.err}`);
  }
});

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
        stdin: line.endsWith(` < ${TABLE_FILE}`),
        // Of a device without a table there is no node to look at; that is told by dmsetup alone.
        output: match[1]!.replaceAll(/^\/dev\/mapper\/.*: open failed: .*\n/gm, ''),
        status: Number(match[2]),
      };
    });
}

/** `'word'` and `$'word\n'`, as bash quotes. */
function parseShellWords(line: string): string[] {
  return [...line.matchAll(/(\$?)'([^']*)'/g)].map(([, dollar, word]) =>
    dollar === '$' ? word!.replaceAll('\\n', '\n').replaceAll('\\t', '\t') : word!,
  );
}
