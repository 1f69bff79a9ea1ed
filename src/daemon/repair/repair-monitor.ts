/**
 * Repairs mirrors by themselves: listens to the events of each device, and replaces a table whose
 * leg or log has failed. Counterpart: dmeventd with its mirror plugin (specification 13.1). Off
 * unless the operator has asked for it.
 *
 * Never a loop: a device is looked at once an event, a repair ends after so many attempts as there
 * are spares, and a table that could not be repaired is left alone until somebody loads another.
 */

import type { Clock, Timer } from '../../base/clock.ts';
import { UserError } from '../../base/failure.ts';
import type { LogFields, Logger } from '../../base/log.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import type { Table } from '../../dm/table.ts';
import { textOf } from '../../dm/table-line.ts';
import { isInSync } from '../../mirror/next-table.ts';
import { needsRepair, type Spare } from '../../mirror/repair-table.ts';
import { conditionsOf } from './mirror-condition.ts';
import {
  type RepairedTable,
  type RepairOptions,
  type RepairTools,
  repairDevice,
} from './repair-run.ts';

/** A device that somebody has suspended is looked at again after this. */
const SUSPENDED_RETRY_MS = 1000;

export interface RepairMonitorOptions extends RepairTools {
  readonly clock: Clock;
  readonly log: Logger;
  /** Changes of devices take turns with what people do to them. */
  readonly runInTurn: (device: MappedDevice, work: () => Promise<void>) => Promise<void>;
  /** Tells listeners. */
  readonly publish: (type: string, device: string, fields: LogFields) => void;
}

interface Watched {
  /** Something has happened that nobody has looked at yet. */
  isDue: boolean;
  isBusy: boolean;
  retry: Timer | null;
  /** A table of ours that is to be replaced once more when it is in sync. */
  unsettled: Table | null;
  /** A table that a repair has made, until it is in sync: what is copied is part of the repair. */
  repairing: Table | null;
  /** A table that could not be repaired. */
  givenUp: Table | null;
}

export class RepairMonitor {
  readonly #options: RepairMonitorOptions;
  readonly #watched = new WeakMap<MappedDevice, Watched>();
  readonly #timers = new Set<Timer>();
  /** Spares that were taken: one that is free again has failed as well. */
  readonly #taken = new Set<string>();
  #stopped = false;
  /** Repairs take turns, so that no two of them take the same spare. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: RepairMonitorOptions) {
    this.#options = options;
  }

  /** Something has happened to the device. */
  noticed(device: MappedDevice): void {
    const watched = this.#watch(device);
    watched.isDue = true;
    if (!watched.isBusy && !this.#stopped) void this.#serve(device, watched);
  }

  /** The live table begins with a word that was meant for one start, as a record says. */
  startedUnsettled(device: MappedDevice): void {
    const watched = this.#watch(device);
    watched.unsettled = device.liveTable;
    watched.repairing = device.liveTable;
    this.noticed(device);
  }

  /** No repair begins any more. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
  }

  #watch(device: MappedDevice): Watched {
    let watched = this.#watched.get(device);
    if (watched === undefined) {
      watched = {
        isDue: false,
        isBusy: false,
        retry: null,
        unsettled: null,
        repairing: null,
        givenUp: null,
      };
      this.#watched.set(device, watched);
    }
    return watched;
  }

  async #serve(device: MappedDevice, watched: Watched): Promise<void> {
    watched.isBusy = true;
    while (watched.isDue && !this.#stopped) {
      watched.isDue = false;
      try {
        await this.#options.runInTurn(device, () => this.#look(device, watched));
      } catch (error) {
        // The daemon is stopping.
        if (!(error instanceof UserError)) throw error;
      }
    }
    watched.isBusy = false;
  }

  async #look(device: MappedDevice, watched: Watched): Promise<void> {
    const table = device.liveTable;
    if (table === null || this.#stopped) return;
    const repairing = table === watched.repairing;
    const conditions = await conditionsOf(device, { repairing });
    const mirrors = conditions.flatMap(({ mirror }) => mirror ?? []);
    const isFailed = mirrors.some(needsRepair);
    if (repairing && !isFailed && mirrors.every(isInSync)) watched.repairing = null;
    const isDone = table === watched.unsettled && !isFailed && mirrors.every(isInSync);
    if (!isFailed && !isDone) return;
    if (isFailed && table === watched.givenUp) return;
    if (device.suspended) {
      this.#lookLater(device, watched);
      return;
    }
    await this.#repair(device, watched, { repairing, settling: isDone });
  }

  async #repair(device: MappedDevice, watched: Watched, options: RepairOptions): Promise<void> {
    const tools = { ...this.#options, inspectSpares: () => this.#inspectSpares(device) };
    const outcome = await this.#oneAtATime(() => repairDevice(device, tools, options));
    if (outcome.kind === 'healthy') return;
    if (outcome.kind === 'failed') {
      this.#giveUp(device, watched, outcome.reason, options);
      return;
    }
    const { table } = outcome;
    for (const spare of table.used) this.#taken.add(spare);
    this.#report(device.name, table);
    watched.repairing = device.liveTable;
    watched.unsettled = table.settles === null ? null : device.liveTable;
    // Each such turn is for a log on another spare.
    if (table.settles === 'at once') {
      await this.#repair(device, watched, { repairing: true, settling: true });
    }
  }

  /** What is live is safe; but a table that is not settled may copy more than it has to. */
  #giveUp(device: MappedDevice, watched: Watched, reason: string, options: RepairOptions): void {
    const { log, publish } = this.#options;
    const { name } = device;
    if (options.settling) {
      watched.unsettled = null;
      log.warn('repair: table not settled', { device: name, reason });
      return;
    }
    watched.givenUp = device.liveTable;
    log.error('mirror is not repaired, and left to the operator', { device: name, reason });
    publish('repair-failed', name, { reason });
  }

  async #inspectSpares(device: MappedDevice): Promise<readonly Spare[]> {
    const spares = await this.#options.inspectSpares(device);
    return spares.map((spare) =>
      spare.problem === null && this.#taken.has(spare.device)
        ? { ...spare, problem: 'it was taken before, and has failed' }
        : spare,
    );
  }

  #oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #report(device: string, table: RepairedTable): void {
    const { log, publish } = this.#options;
    const { old, lines, reasons, regionsAtRisk } = table;
    if (reasons.length === 0) {
      const settled = { old, new: textOf(lines) };
      log.info('repair: table settled', { device, ...settled });
      publish('settled', device, settled);
      return;
    }
    for (const reason of reasons) log.warn(`repair: ${reason}`, { device });
    const fields = { old, new: textOf(lines), reason: reasons.join('; '), regionsAtRisk };
    log.warn('repair: table replaced', { device, old, new: fields.new });
    if (regionsAtRisk > 0) {
      log.error('repair: the leg that was removed may have been the only one with the data', {
        device,
        regions: regionsAtRisk,
      });
    }
    publish('repaired', device, fields);
  }

  #lookLater(device: MappedDevice, watched: Watched): void {
    if (watched.retry !== null) return;
    const timer = this.#options.clock.after(SUSPENDED_RETRY_MS, () => {
      watched.retry = null;
      this.#timers.delete(timer);
      this.noticed(device);
    });
    watched.retry = timer;
    this.#timers.add(timer);
  }
}
