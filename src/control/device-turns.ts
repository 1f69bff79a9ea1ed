/**
 * Verbs that change a device take turns, so that two clients who want opposite things get one after
 * the other, whole.
 */

import { UserError } from '../base/failure.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';

export class DeviceTurns {
  readonly #last = new WeakMap<MappedDevice, Promise<unknown>>();
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  /** @throws UserError once the daemon is stopping. */
  run<T>(device: MappedDevice, work: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(device) ?? Promise.resolve()).then(() => {
      this.checkOpen();
      return work();
    });
    const ended = result
      .catch(() => undefined)
      .then(() => {
        this.#running.delete(ended);
      });
    this.#last.set(device, ended);
    this.#running.add(ended);
    return result;
  }

  /** Ends when nobody is at the device any more, nor waits for it. */
  async through(device: MappedDevice): Promise<void> {
    await this.#last.get(device);
  }

  /** @throws UserError once the daemon is stopping. */
  checkOpen(): void {
    if (!this.#closed) return;
    throw new UserError('stopping', 'Cannot change devices any more: the daemon is stopping');
  }

  /** No device is changed any more; ends when those who were at it are through. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#running);
  }
}
