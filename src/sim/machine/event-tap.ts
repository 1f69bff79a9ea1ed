/**
 * The outermost filter of a simulated device: every submission and every completion is an event.
 */

import type { IoResult } from '../../base/errno.ts';
import type { Bio } from '../../block/bio.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import { DeviceFilter } from '../../fault/filter.ts';
import type { PowerDomain } from '../../fault/power-domain.ts';

export interface TapListener {
  /** The device has the request. */
  submitted(bio: Bio): void;
  /** It has taken effect; the submitter has not heard yet, and never will if the power goes now. */
  ended(bio: Bio, result: IoResult): void;
}

export class EventTap extends DeviceFilter {
  readonly #power: PowerDomain;
  readonly #listener: TapListener;

  constructor(next: BlockDevice, power: PowerDomain, listener: TapListener) {
    super(next);
    this.#power = power;
    this.#listener = listener;
  }

  override submit(bio: Bio): void {
    if (!this.#power.on) return;
    this.forward(bio, (result) => {
      if (!this.#power.on) return;
      this.#listener.ended(bio, result);
      if (this.#power.on) bio.end(result);
    });
    // Submitted first, so that a cut at this event finds the request in flight. A request that was
    // answered at once may belong to its submitter again; its fields still tell what it was.
    if (this.#power.on) this.#listener.submitted(bio);
  }
}
