/**
 * The place where a table is loaded before it goes live. What is done there takes turns of its own,
 * so that a suspend that waits is not in the way, as in the kernel (specification 6.1).
 */

import { ENXIO } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import type { Table } from './table.ts';
import { Turns } from './turns.ts';

export class InactiveSlot {
  readonly #turns = new Turns(() => {});
  #table: Table | null = null;
  /** Taken out of the slot, and about to go live. */
  #coming: Table | null = null;
  #closed = false;

  get table(): Table | null {
    return this.#table;
  }

  /** What is here, and what was here and is not live yet. */
  get tables(): readonly Table[] {
    return [this.#table, this.#coming].filter((table) => table !== null);
  }

  /** Puts a new table in the place of one that was there. @throws UserError */
  fill(create: () => Promise<Table>): Promise<void> {
    return this.#turns.run(async () => {
      if (this.#closed) {
        throw new UserError('no-device', 'Cannot load a table: the device is removed', {
          errno: ENXIO,
        });
      }
      const table = await create();
      const replaced = this.#table;
      this.#table = table;
      await replaced?.destroy();
    });
  }

  clear(): Promise<void> {
    return this.#turns.run(async () => {
      const table = this.#table;
      this.#table = null;
      await table?.destroy();
    });
  }

  /** Nothing comes here any more. */
  close(): Promise<void> {
    this.#closed = true;
    return this.clear();
  }

  /** The table for `becameLive`; what is loaded from now on is for the next time. */
  take(): Table | null {
    this.#coming = this.#table;
    this.#table = null;
    return this.#coming;
  }

  becameLive(): void {
    this.#coming = null;
  }
}
