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
  /** Its own number, where it has one already; else the next free one is given. */
  readonly number?: string;
}

export class DeviceNumbers {
  readonly #underlying: Required<NumberedName>[] = [];
  readonly #minors = new Set<number>();

  /** Notes an underlying device, if it is new. */
  notice({ identity, name, number }: NumberedName): void {
    if (this.#find(identity) !== undefined) return;
    this.#underlying.push({ identity, name, number: number ?? this.#nextNumber() });
  }

  /** The number of an underlying device that was noticed. */
  ofIdentity(identity: string): string {
    const found = this.#find(identity);
    assert(found !== undefined, `Device ${identity} has no number`);
    return found.number;
  }

  /** The underlying device of a number; null when there is none. */
  find(number: string): NumberedName | null {
    const wanted = number.split(':').map(Number).join(':');
    return this.#underlying.find((known) => known.number === wanted) ?? null;
  }

  /**
   * A minor number for a mapped device, taken until `freeMinor`: the one that is wanted, or the
   * lowest free one. Null where another device has it.
   */
  takeMinor(wanted: number | null): number | null {
    let minor = wanted ?? 0;
    while (wanted === null && this.#minors.has(minor)) minor += 1;
    if (this.#minors.has(minor)) return null;
    this.#minors.add(minor);
    return minor;
  }

  freeMinor(minor: number): void {
    assert(this.#minors.delete(minor), `Minor number ${minor} is freed but not taken`);
  }

  #find(identity: string): Required<NumberedName> | undefined {
    return this.#underlying.find((known) => known.identity === identity);
  }

  #nextNumber(): string {
    const prefix = `${UNDERLYING_MAJOR}:`;
    const given = this.#underlying.filter(({ number }) => number.startsWith(prefix)).length;
    return `${prefix}${given * UNDERLYING_MINOR_STEP}`;
  }
}

/** True for a word that names a device by number. */
export function isDeviceNumber(word: string): boolean {
  return /^\d{1,5}:\d{1,10}$/.test(word);
}

/** True for a device number whose major is given out here. */
export function isOurMajor(number: string): boolean {
  return [MAPPED_DEVICE_MAJOR, UNDERLYING_MAJOR].includes(Number(number.split(':')[0]));
}
