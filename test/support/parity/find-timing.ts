/**
 * Looks for a timing with which the emulator does what the kernel did. Where one is found the two
 * agree, and only chance decided: which of two requests was first, whether two errors made one
 * event or two, where a copy was when a leg failed.
 *
 * Step by step: the timing of a step that differs is drawn again, and now and then that of the
 * steps before, until it does not differ any more.
 */

import { Prng } from '../../../src/base/prng.ts';
import type { TargetType } from '../../../src/dm/target.ts';
import { compileProgram } from './commands.ts';
import { runInEmulator } from './emulator-side.ts';
import type { Program } from './program.ts';
import { Timing } from './timing.ts';
import { type Comparison, type Departure, departureNote } from './transcript.ts';

/** Timings tried for a step that differs: the rarest that is known takes 600 on average. */
const ATTEMPTS = 3000;
/** Steps before it that may be at the bottom of it. */
const STEPS_BACK_MAX = 4;
/** What the emulator does for once as the kernel may do it. */
const RACES: readonly Departure[] = ['round-again', 'copy-blame'];

export interface FindTimingOptions {
  readonly program: Program;
  /** Compares what the kernel did with what we do. */
  readonly compare: (ours: readonly string[]) => Comparison;
  readonly mirrorType?: TargetType | undefined;
  readonly attempts?: number | undefined;
}

/** The comparison without a difference; null where no timing was found. */
export async function findTiming(options: FindTimingOptions): Promise<Comparison | null> {
  const { program, compare, mirrorType, attempts = ATTEMPTS } = options;
  const prng = new Prng(`${program.name}/timing`);
  const commands = compileProgram(program);
  const run = async (seeds: readonly number[], upTo: number): Promise<Comparison> => {
    const end = commands.indexOf(`step ${upTo + 1}`);
    const some = end === -1 ? commands : commands.slice(0, end);
    const ours = await runInEmulator(some, {
      timing: new Timing(seeds),
      ...(mirrorType === undefined ? {} : { mirrorType }),
    });
    const comparison = compare(ours);
    for (const race of RACES) {
      if (ours.includes(departureNote(race))) comparison.departures.add(race);
    }
    return comparison;
  };
  let seeds: number[] = [];
  for (;;) {
    const comparison = await run(seeds, program.steps.length);
    const step = comparison.difference?.step;
    if (step === undefined) return comparison;
    let found: number[] | null = null;
    for (let attempt = 0; attempt < attempts && found === null; attempt++) {
      const tried = drawAgain(seeds, step, prng);
      const { difference } = await run(tried, step);
      if (difference === null || difference.step > step) found = tried;
    }
    if (found === null) return null;
    seeds = found;
  }
}

function drawAgain(seeds: readonly number[], step: number, prng: Prng): number[] {
  const drawn = Array.from({ length: step + 1 }, (_, index) => seeds[index] ?? 0);
  const back = prng.chance(1, 3) ? prng.between(1, STEPS_BACK_MAX) : 0;
  for (let at = Math.max(0, step - back); at <= step; at++) drawn[at] = prng.between(1, 0x7fffffff);
  return drawn;
}
