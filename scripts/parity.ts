/** Draws programs, runs them in a real kernel and in the emulator, and shrinks what differs. */

import { parseArgs } from 'node:util';
import { drawProgram } from '../test/support/parity/draw-program.ts';
import { keepProgram, readKeptProgram } from '../test/support/parity/kept-program.ts';
import { isAgreed, type Judgement, judgePrograms } from '../test/support/parity/parity-run.ts';
import { describeProgram, type Program } from '../test/support/parity/program.ts';
import { shrinkProgram } from '../test/support/parity/shrink.ts';
import { describeDifference } from '../test/support/parity/transcript.ts';
import { widenProgram } from '../test/support/parity/widen-program.ts';

const USAGE = `usage: scripts/parity [OPTION]...

  --seed S        what is drawn depends on this alone (1)
  --steps N       steps of each program (30)
  --programs P    how many programs (100)
  --first I       begin with program I of the seed (0)
  --wide          take each program further: mirrors on mirrors, targets beside the mirror, copies
                  and suspends that are held up half-way, tables that are refused
  --replay FILE   run the program of a file that --keep has written, and nothing else
  --keep DIR      write each program that differs, shrunk, to DIR; with --replay the program itself
  --shrink N      shrink so many of the programs that differ (3)
  --workers W     programs that run side by side in the guest (6)
  --boot SECONDS  how long a guest lives; the next one goes on (280)

Exit status: 0 no difference, 1 a difference, 2 wrong use. docs/parity.md says what is compared.`;

/** So many are drawn and judged before the next are. */
const CHUNK = 200;

interface Options {
  readonly seed: string;
  readonly steps: number;
  readonly programs: number;
  readonly first: number;
  readonly wide: boolean;
  readonly replay: string | null;
  readonly keep: string | null;
  readonly shrink: number;
  readonly workers: number;
  readonly bootSeconds: number;
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) {
    console.log(USAGE);
    return 0;
  }
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
  const counts = new Map<string, number>();
  let left = options.shrink;
  for (const programs of chunksOf(options)) {
    const judged = await judgePrograms(programs, {
      workers: options.workers,
      bootSeconds: options.bootSeconds,
      signal: stop.signal,
      onBoot: (line) => console.log(`  ${line}`),
    });
    for (const judgement of judged) {
      const { verdict, departures, cutShort } = judgement;
      for (const word of [verdict, ...departures, ...(cutShort ? ['cut short'] : [])])
        counts.set(word, (counts.get(word) ?? 0) + 1);
      if (options.replay !== null && options.keep !== null) {
        keep(judgement, options.keep, readKeptProgram(options.replay).about);
      }
      if (isAgreed(verdict)) continue;
      report(judgement);
      if (verdict !== 'different' || left === 0 || options.replay !== null) continue;
      left -= 1;
      await shrink(judgement, options, stop.signal);
    }
    console.log(summary(counts));
  }
  return (counts.get('different') ?? 0) === 0 ? 0 : 1;
}

function* chunksOf(options: Options): Generator<Program[]> {
  const { seed, steps, programs, first, wide, replay } = options;
  if (replay !== null) {
    yield [readKeptProgram(replay).program];
    return;
  }
  for (let at = 0; at < programs; at += CHUNK) {
    yield Array.from({ length: Math.min(CHUNK, programs - at) }, (_, index) => {
      const program = drawProgram({ seed: `${seed}/${first + at + index}`, steps });
      return wide ? widenProgram(program) : program;
    });
  }
}

function report({ program, verdict, difference }: Judgement): void {
  console.log(`${program.name}: ${verdict}`);
  if (difference !== null) console.log(describeDifference(difference));
}

async function shrink(judgement: Judgement, options: Options, signal: AbortSignal): Promise<void> {
  const { seed, steps, wide, keep: keepIn, workers } = options;
  const { name } = judgement.program;
  const shrunk = await shrinkProgram(judgement, {
    ...{ workers, signal },
    onRound: (program) => console.log(`  shrunk to ${program.steps.length} steps`),
  });
  console.log(`${name}, as small as it gets:`);
  console.log(describeProgram(shrunk.program));
  if (shrunk.difference !== null) console.log(describeDifference(shrunk.difference));
  const index = name.slice(name.lastIndexOf('/') + 1);
  const drawn = `--seed ${seed} --steps ${steps}${wide ? ' --wide' : ''}`;
  const again = `scripts/parity ${drawn} --first ${index} --programs 1`;
  const path = keepIn === null ? null : keep(shrunk, keepIn);
  console.log(`again: ${path === null ? again : `scripts/parity --replay ${path}`}`);
}

function keep({ program, kernel }: Judgement, directory: string, about = ''): string {
  return keepProgram(directory, { about, program, kernel });
}

function summary(counts: ReadonlyMap<string, number>): string {
  const parts = [...counts].map(([word, count]) => `${count} ${word}`);
  return `so far: ${parts.join(', ')}`;
}

function readOptions(): Options | null {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      steps: { type: 'string', default: '30' },
      programs: { type: 'string', default: '100' },
      first: { type: 'string', default: '0' },
      wide: { type: 'boolean', default: false },
      replay: { type: 'string' },
      keep: { type: 'string' },
      shrink: { type: 'string', default: '3' },
      workers: { type: 'string', default: '6' },
      boot: { type: 'string', default: '280' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return null;
  return {
    seed: values.seed,
    steps: readCount('steps', values.steps, 1),
    programs: readCount('programs', values.programs, 1),
    first: readCount('first', values.first, 0),
    wide: values.wide,
    replay: values.replay ?? null,
    keep: values.keep ?? null,
    shrink: readCount('shrink', values.shrink, 0),
    workers: readCount('workers', values.workers, 1),
    bootSeconds: readCount('boot', values.boot, 60),
  };
}

function readCount(name: string, word: string, min: number): number {
  const value = Number(word);
  if (/^\d{1,7}$/.test(word) && value >= min) return value;
  throw new TypeError(`--${name} is "${word}", must be a number, at least ${min}`);
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    if (error instanceof Error && error.name === 'AbortError') {
      process.exitCode = 130;
      return;
    }
    console.error(`parity: ${error instanceof Error ? error.message : String(error)}`);
    console.error(USAGE);
    process.exitCode = 2;
  },
);
