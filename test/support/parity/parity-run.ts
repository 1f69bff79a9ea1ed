/**
 * Both sides of many programs, compared. A program that differs is run again in the kernel, with
 * more patience each time: what had only not come to rest is no difference. Then a timing is looked
 * for with which the emulator does the same.
 */

import type { TargetType } from '../../../src/dm/target.ts';
import { compileProgram } from './commands.ts';
import { runInEmulator } from './emulator-side.ts';
import { findTiming } from './find-timing.ts';
import { type KernelRun, runInKernel } from './kernel-side.ts';
import type { Program } from './program.ts';
import { compareHung, compareTranscripts, type Departure, type Difference } from './transcript.ts';

/** How long a state has to stand still: at the first run, then at each that confirms. */
const SETTLE_MS: readonly number[] = [8, 40, 80, 80];
/** Of one boot; what has not been run by then is run in the next. */
const BOOT_S = 280;

export interface ParityOptions {
  /** Programs that run side by side in the guest. */
  readonly workers?: number;
  /** The guest ends after this. A busy machine wants more, for booting takes its share of it. */
  readonly bootSeconds?: number;
  readonly settleMs?: readonly number[];
  /** Nobody waits any more. */
  readonly signal?: AbortSignal;
  /** The mirror of our side; another one to plant a difference. */
  readonly mirrorType?: TargetType;
  /** Timings of the emulator that are tried for a step that differs. */
  readonly timings?: number;
  /** Told of every boot, for people who wait. */
  readonly onBoot?: (line: string) => void;
}

/**
 * `same`: at the first run, or (`late`) when the kernel was given more time, or (`timing`) where
 * the emulator does the same when things take another time. `varies`: no timing was found, but the
 * kernel did not do the same twice. `hung`: a command never came back in the kernel.
 */
export type Verdict = 'same' | 'late' | 'timing' | 'varies' | 'different' | 'hung' | 'lost';

/** Both sides agree, whatever else there is to say. */
export function isAgreed(verdict: Verdict): boolean {
  return verdict === 'same' || verdict === 'late' || verdict === 'timing';
}

export interface Judgement {
  readonly program: Program;
  readonly verdict: Verdict;
  /** For `different` and `varies`: as in the last run. */
  readonly difference: Difference | null;
  readonly departures: ReadonlySet<Departure>;
  /** A departure ended the comparison before the program's last step. */
  readonly cutShort: boolean;
  /** The kernel's last transcript, as far as there is one. */
  readonly kernel: readonly string[];
}

export async function judgePrograms(
  programs: readonly Program[],
  options: ParityOptions = {},
): Promise<Judgement[]> {
  const ours = new Map<string, readonly string[]>();
  const { mirrorType } = options;
  for (const program of programs) {
    const commands = compileProgram(program);
    const lines = await runInEmulator(commands, mirrorType === undefined ? {} : { mirrorType });
    ours.set(program.name, lines);
  }
  const history = new Map<string, KernelRun[]>();
  let open = [...programs];
  const settles = options.settleMs ?? SETTLE_MS;
  for (let round = 0; round < settles.length && open.length > 0; round++) {
    const runs = await runRound(open, { ...options, round, settle: settles[round]! });
    for (const { name } of open) {
      history.set(name, [...(history.get(name) ?? []), runs.get(name)!]);
    }
    open = open.filter((program) => {
      const run = runs.get(program.name)!;
      if (run.end !== 'done') return true;
      return compareTranscripts(program, run.lines, ours.get(program.name)!).difference !== null;
    });
  }
  const judgements: Judgement[] = [];
  for (const program of programs) {
    const runs = history.get(program.name)!;
    const judgement = judge(program, runs, ours.get(program.name)!);
    judgements.push(await withOtherTiming(judgement, runs, options));
  }
  return judgements;
}

async function withOtherTiming(
  judgement: Judgement,
  runs: readonly KernelRun[],
  { mirrorType, timings }: ParityOptions,
): Promise<Judgement> {
  const { program, verdict } = judgement;
  if (isAgreed(verdict) || verdict === 'lost') return judgement;
  const { lines, end } = runs.findLast((run) => run.end === 'done' || run.end === 'hung')!;
  const isHung = end === 'hung';
  const compare = isHung ? compareHung : compareTranscripts;
  const seen = isHung ? withCleanUp(program, lines) : { program, lines };
  const found = await findTiming({
    program: seen.program,
    compare: (ours) => compare(seen.program, seen.lines, ours),
    mirrorType,
    attempts: timings,
  });
  return found === null ? judgement : { ...judgement, ...found, verdict: 'timing' };
}

/**
 * Behind a program the guest puts errors below the mirror, and makes it go on with errors itself:
 * where that hangs, so would a suspend.
 */
function withCleanUp(program: Program, lines: readonly string[]) {
  if (!lines.includes('# clean-up')) return { program, lines };
  const steps = [...program.steps, { do: 'suspend', noflush: true } as const];
  return { program: { ...program, steps }, lines: [...lines, `step ${steps.length}`] };
}

/** A guest may fail to boot where the machine has no time for it. */
const IDLE_BOOTS_MAX = 3;

/** Boots until every program has had its turn, or until boot after boot ends none of them. */
async function runRound(
  programs: readonly Program[],
  options: ParityOptions & { round: number; settle: number },
): Promise<ReadonlyMap<string, KernelRun>> {
  const { workers = 6, bootSeconds = BOOT_S, onBoot, round, settle } = options;
  const runs = new Map<string, KernelRun>();
  let left = [...programs];
  let idleBoots = 0;
  while (left.length > 0 && idleBoots < IDLE_BOOTS_MAX) {
    const outcome = await runInKernel(left.map(compileProgram), {
      settleMs: settle,
      timeoutS: bootSeconds,
      signal: options.signal,
      workers: Math.min(workers, left.length),
    });
    for (const [name, run] of outcome.runs) runs.set(name, run);
    const lost = left.filter(({ name }) => runs.get(name)!.end === 'lost');
    const ended = left.length - lost.length;
    onBoot?.(`run ${round + 1}: ${ended} of ${left.length} programs in the kernel`);
    if (outcome.complaint !== '') onBoot?.(outcome.complaint.trimEnd());
    idleBoots = ended === 0 ? idleBoots + 1 : 0;
    left = lost;
  }
  return runs;
}

function judge(program: Program, runs: readonly KernelRun[], ours: readonly string[]): Judgement {
  const done = runs.filter(({ end }) => end === 'done');
  const last = done.at(-1);
  const isHung = runs.some(({ end }) => end === 'hung');
  if (last === undefined) {
    const verdict = isHung ? 'hung' : 'lost';
    const kernel = runs.at(-1)?.lines ?? [];
    const none = { difference: null, departures: new Set<Departure>(), cutShort: false };
    return { program, verdict, ...none, kernel };
  }
  const kernel = last.lines;
  const { difference, departures, cutShort } = compareTranscripts(program, kernel, ours);
  const judgement = { program, difference, departures, cutShort, kernel };
  if (difference === null) return { ...judgement, verdict: runs.length === 1 ? 'same' : 'late' };
  if (isHung) return { ...judgement, verdict: 'hung' };
  // The kernel has to say the same of this step, and of all before, every time it was given enough.
  const isSteady = done.slice(done.length > 2 ? -2 : 0).every(({ lines }) => {
    const own = compareTranscripts(program, lines, kernel).difference;
    return own === null || own.step > difference.step;
  });
  return { ...judgement, verdict: isSteady ? 'different' : 'varies' };
}
