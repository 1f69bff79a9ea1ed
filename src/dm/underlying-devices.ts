/**
 * The devices below targets, by the name in the table: opened once, counted, closed with the last
 * user. Counterpart: `dm_get_device` and `dm_put_device`.
 *
 * Two names of one file (a link, another path) give one device, as two paths of one disk do in the
 * kernel; so the thing is identified before it is opened, and locked, a second time.
 */

import { assert } from '../base/assert.ts';
import { EBUSY } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { KeyedTurns } from '../base/keyed-turns.ts';
import type { BlockDevice } from '../block/block-device.ts';
import type { DeviceUse } from './target-context.ts';

export interface DeviceOpener {
  /** Equal for two names of the same thing. @throws UserError where the name means nothing. */
  identify(name: string): Promise<string>;
  /** @throws UserError saying why the device cannot be opened. */
  open(name: string, use?: DeviceUse): Promise<BlockDevice>;
  /** Each user opens it for itself, so that what is below can count its users. */
  isOpenedByEach?(identity: string): boolean;
}

interface Entry {
  readonly identity: string;
  readonly listedOnly: boolean;
  readonly shared: boolean;
  /** Where each user opens it. */
  readonly user: object | null;
  readonly device: BlockDevice;
  users: number;
}

export class UnderlyingDevices {
  readonly #opener: DeviceOpener;
  readonly #entries: Entry[] = [];
  /**
   * By identity: opening and closing of one thing take turns, so that two users never open it
   * twice. Others do not wait: a server far away may take its time.
   */
  readonly #turns = new KeyedTurns<string>();

  constructor(opener: DeviceOpener) {
    this.#opener = opener;
  }

  /** For the `user`, which stands for all that asks on its behalf. @throws UserError */
  async get(name: string, use: DeviceUse = {}, user: object | null = null): Promise<BlockDevice> {
    const listedOnly = use.listedOnly ?? false;
    const shared = use.shared ?? false;
    const identity = await this.#opener.identify(name);
    return this.#turns.run(identity, async () => {
      const owner = this.#opener.isOpenedByEach?.(identity) === true ? user : null;
      let entry = this.#entries.find(
        (one) => one.identity === identity && one.listedOnly === listedOnly && one.user === owner,
      );
      if (entry === undefined) {
        const device = await this.#opener.open(name, use);
        entry = { identity, listedOnly, shared, user: owner, device, users: 0 };
        this.#entries.push(entry);
      } else entry.device.measureAgain?.();
      if (entry.shared !== shared) throw mixedUse(name, entry.shared);
      entry.users += 1;
      return entry.device;
    });
  }

  async put(device: BlockDevice): Promise<void> {
    const entry = this.#entries.find((one) => one.device === device);
    assert(entry !== undefined, `Device "${device.name}" is given back but is not open`);
    return this.#turns.run(entry.identity, async () => {
      entry.users -= 1;
      if (entry.users > 0) return;
      this.#entries.splice(this.#entries.indexOf(entry), 1);
      await device.close();
    });
  }
}

function mixedUse(name: string, isShared: boolean): UserError {
  const [now, then] = isShared ? ['with other nodes', 'alone'] : ['alone', 'with other nodes'];
  return new UserError(
    'device-busy',
    `Cannot open "${name}": it is in use here ${now}, must not be used ${then} at the same time`,
    { errno: EBUSY, hint: 'Remove the device that uses it first.' },
  );
}
