/**
 * Another timing of the emulator: requests reach the mirror, and disks answer, sooner or later, and
 * its worker and its events come late. Everything of it is something that processors may do, and
 * that a client may see.
 */

import { Prng } from '../../../src/base/prng.ts';
import { VirtualClock } from '../../../src/sim/machine/virtual-clock.ts';

/** A disk takes a moment for any request: what it answers never comes at once. */
const REQUEST_MS = 0.01;

/** How long things take in a step: the plain timing takes none for all but disks. */
export class Timing {
  readonly #seeds: readonly number[];
  #prng: Prng | null = null;
  #onlyMirrorsAreLate = false;

  /** A seed for each step, 0 for the plain timing; those that are not there are 0. */
  constructor(seeds: readonly number[] = []) {
    this.#seeds = seeds;
  }

  beginStep(step: number): void {
    const seed = this.#seeds[step] ?? 0;
    this.#prng = seed === 0 ? null : new Prng(seed);
    // Where everything may be late, that all but one thing is in time is next to never drawn.
    this.#onlyMirrorsAreLate = this.#prng?.chance(1, 2) ?? false;
  }

  requestMs(): number {
    return this.#prng === null ? REQUEST_MS : this.#draw(this.#prng, REQUEST_MS / 4);
  }

  /** Of whatever may come late. */
  delayMs(): number {
    return this.#prng === null ? 0 : this.#draw(this.#prng, 0);
  }

  /** Of a request to a target of that type. */
  targetMs(type: string): number {
    return this.#onlyMirrorsAreLate && type !== 'mirror' ? 0 : this.delayMs();
  }

  /** Whether the kernel does, where it may or may not, what we depart from; see kernel-races.ts. */
  isKernels(): boolean {
    return this.#prng?.chance(1, 2) ?? false;
  }

  /** Mostly little, sometimes longer than some requests take. */
  #draw(prng: Prng, leastMs: number): number {
    if (prng.chance(1, 2)) return leastMs;
    return leastMs + (REQUEST_MS * prng.between(1, prng.chance(1, 2) ? 8 : 100)) / 8;
  }
}

/** A virtual clock on which what is deferred may come late. */
export class LateClock extends VirtualClock {
  readonly #timing: Timing;

  constructor(timing: Timing) {
    super();
    this.#timing = timing;
  }

  override defer(task: () => void): void {
    const delayMs = this.#timing.delayMs();
    if (delayMs === 0) super.defer(task);
    else this.after(delayMs, task);
  }
}
