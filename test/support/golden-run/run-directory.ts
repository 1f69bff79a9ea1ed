/** All cases of a directory: which are run, with what result, and how that is told. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GOLDEN_DIRECTORY, goldenBytes, goldenCaseNames, loadGoldenCase } from '../golden.ts';
import { type CaseResult, type Difference, runCase } from './run-case.ts';
import { type SilentActions, silentActions } from './silent-actions.ts';

export async function runGoldenCase(
  name: string,
  directory: string = GOLDEN_DIRECTORY,
): Promise<CaseResult> {
  const golden = loadGoldenCase(name, directory);
  const script = scriptOf(name, directory);
  const silent: SilentActions = script === null ? new Map() : silentActions(script, golden.steps);
  return runCase({ golden, silent, bytesOf: (file) => goldenBytes(file, directory) });
}

/** Beside the transcripts, or else among ours. */
function scriptOf(name: string, directory: string): string | null {
  for (const place of [directory, GOLDEN_DIRECTORY]) {
    const path = join(place, 'cases', `${name}.sh`);
    if (existsSync(path)) return readFileSync(path, 'utf8');
  }
  return null;
}

export interface DirectoryResult {
  readonly same: number;
  readonly different: number;
}

/** Runs the cases named, or all, and prints a line for each, every difference, and the counts. */
export async function runGoldenDirectory(
  directory: string,
  names: readonly string[],
  print: (line: string) => void,
): Promise<DirectoryResult> {
  const counts = { same: 0, different: 0 };
  const notCompared = new Map<string, number>();
  for (const name of names.length > 0 ? names : goldenCaseNames(directory)) {
    const result = await runGoldenCase(name, directory);
    for (const [what, count] of result.notCompared) {
      notCompared.set(what, (notCompared.get(what) ?? 0) + count);
    }
    const same = result.differences.length === 0;
    counts[same ? 'same' : 'different'] += 1;
    print(`${same ? 'same      ' : 'DIFFERENT '} ${name}: ${result.stepCount} steps`);
    for (const difference of result.differences) print(formatDifference(name, difference));
  }
  for (const [what, count] of notCompared) print(`not compared: ${count} ${what}`);
  print(`${counts.same} cases the same, ${counts.different} different`);
  return counts;
}

export function formatDifference(name: string, difference: Difference): string {
  const { lineNumber, expected, actual } = difference;
  const side = (mark: string, lines: readonly string[]): string[] =>
    (lines.length === 0 ? ['(nothing)'] : lines).map((line) => `  ${mark} ${line}`);
  return [
    `${name}.txt:${lineNumber}:`,
    ...side('kernel |', expected),
    ...side('ours   |', actual),
  ].join('\n');
}
