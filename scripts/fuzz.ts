/**
 * The fuzzer. A worker process plays the cases; this one counts, and notices a worker that dies or
 * hangs. docs/fuzzing.md tells what is checked.
 */

import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type FuzzTarget, failureOf, shrinkCase } from '../test/fuzz/fuzz-case.ts';
import { TARGETS } from '../test/fuzz/targets.ts';
import { explainWrongUse } from './lib/explain-wrong-use.ts';
import type { FuzzOrder, FuzzReport } from './lib/fuzz-worker.ts';

const USAGE = `usage: scripts/fuzz [smoke | TARGET] [OPTION]...

Without a target all take turns, for ever or until --messages. Targets:
${TARGETS.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n')}

  --messages N    so many mutated messages in all
  --seed S        what is drawn depends on this alone; chosen anew and printed without it
  --first I       begin with case I of the seed (0)
  --case SEED     play one case, as printed for a finding
  --replay FILE   play a file of the corpus
  --canary NAME   with this mistake planted

Exit status: 0 nothing found, 1 a finding, 2 wrong use.`;

/** A worker plays so many mutated messages; then a new one takes over. */
const CHUNK = 500_000;
const SMOKE = 20_000;
/** A worker that says nothing for so long hangs. */
const SILENCE_MS = 300_000;
/** What a worker may hold on to, beside what it held at its start. */
const GROWTH_BYTES_MAX = 64 * 2 ** 20;
const CANARY_CASES_MAX = 2000;

interface Totals {
  messages: number;
  mutated: number;
  findings: number;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      messages: { type: 'string' },
      seed: { type: 'string' },
      first: { type: 'string', default: '0' },
      case: { type: 'string' },
      replay: { type: 'string' },
      canary: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [chosen] = positionals;
  const targets = TARGETS.filter(({ name }) => [name, 'smoke', undefined].includes(chosen));
  if (values.help || targets.length === 0) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  if (values.case !== undefined || values.replay !== undefined) {
    return playOne(targets[0]!, values.case, values.replay, values.canary ?? null);
  }
  const isSmoke = chosen === 'smoke';
  const seed = values.seed ?? (isSmoke ? 'smoke' : String(process.hrtime.bigint() % 10n ** 9n));
  console.log(`seed: ${seed}`);
  if (isSmoke) {
    const all = await findCanaries(targets, seed);
    for (const target of targets) await target.close?.();
    if (!all) return 1;
  }
  const most = values.messages === undefined ? Number.POSITIVE_INFINITY : Number(values.messages);
  const totals: Totals = { messages: 0, mutated: 0, findings: 0 };
  const next = new Map(targets.map((target) => [target, Number(values.first)]));
  for (let turn = 0; isSmoke ? turn < targets.length : totals.mutated < most; turn++) {
    const target = targets[turn % targets.length]!;
    const share = (isSmoke ? SMOKE : CHUNK) / (target.cost ?? 1);
    const mutatedMax = Math.min(share, most - totals.mutated);
    const order = { target: target.name, seed, first: next.get(target)!, mutatedMax };
    next.set(target, await runWorker(order, totals));
    const { messages, mutated, findings } = totals;
    console.log(`in all: ${messages} messages, ${mutated} of them mutated, ${findings} findings`);
  }
  return totals.findings === 0 ? 0 : 1;
}

/** Gives the number of the next case. */
async function runWorker(order: FuzzOrder, totals: Totals): Promise<number> {
  const child = fork(join(import.meta.dirname, 'lib/fuzz-worker.ts'), [], {
    execArgv: [...process.execArgv, '--expose-gc'],
  });
  let first: FuzzReport | null = null;
  let last: FuzzReport | null = null;
  let watchdog: NodeJS.Timeout | undefined;
  let hangs = false;
  const stillThere = (): void => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => {
      hangs = true;
      child.kill('SIGKILL');
    }, SILENCE_MS);
  };
  stillThere();
  child.on('message', (report: FuzzReport) => {
    stillThere();
    first ??= report;
    last = report;
    if (report.finding === undefined) return;
    totals.findings += 1;
    const { what, file } = report.finding;
    console.log(`FOUND ${what}\nagain: scripts/fuzz ${order.target} --replay ${file}`);
  });
  child.send(order);
  const status = await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(watchdog);
  const [begin, end] = [first as FuzzReport | null, last as FuzzReport | null];
  totals.messages += end?.messages ?? 0;
  totals.mutated += end?.mutated ?? 0;
  const problem = problemOf(order, begin, end, hangs ? 'hangs' : `ended with status ${status}`);
  if (problem !== null) {
    totals.findings += 1;
    console.log(`FOUND ${problem}`);
  }
  return (end?.next ?? order.first) + (end?.kind === 'done' ? 0 : 1000);
}

/** What is wrong with a worker's life as a whole. */
function problemOf(
  order: FuzzOrder,
  begin: FuzzReport | null,
  end: FuzzReport | null,
  ending: string,
): string | null {
  const next = end?.next ?? order.first;
  const again = `scripts/fuzz ${order.target} --seed ${order.seed} --first ${next}`;
  if (begin === null || end?.kind !== 'done') return `worker ${ending}\nagain: ${again}`;
  const growth = end.memoryBytes - begin.memoryBytes;
  const kib = Math.round(growth / 1024);
  const rate = `${order.target}: cases ${order.first} to ${end.next}, memory ${kib} KiB more`;
  console.log(`${rate}, descriptors ${end.descriptors - begin.descriptors} more`);
  if (growth > GROWTH_BYTES_MAX) return `${kib} KiB of memory were left behind`;
  if (end.descriptors > begin.descriptors) return 'descriptors were left behind';
  return null;
}

async function playOne(
  target: FuzzTarget,
  seed: string | undefined,
  file: string | undefined,
  canary: string | null,
): Promise<number> {
  const one = seed === undefined ? target.read(readFileSync(file!, 'utf8')) : target.draw(seed);
  const failure = await failureOf(one, canary);
  console.log(failure === null ? 'nothing is wrong' : `FOUND ${failure.stack}`);
  if (failure !== null && seed !== undefined) {
    console.log((await shrinkCase(one, canary, target.plays)).write('As small as it gets.'));
  }
  await target.close?.();
  return failure === null ? 0 : 1;
}

async function findCanaries(targets: readonly FuzzTarget[], seed: string): Promise<boolean> {
  let all = true;
  for (const target of targets) {
    for (const canary of target.canaries) {
      let index = 0;
      while (index < CANARY_CASES_MAX) {
        if ((await failureOf(target.draw(`${seed}/${index}`), canary)) !== null) break;
        index += 1;
      }
      const found = index < CANARY_CASES_MAX;
      all &&= found;
      const outcome = found ? `found in case ${index}` : 'NOT FOUND: the fuzzer is blind';
      console.log(`${target.name}: canary ${canary} ${outcome}`);
    }
  }
  return all;
}

process.exitCode = await main().catch(explainWrongUse('fuzz'));
