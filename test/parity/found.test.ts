/**
 * Programs on which the emulator and a real kernel once differed, or which show a departure: the
 * emulator does what the kernel was recorded to do. `scripts/parity --replay FILE --keep DIR`
 * records one again.
 */

import { basename } from 'node:path';
import t from 'tap';
import { compileProgram } from '../support/parity/commands.ts';
import { runInEmulator } from '../support/parity/emulator-side.ts';
import { FOUND_DIRECTORY, keptPrograms, readKeptProgram } from '../support/parity/kept-program.ts';
import { describeProgram } from '../support/parity/program.ts';
import { compareTranscripts, describeDifference } from '../support/parity/transcript.ts';

/** Where the kernel is not followed, and by which name. */
const DEPARTURES: Readonly<Record<string, readonly string[]>> = {
  'retry-of-another-region': ['retry-region'],
};

for (const path of keptPrograms(FOUND_DIRECTORY)) {
  const { about, program, kernel } = readKeptProgram(path);
  t.test(`As the kernel did: ${about} (${basename(path)})`, async (t) => {
    t.ok(kernel.length > 0, 'the file has what the kernel did');
    const ours = await runInEmulator(compileProgram(program));
    const { difference, departures } = compareTranscripts(program, kernel, ours);
    if (difference !== null)
      t.fail(`${describeProgram(program)}\n${describeDifference(difference)}`);
    t.same([...departures], DEPARTURES[program.name] ?? []);
  });
}
