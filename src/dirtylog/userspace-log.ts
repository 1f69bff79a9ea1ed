/**
 * The log that a server keeps: every question is a request to it (`log-channel.ts`).
 *
 * Marks and clears wait here until `flush` and then go in groups; everything else is asked or told
 * at once. What the log promises of durability is what its server promises: `flush` answers 0 only
 * when the server answered FLUSH, so that no leg sees a byte before. Where no server listens, a
 * request waits for one; a mirror without its log stands still. The legs are flushed before a clear
 * is sent, since the server cannot do it: a departure. Counterpart: dm-log-userspace-base
 * (specification 10).
 */

import { assert } from '../base/assert.ts';
import type { Awaitable } from '../base/awaitable.ts';
import type { Timer } from '../base/clock.ts';
import { errnoName, type IoResult, OK } from '../base/errno.ts';
import { ULOG_DELAYED_FLUSH_MS, ULOG_REMOTE_QUESTION_MS } from '../base/limits.ts';
import type { Region, SectorCount } from '../base/units.ts';
import type { DeviceNaming, StatusKind, TargetDevice } from '../dm/target.ts';
import type { TargetContext } from '../dm/target-context.ts';
import type { DirtyLog, DirtyLogCreation, DirtyLogType } from './dirty-log.ts';
import { LeaseWatch } from './lease-watch.ts';
import type { LogChannel } from './log-channel.ts';
import type { LogSession, SessionAnswer } from './log-session.ts';
import { type StallAlarm, sharedLogAlarm } from './stall-alarm.ts';
import { type Decoded, ULOG_DATA_BYTES_MAX } from './ulog-codec.ts';
import {
  type BareType,
  decodeCount,
  decodeFlag,
  decodeLease,
  decodeRemoteRecovering,
  decodeResyncWork,
  decodeStatus,
  type RegionsType,
  ULOG_CLEAR_REGION,
  ULOG_DTR,
  ULOG_FLUSH,
  ULOG_GET_RESYNC_WORK,
  ULOG_GET_SYNC_COUNT,
  ULOG_IN_SYNC,
  ULOG_IS_CLEAN,
  ULOG_IS_REMOTE_RECOVERING,
  ULOG_LEASE,
  ULOG_MARK_REGION,
  ULOG_POSTSUSPEND,
  ULOG_PRESUSPEND,
  ULOG_REGIONS_MAX,
  ULOG_SET_REGION_SYNC,
  ULOG_STATUS_INFO,
  type UlogRequest,
  ulogTypeName,
} from './ulog-payloads.ts';
import { constructUserspaceLog, parseUserspaceArgs, type UserspaceArgs } from './userspace-args.ts';

/** A log type over a channel; null: nobody said where a log server listens. */
export function createUserspaceLogType(channel: LogChannel | null): DirtyLogType {
  const type: DirtyLogType = {
    name: 'userspace',
    async create({ target, args, flushLegs, onWork }: DirtyLogCreation): Promise<DirtyLog> {
      const parsed = parseUserspaceArgs(args, target.length);
      const marked = new Set<Region>();
      const made = await constructUserspaceLog({
        channel,
        target,
        args: parsed,
        markedRegions: () => marked,
        onServerChanged: () => onWork?.(),
      });
      return new UserspaceLog({ type, target, args: parsed, flushLegs, onWork, marked, ...made });
    },
  };
  return type;
}

interface UserspaceLogParts {
  readonly type: DirtyLogType;
  readonly target: TargetContext;
  readonly args: UserspaceArgs;
  readonly flushLegs: () => Awaitable<IoResult>;
  readonly onWork: (() => void) | undefined;
  readonly marked: Set<Region>;
  readonly channel: LogChannel;
  readonly session: LogSession;
  readonly regionSizeSectors: SectorCount;
  readonly device: TargetDevice['device'] | null;
}

/** Room for a number, or for two. */
const ONE_NUMBER = 8;
const TWO_NUMBERS = 16;

class UserspaceLog implements DirtyLog {
  readonly type: DirtyLogType;
  readonly regionSizeSectors: SectorCount;
  readonly devices: readonly TargetDevice[];
  readonly shared: boolean;
  readonly #parts: UserspaceLogParts;
  readonly #session: LogSession;
  readonly #regionCount: number;
  /** Queued for the next flush. */
  #marks: Region[] = [];
  #clears: Region[] = [];
  /** What the server was told to be dirty and not to be clean: what it must not forget. */
  readonly #marked: Set<Region>;
  /** Regions below need no question about remote recovery (specification 10.7). */
  #inSyncHint = 0;
  #delayedFlush: Timer | null = null;
  /** Of a log that nodes share: until when this one may write. */
  readonly #lease: LeaseWatch | null;
  readonly #alarm: StallAlarm | null;
  /** Since the server said so there may be work, though all was in sync. */
  #mayHaveWork = false;
  /** The server that told the hint. */
  #hintGeneration = 0;
  /** A leg could not be flushed: nothing is called clean any more, as by a disk log (8.5). */
  #legsDistrusted = false;

  constructor(parts: UserspaceLogParts) {
    const { device } = parts;
    this.#parts = parts;
    this.type = parts.type;
    this.regionSizeSectors = parts.regionSizeSectors;
    this.devices = device === null ? [] : [{ device, start: 0, length: 0 }];
    this.#session = parts.session;
    this.#marked = parts.marked;
    this.shared = parts.args.shared;
    this.#lease = this.shared ? this.#watchLease() : null;
    this.#alarm = this.shared ? sharedLogAlarm(parts.target, parts.args.uuid) : null;
    this.#regionCount = Math.ceil(parts.target.length / parts.regionSizeSectors);
  }

  presuspend(): Promise<IoResult> {
    return this.#session.leave(ULOG_PRESUSPEND);
  }

  async postsuspend(): Promise<IoResult> {
    this.#lease?.stop();
    await this.#flushEarly();
    return this.#session.leave(ULOG_POSTSUSPEND);
  }

  async resume(): Promise<IoResult> {
    this.#inSyncHint = 0;
    const result = await this.#session.resume();
    this.#lease?.start();
    return result;
  }

  async destroy(): Promise<void> {
    this.#lease?.stop();
    this.#alarm?.stop();
    await this.#flushEarly();
    await this.#session.leave(ULOG_DTR);
    const { device, target } = this.#parts;
    if (device !== null) await target.putDevice(device);
  }

  async isClean(region: Region): Promise<boolean> {
    const request = { type: ULOG_IS_CLEAN, region } as const;
    const flag = await this.#ask(request, ONE_NUMBER, (data) => decodeFlag(ULOG_IS_CLEAN, data));
    return flag === 1;
  }

  /** 0 also where the server cannot tell. */
  async inSync(region: Region): Promise<number> {
    const request = { type: ULOG_IN_SYNC, region } as const;
    const flag = await this.#ask(request, ONE_NUMBER, (data) => decodeFlag(ULOG_IN_SYNC, data));
    return flag ?? 0;
  }

  inSyncNow(): 'would-block' {
    return 'would-block';
  }

  markRegion(region: Region): void {
    this.#assertRegion(region);
    this.#marks.push(region);
  }

  clearRegion(region: Region): void {
    this.#assertRegion(region);
    this.#clears.push(region);
  }

  /** Specification 10.6. What was queued is forgotten even where it did not arrive. */
  async flush(): Promise<IoResult> {
    if (this.#marks.length === 0 && this.#clears.length === 0) return OK;
    // The newest first, as the kernel sends them.
    const marks = this.#marks.reverse();
    let clears: readonly Region[] = this.#clears.reverse();
    this.#marks = [];
    this.#clears = [];
    if (clears.length > 0 && !(await this.#legsFlushed())) clears = [];
    const result = await this.#aloud(this.#flushQueued(marks, clears));
    if (result !== OK) this.#parts.target.event();
    return result;
  }

  async getResyncWork(): Promise<Region | null> {
    if (this.#hint >= this.#regionCount && !this.#mayHaveWork) return null;
    const request = { type: ULOG_GET_RESYNC_WORK } as const;
    const region = await this.#ask(request, TWO_NUMBERS, decodeResyncWork);
    if (region === null) this.#mayHaveWork = false;
    if (region === null || region < this.#regionCount) return region;
    this.#complain(ULOG_GET_RESYNC_WORK, `region ${region}, must be below ${this.#regionCount}`);
    return null;
  }

  async setRegionSync(region: Region, inSync: boolean): Promise<void> {
    await this.#session.request({ type: ULOG_SET_REGION_SYNC, region, inSync }, 0);
  }

  /** 0 also where the server cannot tell. */
  async getSyncCount(): Promise<number> {
    const count = await this.#inquire(ULOG_GET_SYNC_COUNT, ONE_NUMBER, (data) =>
      decodeCount(ULOG_GET_SYNC_COUNT, data),
    );
    if (count === null) return 0;
    if (count >= this.#regionCount) this.#takeHint(this.#regionCount);
    return count;
  }

  async status(kind: StatusKind, _nameOf: DeviceNaming): Promise<string> {
    if (kind === 'table') return this.#parts.args.tableText;
    const text = await this.#inquire(ULOG_STATUS_INFO, ULOG_DATA_BYTES_MAX, (data) =>
      decodeStatus(ULOG_STATUS_INFO, data),
    );
    return text ?? 'userspace 1 COM_FAILURE';
  }

  isRemoteRecovering(region: Region): Awaitable<boolean> {
    if (region < this.#hint) return false;
    if (!this.#parts.channel.mayAskRemote(ULOG_REMOTE_QUESTION_MS)) return true;
    return this.#askRemoteRecovering(region);
  }

  async #askRemoteRecovering(region: Region): Promise<boolean> {
    const request = { type: ULOG_IS_REMOTE_RECOVERING, region } as const;
    const answer = await this.#ask(request, TWO_NUMBERS, decodeRemoteRecovering);
    if (answer === null) return true;
    this.#takeHint(answer.inSyncHint);
    return answer.recovering;
  }

  untilWritable(): Awaitable<void> {
    const wait = this.#lease?.untilGood() ?? null;
    return wait === null ? undefined : this.#aloud(wait);
  }

  // --- nodes that share the log -----------------------------------------------------------------

  #watchLease(): LeaseWatch {
    return new LeaseWatch({
      clock: this.#parts.target.clock,
      ask: () => this.#ask({ type: ULOG_LEASE }, TWO_NUMBERS, decodeLease),
      onNews: () => {
        this.#mayHaveWork = true;
        this.#parts.onWork?.();
      },
    });
  }

  #aloud<T>(work: Promise<T>): Promise<T> {
    return this.#alarm === null ? work : this.#alarm.watch(work);
  }

  /**
   * Departure: a server that started anew does not know what the last one had told; it may have
   * regions to copy, and where nodes share the log it would not protect them.
   */
  get #hint(): number {
    return this.#hintGeneration === this.#session.generation ? this.#inSyncHint : 0;
  }

  #takeHint(hint: number): void {
    this.#inSyncHint = hint;
    this.#hintGeneration = this.#session.generation;
  }

  // --- flush --------------------------------------------------------------------------------

  async #legsFlushed(): Promise<boolean> {
    if (this.#legsDistrusted) return false;
    this.#legsDistrusted = (await this.#parts.flushLegs()) !== OK;
    return !this.#legsDistrusted;
  }

  async #flushQueued(marks: readonly Region[], clears: readonly Region[]): Promise<IoResult> {
    // Clears may have been dropped, and then there may be nothing left to say.
    if (marks.length === 0 && clears.length === 0) return OK;
    const cleared = await this.#sendGroups(ULOG_CLEAR_REGION, clears);
    if (cleared !== OK) return cleared;
    for (const region of clears) this.#marked.delete(region);
    for (const region of marks) this.#marked.add(region);
    if (this.#parts.args.integratedFlush) return this.#flushIntegrated(marks);
    const marked = await this.#sendGroups(ULOG_MARK_REGION, marks);
    return marked === OK ? this.#sendRegions(ULOG_FLUSH, []) : marked;
  }

  /** Marks travel in the flush itself; clears alone are in no hurry. */
  async #flushIntegrated(marks: readonly Region[]): Promise<IoResult> {
    if (marks.length === 0) {
      // As in the kernel: one that waits is cancelled, not kept.
      if (!this.#cancelDelayedFlush()) this.#scheduleDelayedFlush();
      return OK;
    }
    for (const group of groupsOf(marks)) {
      const result = await this.#sendRegions(ULOG_FLUSH, group);
      if (result !== OK) return result;
    }
    this.#cancelDelayedFlush();
    return OK;
  }

  /** Where a group is refused, all regions go one by one, up to the first that is refused. */
  async #sendGroups(type: RegionsType, regions: readonly Region[]): Promise<IoResult> {
    for (const group of groupsOf(regions)) {
      if ((await this.#sendRegions(type, group)) !== OK) return this.#sendOneByOne(type, regions);
    }
    return OK;
  }

  async #sendOneByOne(type: RegionsType, regions: readonly Region[]): Promise<IoResult> {
    for (const region of regions) {
      const result = await this.#sendRegions(type, [region]);
      if (result !== OK) return result;
    }
    return OK;
  }

  async #sendRegions(type: RegionsType, regions: readonly Region[]): Promise<IoResult> {
    const { result } = await this.#session.request({ type, regions }, 0);
    if (result !== OK) this.#complain(type, errnoName(result));
    return result;
  }

  #scheduleDelayedFlush(): void {
    this.#delayedFlush = this.#parts.target.clock.after(ULOG_DELAYED_FLUSH_MS, () => {
      this.#delayedFlush = null;
      void this.#flushLate();
    });
  }

  /** True: one had been waiting. */
  #cancelDelayedFlush(): boolean {
    const waited = this.#delayedFlush !== null;
    this.#delayedFlush?.cancel();
    this.#delayedFlush = null;
    return waited;
  }

  async #flushLate(): Promise<void> {
    const result = await this.#sendRegions(ULOG_FLUSH, []);
    if (result !== OK) this.#parts.target.event();
  }

  async #flushEarly(): Promise<void> {
    if (this.#cancelDelayedFlush()) await this.#flushLate();
  }

  // --- answers ------------------------------------------------------------------------------

  /** Null where the server answers with an error, or with what cannot be understood. */
  async #ask<T>(
    request: UlogRequest,
    roomBytes: number,
    decode: (data: Uint8Array) => Decoded<T>,
  ): Promise<T | null> {
    return this.#understand(request.type, await this.#session.request(request, roomBytes), decode);
  }

  async #inquire<T>(
    type: BareType,
    roomBytes: number,
    decode: (data: Uint8Array) => Decoded<T>,
  ): Promise<T | null> {
    return this.#understand(type, await this.#session.inquire(type, roomBytes), decode);
  }

  #understand<T>(
    type: number,
    { result, data }: SessionAnswer,
    decode: (data: Uint8Array) => Decoded<T>,
  ): T | null {
    if (result !== OK) {
      this.#complain(type, errnoName(result));
      return null;
    }
    const { value, problem } = decode(data);
    if (problem !== null) this.#complain(type, problem);
    return value;
  }

  #complain(type: number, problem: string): void {
    const { target, args } = this.#parts;
    target.log.warn(`The log server answers ${ulogTypeName(type)} with an error: ${problem}`, {
      uuid: args.uuid,
    });
  }

  #assertRegion(region: Region): void {
    assert(region < this.#regionCount, `Region ${region} of ${this.#regionCount} regions`);
  }
}

function groupsOf(regions: readonly Region[]): readonly (readonly Region[])[] {
  const groups: Region[][] = [];
  for (let from = 0; from < regions.length; from += ULOG_REGIONS_MAX) {
    groups.push(regions.slice(from, from + ULOG_REGIONS_MAX));
  }
  return groups;
}
