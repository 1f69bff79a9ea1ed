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

import { assert } from '../../base/assert.ts';
import { type Awaitable, andThen, isPromise } from '../../base/awaitable.ts';
import { errnoName, type IoResult, OK } from '../../base/errno.ts';
import { ULOG_REMOTE_QUESTION_MS, ULOG_STATUS_MS } from '../../base/limits.ts';
import type { Region, SectorCount } from '../../base/units.ts';
import type { DeviceNaming, StatusKind, TargetDevice } from '../../dm/target.ts';
import type { TargetContext } from '../../dm/target-context.ts';
import type { DirtyLog, DirtyLogCreation, DirtyLogType } from '../dirty-log.ts';
import { FlushTogether } from './flush-together.ts';
import { KnownSync } from './known-sync.ts';
import { LeaseWatch } from './lease-watch.ts';
import type { LogChannel } from './log-channel.ts';
import { LogFlush, type LogFlushOptions } from './log-flush.ts';
import { type LogSession, NOBODY, type SessionAnswer } from './log-session.ts';
import { type StallAlarm, sharedLogAlarm } from './stall-alarm.ts';
import { type Decoded, ULOG_DATA_BYTES_MAX } from './ulog-codec.ts';
import {
  decodeCount,
  decodeFlag,
  decodeLease,
  decodeRemoteRecovering,
  decodeResyncWork,
  decodeStatus,
  ULOG_DTR,
  ULOG_GET_RESYNC_WORK,
  ULOG_GET_SYNC_COUNT,
  ULOG_IN_SYNC,
  ULOG_IS_CLEAN,
  ULOG_IS_REMOTE_RECOVERING,
  ULOG_LEASE,
  ULOG_POSTSUSPEND,
  ULOG_PRESUSPEND,
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
  readonly #known: KnownSync;
  readonly #flush: LogFlush | FlushTogether;
  /** Of a log that nodes share: until when this one may write. */
  readonly #lease: LeaseWatch | null;
  readonly #alarm: StallAlarm | null;
  /** Since the server said so there may be work, though all was in sync. */
  #mayHaveWork = false;
  /** A leg could not be flushed: nothing is called clean any more, as by a disk log (8.5). */
  #legsDistrusted = false;

  constructor(parts: UserspaceLogParts) {
    const { device } = parts;
    this.#parts = parts;
    this.type = parts.type;
    this.regionSizeSectors = parts.regionSizeSectors;
    this.devices = device === null ? [] : [{ device, start: 0, length: 0 }];
    this.#session = parts.session;
    this.shared = parts.args.keeping === 'shared';
    this.#lease = this.shared ? this.#watchLease() : null;
    this.#alarm = this.shared ? sharedLogAlarm(parts.target, parts.args.uuid) : null;
    this.#regionCount = Math.ceil(parts.target.length / parts.regionSizeSectors);
    this.#known = new KnownSync({
      keeping: parts.args.keeping,
      regionCount: this.#regionCount,
      serverNow: () => this.#session.generation,
    });
    this.#flush = this.#makeFlush();
  }

  presuspend(): Promise<IoResult> {
    return this.#session.leave(ULOG_PRESUSPEND);
  }

  async postsuspend(): Promise<IoResult> {
    this.#lease?.stop();
    await this.#flush.settle();
    return this.#aloud(this.#session.leave(ULOG_POSTSUSPEND));
  }

  async resume(): Promise<IoResult> {
    this.#known.forget();
    this.#flush.forget();
    const result = await this.#aloud(this.#session.resume());
    this.#lease?.start();
    return result;
  }

  async destroy(): Promise<void> {
    this.#lease?.stop();
    this.#alarm?.stop();
    await this.#flush.settle();
    await this.#session.leave(ULOG_DTR);
    const { device, target } = this.#parts;
    if (device !== null) await target.putDevice(device);
  }

  async isClean(region: Region): Promise<boolean> {
    await this.#flush.tellClears();
    const request = { type: ULOG_IS_CLEAN, region } as const;
    const flag = await this.#ask(request, ONE_NUMBER, (data) => decodeFlag(ULOG_IS_CLEAN, data));
    return flag === 1;
  }

  /** 0 also where the server cannot tell. */
  inSync(region: Region): Awaitable<number> {
    return this.#known.isInSync(region) ? 1 : this.#askInSync(region);
  }

  inSyncNow(region: Region): number | 'would-block' {
    return this.#known.isInSync(region) ? 1 : 'would-block';
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
  flush(): Awaitable<IoResult> {
    if (this.#marks.length === 0 && this.#clears.length === 0) return OK;
    // The newest first, as the kernel sends them.
    const marks = this.#marks.reverse();
    const clears = this.#clears.reverse();
    this.#marks = [];
    this.#clears = [];
    const mayClear = clears.length === 0 ? true : this.#flushLegs();
    const flushed = andThen(mayClear, (isAllowed) => {
      const allowed = isAllowed ? clears : [];
      // Clears may have been dropped, and then there may be nothing left to say.
      if (marks.length === 0 && allowed.length === 0) return OK;
      return this.#flush.flush(marks, allowed);
    });
    const told = isPromise(flushed) ? this.#aloud(flushed) : flushed;
    return andThen(told, (result) => this.#flushed(result));
  }

  async getResyncWork(): Promise<Region | null> {
    if (this.#known.hint >= this.#regionCount && !this.#mayHaveWork) return null;
    // One that came later would take away the mark that a copy has at the server.
    await this.#flush.tellClears();
    const request = { type: ULOG_GET_RESYNC_WORK } as const;
    const region = await this.#ask(request, TWO_NUMBERS, decodeResyncWork);
    if (region === null) this.#mayHaveWork = false;
    if (region === null || region < this.#regionCount) return region;
    this.#complain(ULOG_GET_RESYNC_WORK, `region ${region}, must be below ${this.#regionCount}`);
    return null;
  }

  async setRegionSync(region: Region, inSync: boolean): Promise<void> {
    if (!inSync) this.#known.outOfSync(region);
    await this.#session.request({ type: ULOG_SET_REGION_SYNC, region, inSync }, 0);
  }

  /** 0 also where the server cannot tell. */
  async getSyncCount(purpose?: 'status'): Promise<number> {
    const { moment } = this.#known;
    const asked = this.#session.inquire(ULOG_GET_SYNC_COUNT, ONE_NUMBER);
    const answer = await (purpose === 'status' ? this.#inTime(asked) : asked);
    const count = this.#understand(ULOG_GET_SYNC_COUNT, answer, (data) =>
      decodeCount(ULOG_GET_SYNC_COUNT, data),
    );
    if (count === null) return 0;
    this.#known.counted(count, moment);
    return count;
  }

  async status(kind: StatusKind, _nameOf: DeviceNaming): Promise<string> {
    if (kind === 'table') return this.#parts.args.tableText;
    const asked = this.#session.inquire(ULOG_STATUS_INFO, ULOG_DATA_BYTES_MAX);
    const text = this.#understand(ULOG_STATUS_INFO, await this.#inTime(asked), (data) =>
      decodeStatus(ULOG_STATUS_INFO, data),
    );
    return text ?? 'userspace 1 COM_FAILURE';
  }

  isRemoteRecovering(region: Region): Awaitable<boolean> {
    if (region < this.#known.hint) return false;
    if (!this.#parts.channel.mayAskRemote(ULOG_REMOTE_QUESTION_MS)) return true;
    return this.#askRemoteRecovering(region);
  }

  async #askInSync(region: Region): Promise<number> {
    const { moment } = this.#known;
    const request = { type: ULOG_IN_SYNC, region } as const;
    const flag = await this.#ask(request, ONE_NUMBER, (data) => decodeFlag(ULOG_IN_SYNC, data));
    this.#known.answered(region, flag ?? 0, moment);
    return flag ?? 0;
  }

  async #askRemoteRecovering(region: Region): Promise<boolean> {
    const { moment } = this.#known;
    const request = { type: ULOG_IS_REMOTE_RECOVERING, region } as const;
    const answer = await this.#ask(request, TWO_NUMBERS, decodeRemoteRecovering);
    if (answer === null) return true;
    this.#known.hinted(answer.inSyncHint, moment);
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

  // --- flush --------------------------------------------------------------------------------

  #makeFlush(): LogFlush | FlushTogether {
    const { args, session, marked, target } = this.#parts;
    const { integratedFlush, keeping } = args;
    const options: LogFlushOptions = {
      session,
      clock: target.clock,
      integratedFlush,
      marked,
      complain: (type, problem) => this.#complain(type, problem),
      failedLate: () => target.event(),
    };
    if (integratedFlush || keeping === 'unknown') return new LogFlush(options);
    const isInSync = (region: Region): boolean => this.#known.isInSync(region);
    return new FlushTogether({ ...options, isInSync });
  }

  #flushLegs(): Awaitable<boolean> {
    if (this.#legsDistrusted) return false;
    return andThen(this.#parts.flushLegs(), (result) => {
      this.#legsDistrusted = result !== OK;
      return !this.#legsDistrusted;
    });
  }

  #flushed(result: IoResult): IoResult {
    if (result !== OK) this.#parts.target.event();
    return result;
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

  /** Whoever wants to see a status is told that there is none, if it takes too long. */
  #inTime(asked: Promise<SessionAnswer>): Promise<SessionAnswer> {
    return new Promise((resolve) => {
      const { clock } = this.#parts.target;
      const timer = clock.after(ULOG_STATUS_MS, () => resolve(NOBODY));
      void asked.then((answer) => {
        timer.cancel();
        resolve(answer);
      });
    });
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
