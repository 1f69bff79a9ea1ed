/**
 * The `major:minor` numbers that the emulator gives to devices, for tools that parse the kernel's
 * lines and for tables that name devices by number.
 *
 * Mapped devices are 253:N as the kernel counts them; underlying ones 254:0, 254:16, … in the order
 * in which they were first seen, and keep their number until the process ends.
 */

import { assert } from '../base/assert.ts';

export const MAPPED_DEVICE_MAJOR = 253;
const UNDERLYING_MAJOR = 254;
/** As disks are numbered, with room for partitions. */
const UNDERLYING_MINOR_STEP = 16;

export interface NumberedName {
  readonly identity: string;
  readonly name: string;
}

export class DeviceNumbers {
  readonly #underlying: NumberedName[] = [];
  readonly #minors = new Set<number>();

  /** Notes an underlying device, if it is new. */
  notice(seen: NumberedName): void {
    if (this.#indexOf(seen.identity) < 0) this.#underlying.push(seen);
  }

  /** The number of an underlying device that was noticed. */
  ofIdentity(identity: string): string {
    const index = this.#indexOf(identity);
    assert(index >= 0, `Device ${identity} has no number`);
    return `${UNDERLYING_MAJOR}:${index * UNDERLYING_MINOR_STEP}`;
  }

  /** The underlying device of a number; null when there is none. */
  find(number: string): NumberedName | null {
    const [major, minor] = number.split(':').map(Number);
    if (major !== UNDERLYING_MAJOR || minor === undefined) return null;
    if (minor % UNDERLYING_MINOR_STEP !== 0) return null;
    return this.#underlying[minor / UNDERLYING_MINOR_STEP] ?? null;
  }

  /** The lowest free minor number for a mapped device, taken until `freeMinor`. */
  takeMinor(): number {
    let minor = 0;
    while (this.#minors.has(minor)) minor += 1;
    this.#minors.add(minor);
    return minor;
  }

  freeMinor(minor: number): void {
    assert(this.#minors.delete(minor), `Minor number ${minor} is freed but not taken`);
  }

  #indexOf(identity: string): number {
    return this.#underlying.findIndex((known) => known.identity === identity);
  }
}

/** True for a word that names a device by number. */
export function isDeviceNumber(word: string): boolean {
  return /^\d{1,5}:\d{1,10}$/.test(word);
}
