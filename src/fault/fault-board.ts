/**
 * All faults of a process: wraps every device that is opened, arms faults on them, counts, lists
 * and removes them.
 */

import type { Clock } from '../base/clock.ts';
import type { IoResult } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { FAULTS_MAX } from '../base/limits.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { ArmedFault } from './armed-fault.ts';
import type { FaultArea, FaultSpec } from './fault-spec.ts';
import { DeviceFaults, FaultableDevice } from './faultable-device.ts';

/** What a fault is armed on. */
export interface FaultPlace {
  /** The mapped device, and the word for what of it; as listed. */
  readonly device: string;
  readonly target: string;
  readonly underlying: FaultableDevice;
  readonly area: FaultArea;
}

export class FaultBoard {
  readonly #clock: Clock;
  readonly #byIdentity = new Map<string, DeviceFaults>();
  readonly #armed = new Map<ArmedFault, DeviceFaults>();
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The device, with whatever faults the thing of this identity has and will have. */
  wrap(identity: string, device: BlockDevice): FaultableDevice {
    let faults = this.#byIdentity.get(identity);
    if (faults === undefined) {
      faults = new DeviceFaults();
      this.#byIdentity.set(identity, faults);
    }
    return new FaultableDevice(device, faults);
  }

  /** @throws UserError for sectors outside of the place, or when there are too many. */
  arm(place: FaultPlace, spec: FaultSpec): ArmedFault {
    if (this.#armed.size >= FAULTS_MAX) {
      throw new UserError(
        'too-many-faults',
        `Cannot arm a fault: there are ${this.#armed.size}, at most ${FAULTS_MAX} are allowed`,
        { hint: 'Remove some; those that are spent count too.' },
      );
    }
    const { device, target, underlying, area } = place;
    const id = this.#lastId + 1;
    const fault = new ArmedFault({
      id,
      device,
      target,
      underlying: underlying.name,
      spec,
      area,
      clock: this.#clock,
    });
    this.#lastId = id;
    underlying.faults.arm(fault);
    this.#armed.set(fault, underlying.faults);
    return fault;
  }

  /** In the order in which they were armed; of one mapped device, or all. */
  list(device?: string): ArmedFault[] {
    const all = [...this.#armed.keys()];
    return device === undefined ? all : all.filter((fault) => fault.device === device);
  }

  remove(fault: ArmedFault, hanging: 'proceed' | IoResult = 'proceed'): void {
    this.#armed.get(fault)?.remove(fault);
    this.#armed.delete(fault);
    fault.disarm(hanging);
  }

  /** A mapped device has another name. */
  renamed(before: string, name: string): void {
    for (const fault of this.list(before)) fault.renameDevice(name);
  }

  /** Nothing hangs or is late any more, so that everything can end: before a stop. */
  releaseHeld(): void {
    for (const fault of this.list()) {
      if (fault.spec.kind === 'hang' || fault.spec.kind === 'delay') this.remove(fault);
    }
  }
}
