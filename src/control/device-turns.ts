/**
 * Verbs that change a device take turns, so that two clients who want opposite things get one after
 * the other, whole. A suspend may wait long for what is in flight; what the kernel does meanwhile,
 * too, is done beside it.
 */

import { UserError } from '../base/failure.ts';
import { KeyedTurns } from '../base/keyed-turns.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';

export class DeviceTurns {
  readonly #turns = new KeyedTurns<MappedDevice>();
  /** Turns within a long one. */
  readonly #beside = new KeyedTurns<MappedDevice>();
  readonly #inLongTurn = new Set<MappedDevice>();
  #closed = false;

  /** @throws UserError once the daemon is stopping. */
  run<T>(device: MappedDevice, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(device, () => {
      this.checkOpen();
      return work();
    });
  }

  /** As `run`; what is to be done `beside` does not wait for its end. @throws UserError */
  runLong<T>(device: MappedDevice, work: () => Promise<T>): Promise<T> {
    return this.run(device, async () => {
      this.#inLongTurn.add(device);
      try {
        return await work();
      } finally {
        this.#inLongTurn.delete(device);
        await this.#beside.through(device);
      }
    });
  }

  /** At once where the device is in a long turn, else in a turn of its own. @throws UserError */
  beside<T>(device: MappedDevice, work: () => Promise<T>): Promise<T> {
    if (!this.#inLongTurn.has(device)) return this.run(device, work);
    return this.#beside.run(device, () => {
      this.checkOpen();
      return work();
    });
  }

  /** Ends when nobody is at the device any more, nor waits for it. */
  through(device: MappedDevice): Promise<void> {
    return this.#turns.through(device);
  }

  /** @throws UserError once the daemon is stopping. */
  checkOpen(): void {
    if (!this.#closed) return;
    throw new UserError('stopping', 'Cannot change devices any more: the daemon is stopping');
  }

  /** No device is changed any more; ends when those who were at it are through. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turns.allThrough();
  }
}
