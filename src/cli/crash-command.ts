/**
 * `nbd-mirror crash`: cuts the power of simulated mirrors at every event, or repeats one such cut.
 * What it prints for a failure is a command line for itself.
 */

import { Command } from 'commander';
import { UserError } from '../base/failure.ts';
import { collect } from './collect.ts';
import { printOut } from './standard-output.ts';

export interface CrashOptions {
  readonly list?: boolean;
  readonly scenario?: readonly string[];
  readonly seed: string;
  readonly at?: readonly string[];
  readonly random?: string;
  readonly trace?: boolean;
}

export function crashCommand(end: (status: number) => void): Command {
  return new Command('crash')
    .summary('cut the power of simulated mirrors at every event')
    .description(
      'Cut the power of simulated mirrors at every event, explore what their disks may lose, ' +
        'start them again, and check that nothing is lost that must survive. Touches no file.',
    )
    .option('--list', 'print the scenarios')
    .option('--scenario <name>', 'only this one; may be given several times', collect)
    .option('--seed <seed>', 'decides the timing and all draws', '1')
    .option(
      '--at <cut:fates>',
      'only this event, and what becomes of the unflushed writes; once for each life',
      collect,
    )
    .option('--random <count>', 'so many random runs instead, of this seed and those behind it')
    .option('--trace', 'print one line for each event')
    .helpOption('-h, --help', 'print this')
    .addHelpText(
      'after',
      '\nExit status: 0 when everything held, 1 when something did not.\n\n' +
        'Examples:\n  nbd-mirror crash\n' +
        '  nbd-mirror crash --scenario single-write --at 32:K.L --trace\n' +
        '  nbd-mirror crash --scenario single-write --at W7.1@1:K.L --at R2 --trace',
    )
    .action(async (options: CrashOptions) => {
      end(await runCrash(options, (line) => printOut(`${line}\n`)));
    });
}

/** The exit status. @throws UserError for words that mean nothing. */
export async function runCrash(
  options: CrashOptions,
  print: (line: string) => void,
): Promise<number> {
  if (options.list === true) return list(print);
  if (options.random !== undefined) return runRandom(options, print);
  return runSweeps(options, print);
}

async function list(print: (line: string) => void): Promise<number> {
  const { SCENARIOS } = await import('../sim/scenarios/catalogue.ts');
  const width = Math.max(...SCENARIOS.map(({ name }) => name.length));
  for (const { name, title } of SCENARIOS) print(`${name.padEnd(width)}  ${title}`);
  return 0;
}

async function runSweeps(options: CrashOptions, print: (line: string) => void): Promise<number> {
  const { findScenario, SCENARIOS } = await import('../sim/scenarios/catalogue.ts');
  const { parseCrashStep } = await import('../sim/crash-path.ts');
  const { sweep } = await import('../sim/crash-sweep.ts');
  const { describeSweep } = await import('../sim/sweep-report.ts');
  const { mirrorStack } = await import('../sim/machine/mirror-stack.ts');
  const scenarios = options.scenario?.map(findScenario) ?? SCENARIOS;
  const path = options.at?.map(parseCrashStep);
  if (path !== undefined && scenarios.length !== 1) {
    throw new UserError(
      'bad-option',
      `Cannot repeat a crash: --at is given with ${scenarios.length} scenarios, must be with one`,
    );
  }
  let failures = 0;
  for (const scenario of scenarios) {
    const report = await sweep(scenario, {
      seed: options.seed,
      stackFactory: mirrorStack,
      ...(path === undefined ? {} : { path }),
      ...(options.trace === true ? { trace: print } : {}),
    });
    failures += report.failures.length;
    for (const line of describeSweep(report)) print(line);
  }
  return failures === 0 ? 0 : 1;
}

async function runRandom(options: CrashOptions, print: (line: string) => void): Promise<number> {
  const { parseCount } = await import('./parse-count.ts');
  const { runSeed } = await import('../sim/run.ts');
  const { describeVerdict } = await import('../sim/sweep-report.ts');
  const { mirrorStack } = await import('../sim/machine/mirror-stack.ts');
  const count = parseCount('--random', options.random!);
  let failed = 0;
  for (let index = 0; index < count; index++) {
    const verdict = await runSeed(seedBehind(options.seed, index), {
      stackFactory: mirrorStack,
      ...(options.trace === true ? { trace: print } : {}),
    });
    if (verdict.findings.length > 0) failed += 1;
    if (verdict.findings.length === 0 && count > 1) continue;
    for (const line of describeVerdict(verdict)) print(line);
  }
  print(`random runs: ${count}, from seed ${options.seed} on; failed: ${failed}`);
  return failed === 0 ? 0 : 1;
}

/** Numbers count on; other seeds get a suffix. */
function seedBehind(seed: string, index: number): string {
  if (index === 0) return seed;
  return /^\d+$/.test(seed) ? `${Number(seed) + index}` : `${seed}+${index}`;
}
