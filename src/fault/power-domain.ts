/**
 * The power supply of one machine: one switch takes it from all devices at one instant.
 *
 * After `cut`, nothing submitted to a member has any effect and nothing a member holds ever ends;
 * the program above keeps running, unheard, as a ghost. Turning power on again is for whoever has
 * decided what became of the unflushed writes (`VolatileCache.crash`).
 */

import type { Bio } from '../block/bio.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { DeviceFilter } from './filter.ts';

export class PowerDomain {
  #on = true;
  #cuts = 0;

  get on(): boolean {
    return this.#on;
  }

  /** How many times the power was cut: the life in which a request began. */
  get cuts(): number {
    return this.#cuts;
  }

  cut(): void {
    if (!this.#on) return;
    this.#on = false;
    this.#cuts += 1;
  }

  restore(): void {
    this.#on = true;
  }
}

/**
 * Puts a whole stack of devices and filters into a power domain: without power nothing enters and
 * nothing leaves, and what entered before a cut never leaves.
 */
export class PoweredDevice extends DeviceFilter {
  readonly #power: PowerDomain;

  constructor(next: BlockDevice, power: PowerDomain) {
    super(next);
    this.#power = power;
  }

  override submit(bio: Bio): void {
    if (!this.#power.on) return;
    const life = this.#power.cuts;
    this.forward(bio, (result) => {
      if (this.#power.on && this.#power.cuts === life) bio.end(result);
    });
  }
}
