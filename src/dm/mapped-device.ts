/**
 * A mapped device: a live table, an inactive one, and the life cycle between them.
 *
 * Counterpart: `struct mapped_device` (specification 6.1). Invariants: while suspended no request
 * is in a table, arriving ones are deferred in order; a request that a target put back during a
 * noflush suspend is deferred too and reaches the next live table; a retired table is destroyed
 * only after the new one has resumed, and has nothing left to write by then.
 */

import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { EINVAL, EIO, EOPNOTSUPP, type IoResult, OK } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import type { Logger } from '../base/log.ts';
import type { Probe } from '../base/probe.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../base/units.ts';
import { learnAllocation, unknownAllocation } from '../block/allocation.ts';
import { type Bio, isWriteOp } from '../block/bio.ts';
import type {
  Allocation,
  AllocationLearnt,
  BlockDevice,
  DeviceCapabilities,
} from '../block/block-device.ts';
import { EventCounter } from './event-counter.ts';
import { InactiveSlot } from './inactive-slot.ts';
import { RequestCounts } from './request-counts.ts';
import { BioSplitter } from './split-bio.ts';
import { Table, type TableLimits } from './table.ts';
import type { TableLine } from './table-line.ts';
import { REQUEUE, type Target } from './target.ts';
import type { TargetTypes } from './target-types.ts';
import { Turns } from './turns.ts';
import type { UnderlyingDevices } from './underlying-devices.ts';

export interface MappedDeviceOptions {
  readonly name: string;
  readonly uuid?: string;
  /** The N of 253:N. */
  readonly minor?: number;
  readonly readOnly?: boolean;
  /** The event number has risen. */
  readonly onEvent?: (device: MappedDevice) => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly probe: Probe;
  readonly targetTypes: TargetTypes;
  readonly devices: UnderlyingDevices;
}

/** Before the first table. */
const NO_LIMITS: TableLimits = { discard: false, writeZeroes: false, flush: false };

export class MappedDevice implements BlockDevice {
  readonly minor: number;
  readonly requestCounts = new RequestCounts();
  #name: string;
  #uuid: string;
  readonly #options: MappedDeviceOptions;
  #live: Table | null = null;
  readonly #inactive = new InactiveSlot();
  #limits: TableLimits = NO_LIMITS;
  /** New requests are deferred. True until the first table is live. */
  #blocked = true;
  /** As in the kernel, a device without a table is not suspended unless it was told so. */
  #suspended = false;
  #noflushSuspending = false;
  #inFlight = 0;
  #deferred: Bio[] = [];
  #idleWaiters: (() => void)[] = [];
  /** Uses by clients and by tables of other devices. */
  #openCount = 0;
  #onUnused: (() => void) | null = null;
  readonly #events = new EventCounter();
  /** What changes the state of the device takes turns. */
  readonly #turns = new Turns(() => this.#goOn());
  #wasLoaded = false;
  /** It is not to stay suspended. */
  #keepsRunning = false;
  readonly #splitter = new BioSplitter((bio, result) => this.#ended(bio, result));

  constructor(options: MappedDeviceOptions) {
    this.#options = options;
    this.#name = options.name;
    this.#uuid = options.uuid ?? '';
    this.minor = options.minor ?? 0;
  }

  get name(): string {
    return this.#name;
  }

  get uuid(): string {
    return this.#uuid;
  }

  /** For the device map only, which knows what is taken. Whoever waits for an event looks again. */
  rename(to: { readonly name?: string; readonly uuid?: string }): void {
    this.#name = to.name ?? this.#name;
    this.#uuid = to.uuid ?? this.#uuid;
    if (this.#live !== null) this.#event();
  }

  get sizeSectors(): SectorCount {
    return this.#live?.sizeSectors ?? (0 as SectorCount);
  }

  get logicalBlockSize(): number {
    return this.#live?.logicalBlockSize ?? SECTOR_SIZE;
  }

  /** As when the live table became live; what devices below learn later does not count. */
  get capabilities(): DeviceCapabilities {
    return { readOnly: this.readOnly, rotational: false, ...this.#limits };
  }

  get suspended(): boolean {
    return this.#suspended;
  }

  get liveTable(): Table | null {
    return this.#live;
  }

  get inactiveTable(): Table | null {
    return this.#inactive.table;
  }

  /** All that it has, one that is about to go live too. */
  get tables(): readonly Table[] {
    return [...(this.#live === null ? [] : [this.#live]), ...this.#inactive.tables];
  }

  /** As in the kernel, it can be opened once a table has been loaded, live or not. */
  get wasLoaded(): boolean {
    return this.#wasLoaded;
  }

  /** As of the live table; before there is one, as the device was made. */
  get readOnly(): boolean {
    return this.#live?.readOnly ?? this.#options.readOnly ?? false;
  }

  get openCount(): number {
    return this.#openCount;
  }

  /** Somebody uses the device from now on. */
  opened(): void {
    this.#openCount += 1;
  }

  released(): void {
    this.#openCount -= 1;
    assert(this.#openCount >= 0, `Device "${this.name}" is released more often than opened`);
    if (this.#openCount === 0) this.#onUnused?.();
  }

  /** Told each time that the last user has gone, from now on; null: nobody cares any more. */
  whenUnused(onUnused: (() => void) | null): void {
    this.#onUnused = onUnused;
  }

  /** Somebody waits to remove it. */
  get removesWhenUnused(): boolean {
    return this.#onUnused !== null;
  }

  /** Requests in its table now, and requests that wait for it to be resumed. */
  get requests(): { readonly inFlight: number; readonly deferred: number } {
    return { inFlight: this.#inFlight, deferred: this.#deferred.length };
  }

  get eventNumber(): number {
    return this.#events.number;
  }

  /** For those who look for clients that were not forgotten. */
  get eventWaiterCount(): number {
    return this.#events.waiterCount;
  }

  /**
   * Ends with the event number as soon as it is another than `seen`, which the kernel, too, does
   * not compare by size; and with the same one when the device is removed, or `signal` says to
   * give up.
   */
  waitForEvent(seen: number, signal?: AbortSignal): Promise<number> {
    return this.#events.waitFor(seen, signal);
  }

  /**
   * What lies behind the end of the device, what it has no use for, or does not offer, ends at
   * once, in whatever state the device is. A user may have asked before the table was replaced: who
   * was deferred comes here again.
   */
  submit(bio: Bio): void {
    const { op } = bio;
    const { sizeSectors } = this;
    if (bio.sector + bio.count > sizeSectors) {
      bio.fail(EIO, `Device "${this.name}" has ${sizeSectors} sectors`);
      return;
    }
    const { flush, discard, writeZeroes } = this.#limits;
    if (op === 'flush' && !flush) {
      bio.end(OK);
      return;
    }
    if ((op === 'discard' && !discard) || (op === 'write-zeroes' && !writeZeroes)) {
      bio.fail(EOPNOTSUPP, `Device "${this.name}" does not ${op}`);
      return;
    }
    if (this.#blocked) {
      this.#deferred.push(bio);
      return;
    }
    this.#start(bio);
  }

  /**
   * Builds a table in the inactive slot, in place of one that was there; also while a suspend or
   * resume is under way. @throws UserError
   */
  load(lines: readonly TableLine[], options: { readOnly?: boolean } = {}): Promise<void> {
    const { clock, log, probe, targetTypes, devices, readOnly = false } = this.#options;
    return this.#inactive.fill(async () => {
      const table = await Table.create(
        {
          deviceName: this.name,
          readOnly: options.readOnly ?? readOnly,
          clock,
          log,
          probe,
          targetTypes,
          getDevice: (name, options) => devices.get(name, options, this),
          putDevice: (device) => devices.put(device),
          noflushSuspending: () => this.#noflushSuspending,
        },
        lines,
      );
      this.#wasLoaded = true;
      return table;
    });
  }

  /** Drops the inactive table, if any. */
  clear(): Promise<void> {
    return this.#inactive.clear();
  }

  /**
   * Stops the device: what targets hold back is put back (`noflush`) or failed, requests in flight
   * end, new ones wait.
   */
  suspend(options: { noflush: boolean }): Promise<void> {
    return this.#turns.run(() => this.#suspend(options.noflush));
  }

  /**
   * Makes an inactive table live, suspending first where that was not done, and lets requests go
   * on.
   *
   * @throws UserError where there is neither a live nor an inactive table.
   */
  resume(): Promise<void> {
    return this.#turns.run(() => this.#resume());
  }

  /**
   * Takes the device down in order: suspends it (requests held back fail), destroys its tables,
   * fails what is deferred. Nothing is submitted afterwards.
   */
  close(): Promise<void> {
    return this.#turns.run(async () => {
      await this.#suspend(false);
      await this.#inactive.close();
      const live = this.#live;
      this.#live = null;
      const deferred = this.#deferred;
      this.#deferred = [];
      this.#blocked = false;
      for (const bio of deferred) bio.fail(EIO, `Device "${this.name}" is removed`);
      await live?.destroy();
      this.#events.wake();
    });
  }

  /**
   * Nobody will resume it any more: where it is suspended it goes on, with its live table, once
   * those who are at it are through. Before a stop, for a device below others: these could not end
   * what they have begun, and to fail it might have them acknowledge what only one leg has.
   */
  keepRunning(): void {
    this.#keepsRunning = true;
    this.#goOn();
  }

  #goOn(): void {
    if (!this.#keepsRunning || !this.#suspended || this.#live === null) return;
    if (!this.#turns.isIdle) return;
    void this.#turns.run(async () => {
      await this.#inactive.clear();
      await this.#resume();
    });
  }

  async #suspend(noflush: boolean): Promise<void> {
    if (this.#suspended) return;
    if (this.#live === null) {
      this.#suspended = true;
      return;
    }
    this.#noflushSuspending = noflush;
    await this.#live.presuspend();
    this.#blocked = true;
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
    assert(this.#inFlight === 0, 'Requests in flight in a suspended device');
    await this.#live.postsuspend();
    this.#noflushSuspending = false;
    this.#suspended = true;
  }

  async #resume(): Promise<void> {
    let retired: Table | null = null;
    const next = this.#inactive.take();
    if (next !== null) {
      await this.#suspend(false);
      retired = this.#live;
      retired?.bind(null);
      this.#live = next;
      this.#inactive.becameLive();
      this.#limits = next.limits();
      next.bind(() => this.#event());
      if (retired !== null) this.#options.probe.reached('F5', -1, -1);
    }
    const live = this.#live;
    if (live === null) {
      if (!this.#suspended) return;
      throw new UserError('no-table', `Cannot resume device "${this.name}": it has no table`, {
        hint: 'Load a table first',
        errno: EINVAL,
      });
    }
    if (this.#suspended) {
      await live.resume();
      this.#suspended = false;
      this.#release();
    }
    await retired?.destroy();
  }

  /** Lets deferred requests go, in the order of their coming, before any that comes meanwhile. */
  #release(): void {
    const deferred = this.#deferred;
    this.#deferred = [];
    this.#blocked = false;
    for (const bio of deferred) this.submit(bio);
  }

  /**
   * As the live table says. A request that came while the device is suspended would meet a table
   * that nobody knows yet.
   */
  allocation(sector: Sector, count: SectorCount): Allocation {
    const there = this.#whereAllocated(sector, count);
    if (there === null) return unknownAllocation(count);
    const { target, within } = there;
    return target.allocation?.(there.sector, within) ?? unknownAllocation(within);
  }

  learnAllocation(sector: Sector, count: SectorCount, done: AllocationLearnt): void {
    const there = this.#whereAllocated(sector, count);
    if (there === null) done(count);
    else learnAllocation(there.target, there.sector, there.within, done);
  }

  #whereAllocated(
    sector: Sector,
    count: SectorCount,
  ): { readonly target: Target; readonly sector: Sector; readonly within: SectorCount } | null {
    const table = this.#live;
    if (table === null || this.#blocked || sector >= table.sizeSectors) return null;
    const { start, length, target } = table.find(sector);
    const within = Math.min(count, start + length - sector) as SectorCount;
    return { target, sector: (sector - start) as Sector, within };
  }

  #start(bio: Bio): void {
    const table = this.#live;
    if (table === null) {
      bio.fail(EIO, `Device "${this.name}" has no table`);
      return;
    }
    if (table.readOnly && isWriteOp(bio.op)) {
      bio.fail(EIO, `Device "${this.name}" is read-only`);
      return;
    }
    this.#inFlight += 1;
    this.requestCounts.count(bio);
    this.#splitter.send(table, bio);
  }

  #ended(bio: Bio, result: IoResult | typeof REQUEUE): void {
    this.#inFlight -= 1;
    if (result === REQUEUE && this.#noflushSuspending) this.#deferred.push(bio);
    else bio.end(result === REQUEUE ? EIO : result);
    if (this.#inFlight === 0) this.#becameIdle();
  }

  #becameIdle(): void {
    if (this.#idleWaiters.length === 0) return;
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const waiter of waiters) waiter();
  }

  #event(): void {
    this.#events.count();
    this.#options.probe.reached('F1', -1, -1);
    this.#options.onEvent?.(this);
  }
}
