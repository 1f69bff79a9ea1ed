/**
 * A disk with a write cache that a power cut empties.
 *
 * Fault model. The device below holds what is durable: the pristine contents. Writes stay here, as
 * a list, until a flush or FUA makes them durable; reads see the list on top of the medium. At a
 * power event each listed write has one of three fates: kept, lost, or torn, which is any subset of
 * its sectors. The profile narrows this (atomic groups of sectors) or widens it (a disk that lies
 * about flush or FUA). What must survive: every sector of a write that had *ended* when a flush
 * that ended was submitted, and of a FUA write that has ended. Nothing else is promised, and a
 * write in flight has the same three fates as an unflushed one.
 *
 * Invariants:
 * - the list is in the order in which writes took effect: ended ones by their end, then those in
 *   flight;
 * - a write leaves the list only when all its sectors are durable or superseded by durable ones;
 * - one request at a time reaches the medium, so that a read never falls between two steps of a
 *   flush.
 *
 * The cache also decides *when* requests end (`timing`), since only it knows what is in flight.
 * Counterpart: SQLite's crash VFS; the storage of TigerBeetle's simulator.
 */

import { type Awaitable, isPromise } from '../base/awaitable.ts';
import type { Clock } from '../base/clock.ts';
import { type IoResult, OK } from '../base/errno.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../base/units.ts';
import type { Bio } from '../block/bio.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { runBio } from '../block/run-bio.ts';
import { DEVICE_PROFILES, type DeviceProfile } from './device-profile.ts';
import { DeviceFilter } from './filter.ts';
import type { PowerDomain } from './power-domain.ts';
import { type Fate, permittedFate, UnflushedWrite } from './unflushed-write.ts';

export interface VolatileCacheOptions {
  /** Honest when absent. */
  readonly profile?: DeviceProfile;
  /** Without it, power is cut only by calling `crash`. */
  readonly power?: PowerDomain;
  /** How long each request takes; at once when absent. */
  readonly timing?: { readonly clock: Clock; delayMs(bio: Bio): number };
  /** What discarded sectors hold afterwards; a disk may do either. */
  readonly discard?: 'zeroes' | 'keeps';
}

export class VolatileCache extends DeviceFilter {
  readonly #profile: DeviceProfile;
  readonly #power: PowerDomain | undefined;
  readonly #timing: VolatileCacheOptions['timing'];
  readonly #discard: 'zeroes' | 'keeps';
  #ended: UnflushedWrite[] = [];
  #inFlight: UnflushedWrite[] = [];
  #nextId = 1;
  #life = 0;
  #mediumQueue: (() => Awaitable<void>)[] = [];
  #mediumBusy = false;

  constructor(next: BlockDevice, options: VolatileCacheOptions = {}) {
    super(next);
    this.#profile = options.profile ?? DEVICE_PROFILES['volatile-cache'];
    this.#power = options.power;
    this.#timing = options.timing;
    this.#discard = options.discard ?? 'zeroes';
  }

  get profile(): DeviceProfile {
    return this.#profile;
  }

  /** What a power event now would decide about: oldest effect first. */
  get unflushed(): readonly UnflushedWrite[] {
    return [...this.#ended, ...this.#inFlight];
  }

  override submit(bio: Bio): void {
    if (this.#power?.on === false) return;
    const work = this.#workFor(bio);
    const life = this.#life;
    this.#afterDelay(bio, () => {
      if (this.#alive(life)) this.#enqueue(bio, work);
    });
  }

  /** What a flush covers, and what a write holds, is settled at submission. */
  #workFor(bio: Bio): () => Awaitable<IoResult> {
    if (bio.op === 'read') return () => this.#read(bio);
    if (bio.op === 'flush') {
      const covered = this.#ended.slice();
      return () => this.#flush(covered);
    }
    const write = this.#accept(bio);
    return () => this.#settle(write);
  }

  /**
   * A power event: decides each unflushed write, forgets all that was in flight, and starts anew
   * with an empty cache over what survived. Requests from before never end.
   */
  async crash(decide: (write: UnflushedWrite) => Fate): Promise<void> {
    this.#life += 1;
    const unflushed = this.unflushed;
    this.#ended = [];
    this.#inFlight = [];
    this.#mediumQueue = [];
    for (const write of unflushed) {
      await this.#destage(write, permittedFate(write, decide(write), this.#profile));
    }
  }

  #alive(life: number): boolean {
    return this.#power?.on !== false && this.#life === life;
  }

  #afterDelay(bio: Bio, perform: () => void): void {
    if (this.#timing === undefined) perform();
    else this.#timing.clock.after(this.#timing.delayMs(bio), perform);
  }

  #accept(bio: Bio): UnflushedWrite | null {
    if (bio.op === 'discard' && this.#discard === 'keeps') return null;
    // Not `slice`: a Buffer's shares memory, and this one is the submitter's again at the end.
    const data = new Uint8Array(bio.count * SECTOR_SIZE);
    if (bio.data !== null) data.set(bio.data);
    const write = new UnflushedWrite({
      id: this.#nextId++,
      sector: bio.sector,
      count: bio.count,
      data,
      fua: bio.fua && this.#profile.honoursFua,
    });
    this.#inFlight.push(write);
    return write;
  }

  /** Queues the one step in which a request takes effect and ends. */
  #enqueue(bio: Bio, work: () => Awaitable<IoResult>): void {
    const life = this.#life;
    this.#mediumQueue.push(() => {
      if (!this.#alive(life)) return undefined;
      const outcome = work();
      if (isPromise(outcome)) return outcome.then((result) => this.#end(bio, result, life));
      return this.#end(bio, outcome, life);
    });
    this.#runMedium();
  }

  #end(bio: Bio, result: IoResult, life: number): void {
    if (this.#alive(life)) bio.end(result);
  }

  #runMedium(): void {
    while (!this.#mediumBusy && this.#mediumQueue.length > 0) {
      this.#mediumBusy = true;
      const outcome = this.#mediumQueue.shift()!();
      if (isPromise(outcome)) {
        void outcome.then(() => {
          this.#mediumBusy = false;
          this.#runMedium();
        });
        return;
      }
      this.#mediumBusy = false;
    }
  }

  #read(bio: Bio): Awaitable<IoResult> {
    const overlaid = (result: IoResult): IoResult => {
      if (result === OK) this.#overlay(bio);
      return result;
    };
    const outcome = runBio(this.next, {
      op: 'read',
      sector: bio.sector,
      count: bio.count,
      data: bio.data,
    });
    return isPromise(outcome) ? outcome.then(overlaid) : overlaid(outcome);
  }

  #overlay(bio: Bio): void {
    for (const write of this.#ended) {
      const first = Math.max(write.sector, bio.sector);
      const end = Math.min(write.sector + write.count, bio.sector + bio.count);
      for (let at = first; at < end; at++) {
        if (!write.touches(at)) continue;
        bio.data!.set(write.sectorData(at), (at - bio.sector) * SECTOR_SIZE);
      }
    }
  }

  /** The write takes effect: readers see it from now on. */
  #settle(write: UnflushedWrite | null): Awaitable<IoResult> {
    if (write === null) return OK;
    if (this.#profile.cached && !write.fua) {
      this.#ended.push(write);
      this.#landed(write);
      return OK;
    }
    return inOrder([
      () => this.#destage(write, 'kept'),
      () => {
        for (const older of this.#ended) older.supersede(write.sector, write.count);
        this.#ended = this.#ended.filter((older) => !older.spent);
        this.#landed(write);
        return OK;
      },
    ]);
  }

  #landed(write: UnflushedWrite): void {
    this.#inFlight = this.#inFlight.filter((other) => other !== write);
    write.end();
  }

  #flush(covered: readonly UnflushedWrite[]): Awaitable<IoResult> {
    if (!this.#profile.honoursFlush) return OK;
    return inOrder([
      ...covered.map((write) => () => this.#destage(write, 'kept')),
      () => runBio(this.next, { op: 'flush' }),
      () => {
        for (const write of covered) write.supersede(write.sector, write.count);
        this.#ended = this.#ended.filter((write) => !write.spent);
        return OK;
      },
    ]);
  }

  #destage(write: UnflushedWrite, fate: Fate): Awaitable<IoResult> {
    const steps: (() => Awaitable<IoResult>)[] = [];
    write.forEachSurvivingRun(fate, (sector, count, data) => {
      const run = { sector: sector as Sector, count: count as SectorCount, data };
      steps.push(() => runBio(this.next, { op: 'write', ...run, fua: write.fua }));
    });
    return inOrder(steps);
  }
}

/**
 * Runs the steps one after the other up to the first that fails; at once where they answer at once.
 */
function inOrder(steps: readonly (() => Awaitable<IoResult>)[]): Awaitable<IoResult> {
  for (const [index, step] of steps.entries()) {
    const outcome = step();
    if (isPromise(outcome)) {
      return outcome.then((result) => (result === OK ? inOrder(steps.slice(index + 1)) : result));
    }
    if (outcome !== OK) return outcome;
  }
  return OK;
}
