/** The exports of a server by name, in the order in which they were added. */

import { UserError } from '../../base/failure.ts';
import { printable } from '../../base/printable.ts';
import { AlignDevice } from '../../block/align-device.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import { Export, type ExportOptions } from './export.ts';

export class ExportList {
  readonly #byName = new Map<string, Export>();
  /** Two exports of one device must not undo each other's unaligned writes. */
  readonly #byteDevices = new WeakMap<BlockDevice, AlignDevice>();

  /** @throws UserError for a name that is taken, or that cannot be served. */
  add(options: ExportOptions): Export {
    this.#checkFree(options.name);
    const bytes = this.#byteDevices.get(options.device) ?? new AlignDevice(options.device);
    const added = new Export(options, bytes);
    this.#byteDevices.set(options.device, bytes);
    this.#byName.set(added.name, added);
    return added;
  }

  /** Clients stay. @throws UserError for a name that is taken, or that cannot be served. */
  rename(from: string, to: string): void {
    const found = this.#byName.get(from);
    if (found === undefined || from === to) return;
    this.#checkFree(to);
    found.rename(to);
    this.#byName.delete(from);
    this.#byName.set(to, found);
  }

  remove(name: string): Export | undefined {
    const removed = this.#byName.get(name);
    this.#byName.delete(name);
    return removed;
  }

  /** The export that a client means: "" is the one of that name, or else the only one. */
  find(name: string): Export | undefined {
    const found = this.#byName.get(name);
    if (found !== undefined || name !== '' || this.#byName.size !== 1) return found;
    return this.all[0];
  }

  get all(): Export[] {
    return [...this.#byName.values()];
  }

  /** What LIST shows: the unnamed export only where it is the sole one. */
  get listed(): Export[] {
    if (this.#byName.size === 1) return this.all;
    return this.all.filter((one) => one.name !== '');
  }

  #checkFree(name: string): void {
    if (!this.#byName.has(name)) return;
    throw new UserError(
      'export-exists',
      `Cannot export "${printable(name)}": the name is taken, must be unique`,
    );
  }
}
