/**
 * Programs on which the kernel and the emulator differ by timing alone: a timing is found with
 * which the emulator does what the kernel was recorded to do. Nothing else is explained by timing.
 */

import { basename, join } from 'node:path';
import t from 'tap';
import { compileProgram } from '../support/parity/commands.ts';
import { runInEmulator } from '../support/parity/emulator-side.ts';
import { findTiming } from '../support/parity/find-timing.ts';
import { keptPrograms, readKeptProgram } from '../support/parity/kept-program.ts';
import { compareHung, compareTranscripts, type Departure } from '../support/parity/transcript.ts';

/** What of docs/quirks.md each of them shows. */
const DEPARTURES: Readonly<Record<string, readonly Departure[]>> = {
  'copy-blamed-on-another': ['copy-blame'],
  'held-went-round-again': ['round-again'],
  'recovery-never-ends': ['endless-recovery'],
};
const HUNG: readonly string[] = ['recovery-never-ends'];

for (const path of keptPrograms(join(import.meta.dirname, 'races'))) {
  const { about, program, kernel } = readKeptProgram(path);
  const compare = HUNG.includes(program.name) ? compareHung : compareTranscripts;
  t.test(`With some timing as the kernel did: ${about} (${basename(path)})`, async (t) => {
    const found = await findTiming({
      program,
      compare: (ours) => compare(program, kernel, ours),
    });
    t.ok(found !== null, 'a timing was found');
    for (const departure of DEPARTURES[program.name] ?? []) {
      t.ok(found?.departures.has(departure), departure);
    }
  });
}

t.test('No timing explains what cannot be', async (t) => {
  const { program, kernel } = readKeptProgram(
    join(import.meta.dirname, 'races/pieces-in-two-turns.json'),
  );
  const forgeries: readonly ((line: string) => string)[] = [
    (line) => line.replace(/^e \d+ live$/, 'e 77 live'),
    (line) => line.replace(/^c L0 .*$/, 'c L0 376:1000000'),
    (line) => line.replace(/^(s .*) A+ /, '$1 ARRR '),
  ];
  for (const forge of forgeries) {
    const forged = kernel.map(forge);
    t.notSame(forged, kernel, 'a line was forged');
    const found = await findTiming({
      program,
      compare: (ours) => compareTranscripts(program, forged, ours),
      attempts: 20,
    });
    t.equal(found, null);
  }
});

t.test('The plain timing is always the same', async (t) => {
  const { program } = readKeptProgram(
    join(import.meta.dirname, 'races/held-went-round-again.json'),
  );
  const commands = compileProgram(program);
  t.same(await runInEmulator(commands), await runInEmulator(commands));
});
