/**
 * Verbs that change a device take turns, so that two clients who want opposite things get one after
 * the other, whole.
 */

import type { MappedDevice } from '../dm/mapped-device.ts';

export class DeviceTurns {
  readonly #last = new WeakMap<MappedDevice, Promise<unknown>>();

  run<T>(device: MappedDevice, work: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(device) ?? Promise.resolve()).then(work);
    this.#last.set(
      device,
      result.catch(() => undefined),
    );
    return result;
  }
}
