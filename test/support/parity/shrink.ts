/**
 * Makes a program that differs as small as it gets: steps are left out, then what remains is made
 * plainer. All candidates of a round run in one boot; the smallest that still differs is the next
 * to be shrunk.
 */

import { type Judgement, judgePrograms, type ParityOptions } from './parity-run.ts';
import type { Program, Step, TableSpec } from './program.ts';

const ROUNDS_MAX = 24;
const CANDIDATES_MAX = 48;

export interface ShrinkOptions extends ParityOptions {
  readonly onRound?: (program: Program) => void;
}

/** The smallest program found, and how it differs. `start` has to differ. */
export async function shrinkProgram(
  start: Judgement,
  options: ShrinkOptions = {},
): Promise<Judgement> {
  // Nothing behind the first difference matters.
  let best: Judgement = start;
  const upTo = start.difference?.step ?? -1;
  if (upTo >= 0) {
    const [judged] = await judgePrograms([renamed(cutAfter(start.program, upTo), 0)], options);
    if (judged?.verdict === 'different') best = judged;
  }
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const candidates = [...stepCandidates(best.program), ...plainerCandidates(best.program)]
      .slice(0, CANDIDATES_MAX)
      .map(renamed);
    if (candidates.length === 0) break;
    const judged = await judgePrograms(candidates, options);
    const smaller = judged.filter(({ verdict }) => verdict === 'different');
    if (smaller.length === 0) break;
    best = smaller.reduce((one, other) => (size(other.program) < size(one.program) ? other : one));
    options.onRound?.(best.program);
  }
  return { ...best, program: { ...best.program, name: start.program.name } };
}

/** Shorter is better, then plainer. */
function size(program: Program): number {
  return program.steps.length * 10_000 + JSON.stringify(program).length;
}

function cutAfter(program: Program, step: number): Program {
  return { ...program, steps: program.steps.slice(0, step) };
}

function renamed(program: Program, index: number): Program {
  return { ...program, name: `candidate-${index}` };
}

/** Without a half, a quarter, … one step. */
function stepCandidates({ steps, ...rest }: Program): Program[] {
  const candidates: Program[] = [];
  for (let length = Math.ceil(steps.length / 2); length >= 1; length = Math.floor(length / 2)) {
    for (let at = 0; at < steps.length; at += length) {
      candidates.push({ ...rest, steps: [...steps.slice(0, at), ...steps.slice(at + length)] });
    }
  }
  return candidates;
}

function plainerCandidates(program: Program): Program[] {
  const candidates: Program[] = [];
  const push = (steps: readonly Step[]): void => {
    candidates.push({ ...program, steps });
  };
  for (const table of plainerTables(program.table)) candidates.push({ ...program, table });
  if (program.machine.logGarbage) {
    candidates.push({ ...program, machine: { ...program.machine, logGarbage: false } });
  }
  for (const [index, step] of program.steps.entries()) {
    for (const plainer of plainerSteps(step, program.table)) {
      push(program.steps.map((other, at) => (at === index ? plainer : other)));
    }
  }
  return candidates;
}

function plainerSteps(step: Step, table: TableSpec): Step[] {
  switch (step.do) {
    case 'io': {
      const { requests } = step;
      const fewer = requests.map((_, at) => requests.filter((_other, index) => index !== at));
      return requests.length > 1 ? fewer.map((some) => ({ ...step, requests: some })) : [];
    }
    case 'fault':
      return step.range === null ? [] : [{ ...step, range: null }];
    case 'reload':
    case 'load':
    case 'cut':
    case 'remake': {
      const same = JSON.stringify(step.table) === JSON.stringify(table);
      const tables = same ? [] : [table, ...plainerTables(step.table)];
      return tables.map((plainer) => ({ ...step, table: plainer }));
    }
    default:
      return [];
  }
}

function plainerTables(table: TableSpec): TableSpec[] {
  const tables: TableSpec[] = [];
  if (table.legs.length > 2) {
    for (const gone of table.legs) {
      tables.push({ ...table, legs: table.legs.filter((leg) => leg !== gone) });
    }
  }
  if (table.features.length > 0) tables.push({ ...table, features: table.features.slice(1) });
  if (table.log !== 'core') tables.push({ ...table, log: 'core' });
  if (table.sync !== null) tables.push({ ...table, sync: null });
  if (table.length > table.regionSize * 2) {
    tables.push({ ...table, length: Math.ceil(table.length / 2) });
  }
  return tables;
}
