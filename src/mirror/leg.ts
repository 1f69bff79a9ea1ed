/**
 * One leg of a mirror: its device, its offset, and what has gone wrong with it (specification 3.1,
 * 7.1).
 */

import type { Sector } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';

/** In the order in which the health letter looks for them. */
const HEALTH_LETTERS = { flush: 'F', write: 'D', sync: 'S', read: 'R' } as const;

export type LegError = keyof typeof HEALTH_LETTERS;
export type LegHealth = 'A' | 'U' | (typeof HEALTH_LETTERS)[LegError];

export class Leg {
  readonly index: number;
  readonly device: BlockDevice;
  /** First sector of the leg on its device. */
  readonly offset: Sector;
  #errorCount = 0;
  readonly #errorTypes = new Set<LegError>();

  constructor(options: { index: number; device: BlockDevice; offset: Sector }) {
    this.index = options.index;
    this.device = options.device;
    this.offset = options.offset;
  }

  get failed(): boolean {
    return this.#errorCount > 0;
  }

  get errorCount(): number {
    return this.#errorCount;
  }

  /** True when this is the first error of its type since the last reset. */
  recordError(type: LegError): boolean {
    this.#errorCount += 1;
    if (this.#errorTypes.has(type)) return false;
    this.#errorTypes.add(type);
    return true;
  }

  resetErrors(): void {
    this.#errorCount = 0;
    this.#errorTypes.clear();
  }

  get health(): LegHealth {
    if (this.#errorCount === 0) return 'A';
    for (const [type, letter] of Object.entries(HEALTH_LETTERS)) {
      if (this.#errorTypes.has(type as LegError)) return letter;
    }
    return 'U';
  }
}
