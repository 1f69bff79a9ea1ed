/** Plays the kernel's recordings on the emulator and prints every difference. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { GOLDEN_DIRECTORY } from '../test/support/golden.ts';
import { runGoldenDirectory } from '../test/support/golden-run/run-directory.ts';

const USAGE = `usage: scripts/golden [--case NAME]... [DIRECTORY]

Runs every case of the directory (test/golden), or those named, and compares what the emulator
does with what the kernel did: docs/parity.md says how. Exit status: 0 all the same, 1 a
difference, 2 wrong use.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      case: { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [directory = GOLDEN_DIRECTORY, ...surplus] = positionals;
  if (surplus.length > 0) throw new TypeError(`"${surplus[0]}" is one directory too many`);
  if (!existsSync(directory)) throw new TypeError(`there is no directory "${directory}"`);
  for (const name of values.case) {
    if (existsSync(join(directory, `${name}.txt`))) continue;
    throw new TypeError(`there is no case "${name}" in ${directory}`);
  }
  const { same, different } = await runGoldenDirectory(directory, values.case, (line) =>
    console.log(line),
  );
  if (same + different === 0) throw new TypeError(`no case in ${directory}`);
  return different === 0 ? 0 : 1;
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    console.error(`golden: ${error instanceof Error ? error.message : String(error)}`);
    console.error(USAGE);
    process.exitCode = 2;
  },
);
