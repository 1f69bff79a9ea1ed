/**
 * Transcripts of both sides step by step, and the first place where they differ. Lines of ours that
 * begin with "#" are notes about what cannot be seen from outside.
 *
 * Five differences are known and named in docs/quirks.md:
 * - `constructor-event`: the kernel's constructor already wakes its worker. A mirror that is born
 *   in sync raises its event before anybody listens, or after: a race, which we always lose.
 * - `retry-region`: whether a failed read may be tried on another leg the kernel asks of the region
 *   at the sector *on the leg*. With an offset that is another one, or none; we ask of the right
 *   one.
 * - `round-again`: in a noflush suspend the kernel sends what was held through the old table again
 *   before it blocks requests: it may end there. We put it back at once.
 * - `endless-recovery`: a flush that fails while a region waits to be copied leaves a recovery that
 *   never ends in the kernel, and the next suspend hangs. With us it has failed.
 * - `copy-blame`: a copy that fails counts for the leg that is the default one by then. With us for
 *   the leg that it was made from.
 * Where such a difference leaves both in different states, the comparison ends with it.
 */

import type { Program, Step, TableSpec } from './program.ts';

export interface Difference {
  /** -1: before the first step, or of the run as a whole. */
  readonly step: number;
  readonly kernel: readonly string[];
  readonly ours: readonly string[];
}

export type Departure =
  | 'constructor-event'
  | 'retry-region'
  | 'round-again'
  | 'endless-recovery'
  | 'copy-blame';

/** A line of ours where the kernel would, or may, depart from us. */
export function departureNote(departure: Departure): string {
  return `# ${departure}`;
}

export interface Comparison {
  /** Null where both say the same but for departures. */
  readonly difference: Difference | null;
  readonly departures: Set<Departure>;
  /** The steps behind a departure could not be compared. */
  readonly cutShort: boolean;
}

export function compareTranscripts(
  program: Program,
  kernel: readonly string[],
  ours: readonly string[],
): Comparison {
  const kernelSteps = stepsOf(kernel);
  const ourSteps = stepsOf(ours);
  const comparer = new StepComparer(program);
  for (let index = 0; index < Math.max(kernelSteps.length, ourSteps.length); index++) {
    const [one, other] = [kernelSteps[index] ?? [], ourSteps[index] ?? []];
    if (comparer.isSame(index - 1, one, other)) continue;
    if (comparer.isParting(index - 1, one, other)) {
      return { difference: null, departures: comparer.departures, cutShort: true };
    }
    const difference = {
      step: index - 1,
      kernel: one.filter((line) => !other.includes(line)),
      ours: other.filter((line) => !one.includes(line)),
    };
    return { difference, departures: comparer.departures, cutShort: false };
  }
  return { difference: null, departures: comparer.departures, cutShort: false };
}

/** Of a program whose last command never came back in the kernel. */
export function compareHung(
  program: Program,
  kernel: readonly string[],
  ours: readonly string[],
): Comparison {
  const hung = kernel.findLastIndex((line) => line.startsWith('step '));
  const next = ours.indexOf(`step ${Number(kernel[hung]?.split(' ')[1]) + 1}`);
  const upTo = next === -1 ? ours : ours.slice(0, next);
  const same = ours.indexOf(kernel[hung] ?? '');
  const whole = same === -1 ? ours : ours.slice(0, same);
  const before = compareTranscripts(program, kernel.slice(0, hung), whole);
  if (before.difference !== null) return before;
  if (upTo.includes(departureNote('endless-recovery'))) {
    before.departures.add('endless-recovery');
    return { ...before, cutShort: true };
  }
  const step = Number(kernel[hung]?.split(' ')[1]);
  return { ...before, difference: { step, kernel: ['hangs'], ours: ['goes on'] } };
}

class StepComparer {
  readonly departures = new Set<Departure>();
  readonly #program: Program;
  /** Events that the kernel has counted and we have not. */
  #eventsMore = 0;
  /** Legs that are not at the start of their device, in any table so far. */
  #hasOffsets: boolean;
  /** Requests that waited after the step before. */
  #waiting: ReadonlySet<string> = new Set();
  #waitedBefore: ReadonlySet<string> = new Set();

  constructor(program: Program) {
    this.#program = program;
    this.#hasOffsets = hasOffsets(program.table);
  }

  isSame(step: number, kernel: readonly string[], ours: readonly string[]): boolean {
    const done = this.#program.steps[step - 1];
    if (done !== undefined && 'table' in done) this.#hasOffsets ||= hasOffsets(done.table);
    this.#waitedBefore = this.#waiting;
    this.#waiting = waitingIn(kernel);
    if (kernel.length !== ours.length) return false;
    const isMaking = step === 0 || (done !== undefined && makesLive(done));
    return kernel.every((line, at) => {
      const other = ours[at]!;
      return line === other || this.#isKnown(line, other, isMaking);
    });
  }

  /**
   * Of a step that is not the same: a departure explains it, but nothing can be said of the rest.
   */
  isParting(step: number, kernel: readonly string[], ours: readonly string[]): boolean {
    const done = this.#program.steps[step - 1];
    if (done === undefined) return false;
    if (isNoflush(done) && this.#wentRound(kernel, ours)) {
      this.departures.add('round-again');
      return true;
    }
    const reads = done.do === 'io' && done.requests.every(({ op }) => op === 'read');
    if (!reads || !this.#hasOffsets || !kernel.some((line) => /^i \d+ 5$/.test(line))) return false;
    this.departures.add('retry-region');
    return true;
  }

  /** A request that had waited ended as it did not with us, or there were more events. */
  #wentRound(kernel: readonly string[], ours: readonly string[]): boolean {
    if (this.#waitedBefore.size === 0) return false;
    const [events, ourEvents] = [kernel, ours].map((lines) =>
      Number(lines.find((line) => line.startsWith('e '))?.split(' ')[1]),
    );
    if (events! > ourEvents!) return true;
    return kernel.some((line) => {
      const [mark, id = '', result] = line.split(' ');
      const ended = mark === 'i' && result !== 'waits' && this.#waitedBefore.has(id);
      return ended && !ours.includes(line);
    });
  }

  #isKnown(kernel: string, ours: string, isMaking: boolean): boolean {
    const [mark, number = '', ...rest] = kernel.split(' ');
    const [ourMark, ourNumber = '', ...ourRest] = ours.split(' ');
    if (mark !== ourMark) return false;
    if (mark === 'i') return this.#isRetry(number === ourNumber, rest, ourRest);
    if (mark !== 'e' || rest.join(' ') !== ourRest.join(' ')) return false;
    const more = Number(number) - Number(ourNumber);
    if (more === this.#eventsMore) return true;
    if (!isMaking || (more !== this.#eventsMore + 1 && more !== 1 && more !== 0)) return false;
    this.#eventsMore = more;
    this.departures.add('constructor-event');
    return true;
  }

  #isRetry(isOne: boolean, kernel: readonly string[], ours: readonly string[]): boolean {
    const isRead = ours.length === 2 && ours[0] === '0';
    if (!isOne || !this.#hasOffsets || !isRead || kernel.join(' ') !== '5') return false;
    this.departures.add('retry-region');
    return true;
  }
}

function waitingIn(lines: readonly string[]): Set<string> {
  const waiting = lines.filter((line) => /^i \d+ waits$/.test(line));
  return new Set(waiting.map((line) => line.split(' ')[1]!));
}

function isNoflush(step: Step): boolean {
  if (step.do === 'reload') return step.how === 'noflush';
  return step.do === 'suspend' && step.noflush;
}

function hasOffsets({ legs, before }: TableSpec): boolean {
  return before !== undefined || legs.some(({ offset }) => offset > 0);
}

function makesLive(step: Step): boolean {
  return ['resume', 'reload', 'cut', 'remake'].includes(step.do);
}

/** A guest whose host has other work may not see that all is still; what it saw is compared. */
const UNSETTLED = '! unsettled';

/** The first part is what comes before "step 0". */
function stepsOf(lines: readonly string[]): string[][] {
  const steps: string[][] = [[]];
  for (const line of lines) {
    if (line.startsWith('step ')) steps.push([]);
    else if (!line.startsWith('#') && line !== UNSETTLED) steps.at(-1)!.push(line.trimEnd());
  }
  return steps;
}

export function describeDifference({ step, kernel, ours }: Difference): string {
  return [
    `after step ${step}:`,
    ...kernel.map((line) => `  kernel ${line}`),
    ...ours.map((line) => `  ours   ${line}`),
  ].join('\n');
}
