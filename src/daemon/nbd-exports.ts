/**
 * Glue: each mapped device with a live table is an NBD export; each connection to it uses the
 * device.
 */

import { UserError } from '../base/failure.ts';
import type { Logger } from '../base/log.ts';
import type { DeviceExports } from '../control/control-host.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import type { Table } from '../dm/table.ts';
import type { Export } from '../nbd/server/export.ts';
import type { NbdServer } from '../nbd/server/server.ts';
import { regionContexts } from './region-context.ts';

const DESCRIPTION_BYTES_MAX = 255;

export interface NbdExportsOptions {
  /** Region states also look like a dirty bitmap of qemu. */
  readonly withAlias: boolean;
  /** Of each export. */
  readonly connectionsMax: number;
  /** Names under which nothing is served in the clear. */
  readonly tlsOnly: readonly string[];
}

export class NbdExports implements DeviceExports {
  readonly #server: NbdServer;
  readonly #log: Logger;
  readonly #options: NbdExportsOptions;
  readonly #shown = new Map<MappedDevice, Export>();

  constructor(server: NbdServer, log: Logger, options: NbdExportsOptions) {
    this.#server = server;
    this.#log = log;
    this.#options = options;
  }

  show(device: MappedDevice): void {
    this.showAs(device, device.name);
  }

  /** Under a name of its own. @throws UserError where it cannot be exported. */
  showAs(device: MappedDevice, name: string): void {
    if (this.#shown.has(device) || device.liveTable === null) return;
    const { withAlias, connectionsMax, tlsOnly } = this.#options;
    const shown = this.#server.addExport({
      name,
      description: () => (device.liveTable === null ? '' : describeTable(device.liveTable)),
      device,
      contexts: regionContexts(device, { withAlias }),
      connectionsMax,
      tlsOnly: tlsOnly.includes(name),
      onAttached: () => device.opened(),
      onDetached: () => device.released(),
    });
    this.#shown.set(device, shown);
  }

  async hide(device: MappedDevice): Promise<void> {
    const shown = this.#shown.get(device);
    if (shown === undefined) return;
    this.#shown.delete(device);
    await this.#server.removeExport(shown.name);
  }

  renamed(device: MappedDevice): void {
    const shown = this.#shown.get(device);
    if (shown === undefined) return;
    try {
      this.#server.renameExport(shown.name, device.name);
    } catch (error) {
      // Only an export with a name of its own can be in the way. The device is renamed all the
      // same.
      if (!(error instanceof UserError)) throw error;
      this.#log.warn(error.message);
    }
  }

  clientsOf(device: MappedDevice): number {
    return this.#shown.get(device)?.connectionCount ?? 0;
  }
}

/** For people who list exports: types of targets, and the devices below. */
function describeTable(table: Table): string {
  const used = table.targets.flatMap(({ target }) => target.devices);
  const names = (chosen: typeof used): string[] => [
    ...new Set(chosen.map(({ device }) => device.name)),
  ];
  const legs = names(used.filter(({ length }) => length > 0));
  const logs = names(used.filter(({ length }) => length === 0));
  const types = [...new Set(table.targets.map(({ type }) => type.name))].join(', ');
  const text = `${types} of ${legs.join(', ')}${logs.length > 0 ? `, log ${logs.join(', ')}` : ''}`;
  if (legs.length === 0) return types.slice(0, DESCRIPTION_BYTES_MAX);
  return Buffer.byteLength(text) <= DESCRIPTION_BYTES_MAX ? text : `${types}: ${legs.length} legs`;
}
