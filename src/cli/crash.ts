/**
 * `nbd-mirror crash`: cuts the power of simulated mirrors at every event, or repeats one such cut.
 *
 * What it prints for a failure is a command line for itself.
 */

import { parseArgs } from 'node:util';
import { UserError } from '../base/failure.ts';
import { parseCrashStep } from '../sim/crash-path.ts';
import { sweep } from '../sim/crash-sweep.ts';
import { mirrorStack } from '../sim/mirror-stack.ts';
import { runSeed } from '../sim/run.ts';
import type { Scenario } from '../sim/scenario.ts';
import { findScenario, SCENARIOS } from '../sim/scenarios/catalogue.ts';
import { describeSweep, describeVerdict } from '../sim/sweep-report.ts';

export const CRASH_USAGE = `Usage: nbd-mirror crash [options]

Cuts the power of simulated mirrors at every event, explores what their disks may lose, starts
them again, and checks that nothing was lost that must survive. Touches no file and no network.

  --list              the scenarios
  --scenario NAME     only this one; may be given several times (default: all)
  --seed SEED         decides the timing and the draws (default: 1)
  --at CUT[:FATES]    only this cut, and these fates of the unflushed writes; once for each life
  --random COUNT      COUNT random runs instead, of the seeds SEED, SEED+1, ...
  --trace             one line for each event

Exit status: 0 when all held, 1 when something did not.`;

const OPTIONS = {
  list: { type: 'boolean' },
  help: { type: 'boolean' },
  scenario: { type: 'string', multiple: true },
  seed: { type: 'string' },
  at: { type: 'string', multiple: true },
  random: { type: 'string' },
  trace: { type: 'boolean' },
} as const;

/** The words behind `crash`; the exit status. @throws UserError for words that mean nothing. */
export async function runCrashCommand(
  args: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  const options = parseWords(args);
  if (options.help === true) {
    print(CRASH_USAGE);
    return 0;
  }
  if (options.list === true) {
    for (const { name, title } of SCENARIOS) print(`${name.padEnd(28)} ${title}`);
    return 0;
  }
  const seed = options.seed ?? '1';
  const trace = options.trace === true ? print : undefined;
  if (options.random !== undefined)
    return runRandom(parseCount(options.random), seed, print, trace);
  const scenarios = options.scenario?.map(findScenario) ?? SCENARIOS;
  return runSweeps({ scenarios, seed, at: options.at, print, trace });
}

function parseWords(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true }).values;
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new UserError('bad-option', `Cannot run "crash": ${problem}`, {
      hint: 'nbd-mirror crash --help lists the options.',
      cause: error,
    });
  }
}

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new UserError(
    'bad-option',
    `Cannot run "crash": count of random runs is "${text}", must be a number from 1`,
  );
}

interface SweepWords {
  readonly scenarios: readonly Scenario[];
  readonly seed: string;
  readonly at: readonly string[] | undefined;
  readonly print: (line: string) => void;
  readonly trace: ((line: string) => void) | undefined;
}

async function runSweeps({ scenarios, seed, at, print, trace }: SweepWords): Promise<number> {
  const path = at?.map(parseCrashStep);
  if (path !== undefined && scenarios.length !== 1) {
    throw new UserError(
      'bad-option',
      `Cannot run "crash": --at is given for ${scenarios.length} scenarios, must be for one`,
    );
  }
  let failures = 0;
  for (const scenario of scenarios) {
    const report = await sweep(scenario, {
      seed,
      stackFactory: mirrorStack,
      ...(path === undefined ? {} : { path }),
      ...(trace === undefined ? {} : { trace }),
    });
    failures += report.failures.length;
    for (const line of describeSweep(report)) print(line);
  }
  return failures === 0 ? 0 : 1;
}

async function runRandom(
  count: number,
  seed: string,
  print: (line: string) => void,
  trace: ((line: string) => void) | undefined,
): Promise<number> {
  let failed = 0;
  const first = Number(seed);
  for (let index = 0; index < count; index++) {
    const own = count === 1 || Number.isNaN(first) ? seedOf(seed, index) : `${first + index}`;
    const verdict = await runSeed(own, {
      stackFactory: mirrorStack,
      ...(trace === undefined ? {} : { trace }),
    });
    if (verdict.findings.length > 0) failed += 1;
    if (verdict.findings.length > 0 || count === 1) {
      for (const line of describeVerdict(verdict)) print(line);
    }
  }
  print(`${count} random runs, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** Seeds that are no numbers count on with a suffix. */
function seedOf(seed: string, index: number): string {
  return index === 0 ? seed : `${seed}+${index}`;
}
