/**
 * The gate: types, build, lint and format, layers, tidiness, tests. Runs all of it whatever fails,
 * says which step failed, and ends with one line of counts. A step counts as one test.
 */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { explainWrongUse } from './lib/explain-wrong-use.ts';
import { readSourceTree } from './lib/source-tree.ts';
import { type TapCounts, TapReport } from './lib/tap-report.ts';

const USAGE = `usage: scripts/test [OPTION]... [TEST FILE]...
       scripts/check [OPTION]... [TEST FILE]...   the same, and installs nothing

  --quick      leave out the tests in test/interop
  --full       run the long tests at full length (hours, not minutes)
  --no-tests   all but the tests
  --tests      only the tests, of what was built before

With test files, only these run, after the other steps.`;

/** How much of the long tests to run; test/support/effort.ts reads it. */
type Effort = 'quick' | 'standard' | 'full';

/** A test file is killed after this many seconds. */
const TIMEOUT_S: Readonly<Record<Effort, number>> = { quick: 120, standard: 600, full: 7200 };

interface Step {
  readonly name: string;
  readonly command: readonly string[];
}

const STEPS: readonly Step[] = [
  { name: 'types', command: ['tsc'] },
  // Tests of the command run what is built.
  { name: 'build', command: ['tsc', '-p', 'tsconfig.build.json'] },
  { name: 'biome', command: ['biome', 'check', '--error-on-warnings'] },
  { name: 'layers', command: ['tsx', 'scripts/check-layers.ts'] },
  { name: 'tidy', command: ['tsx', 'scripts/tidy.ts'] },
];

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      'no-tests': { type: 'boolean', default: false },
      tests: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const effort: Effort = values.full ? 'full' : values.quick ? 'quick' : 'standard';
  const none: TapCounts = { passed: 0, failed: 0, skipped: 0 };
  const steps = values.tests ? none : await runSteps();
  const tests = values['no-tests'] ? none : await runTests(effort, positionals);
  const failed = steps.failed + tests.failed;
  console.log(`${steps.passed + tests.passed} passed, ${failed} failed, ${tests.skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

async function runSteps(): Promise<TapCounts> {
  let failed = 0;
  for (const { name, command } of STEPS) {
    const status = await run(command, {}, null);
    if (status !== 0) failed += 1;
    console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name}`);
  }
  return { passed: STEPS.length - failed, failed, skipped: 0 };
}

async function runTests(effort: Effort, files: readonly string[]): Promise<TapCounts> {
  const report = new TapReport((line) => console.log(line));
  const timeout = `--timeout=${TIMEOUT_S[effort]}`;
  const chosen = files.length > 0 || effort !== 'quick' ? files : quickTests();
  const status = await run(
    ['tap', '--reporter=tap', timeout, ...chosen],
    { TEST_EFFORT: effort },
    (line) => report.line(line),
  );
  const counts = report.end();
  if (status === 0 || counts.failed > 0) return counts;
  console.log(`FAILED tap ended with status ${status}`);
  return { ...counts, failed: counts.failed + 1 };
}

function quickTests(): string[] {
  return readSourceTree('.', ['test'])
    .map((file) => file.path)
    .filter((path) => path.endsWith('.test.ts') && !path.startsWith('test/interop/'));
}

/** Runs a program of node_modules; gives its status, and its output line by line if asked. */
function run(
  [program, ...args]: readonly string[],
  environment: Readonly<Record<string, string>>,
  onLine: ((line: string) => void) | null,
): Promise<number> {
  const child = spawn(`node_modules/.bin/${program}`, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', onLine === null ? 'inherit' : 'pipe', 'inherit'],
  });
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', onLine!);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? 128));
  });
}

process.exitCode = await main().catch(explainWrongUse('check'));
