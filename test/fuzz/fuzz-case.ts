/** What every target of the fuzzer offers: cases from seeds, judged, made smaller, and kept. */

export interface FuzzCase {
  /** Messages, lines or whatever the target counts, and how many of them are not as they should. */
  readonly messages: number;
  readonly mutated: number;
  /**
   * With the name of a canary, plants that mistake. @throws anything when something is wrong.
   */
  play(canary: string | null): Promise<void>;
  /** Cases that may show the same mistake, from much smaller ones to slightly smaller ones. */
  smaller(): Iterable<FuzzCase>;
  /** As a file of the corpus; `about` becomes its comment. */
  write(about: string): string;
}

export interface FuzzTarget {
  readonly name: string;
  readonly about: string;
  /** Planted mistakes that it must find. */
  readonly canaries: readonly string[];
  /** Cases that cost as much as one of this: 1 by default, and more where they cost little. */
  readonly cost?: number;
  /**
   * Of processes that take their time: what a case shows may be over before anybody looks, so that
   * it is played up to so often before it counts as harmless, and a smaller one must show it in
   * all of them.
   */
  readonly plays?: number;
  /** The same case for the same seed. */
  draw(seed: string): FuzzCase;
  /** @throws Error when `text` is no file of this target's corpus. */
  read(text: string): FuzzCase;
  /** Ends what cases have started and left for others. */
  close?(): Promise<void>;
}

/** What goes wrong when the case is played; null for nothing. */
export async function failureOf(case_: FuzzCase, canary: string | null): Promise<Error | null> {
  try {
    await case_.play(canary);
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Of several plays the first in which something goes wrong. */
export async function failureOfPlays(
  case_: FuzzCase,
  canary: string | null,
  plays = 1,
): Promise<Error | null> {
  for (let play = 0; play < plays; play++) {
    const failure = await failureOf(case_, canary);
    if (failure !== null) return failure;
  }
  return null;
}

/** So many smaller cases are played at most for one finding. */
const SHRINK_TRIES_MAX = 3000;

/** The smallest case that can be found which goes wrong in the same way. */
export async function shrinkCase(
  failing: FuzzCase,
  canary: string | null,
  plays = 1,
): Promise<FuzzCase> {
  const kind = kindOf(await failureOfPlays(failing, canary, plays));
  const showsIt = async (candidate: FuzzCase): Promise<boolean> => {
    for (let play = 0; play < plays; play++) {
      if (kindOf(await failureOf(candidate, canary)) !== kind) return false;
    }
    return true;
  };
  let smallest = failing;
  let tries = 0;
  for (let found = true; found && tries < SHRINK_TRIES_MAX; ) {
    found = false;
    for (const candidate of smallest.smaller()) {
      tries += 1;
      if (tries > SHRINK_TRIES_MAX) break;
      if (!(await showsIt(candidate))) continue;
      smallest = candidate;
      found = true;
      break;
    }
  }
  return smallest;
}

/** Failures of one kind differ in numbers at most. */
export function kindOf(error: Error | null): string | null {
  return error === null ? null : `${error.name} ${error.message.replace(/\d+/g, 'N')}`;
}

/** Cases kept: mistakes found before, and beginnings worth mutating. */
export interface CorpusEntry {
  readonly name: string;
  readonly text: string;
}
