/**
 * A mirror's side of the log protocol over messages that are late, lost and doubled: what is not
 * answered is asked again. Marks and clears go with the flush, as in the kernel's.
 */

import type { Awaitable } from '../../../src/base/awaitable.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { type IoResult, OK } from '../../../src/base/errno.ts';
import type { Region, SectorCount } from '../../../src/base/units.ts';
import type { DirtyLog, DirtyLogCreation, DirtyLogType } from '../../../src/dirtylog/dirty-log.ts';
import { LeaseWatch } from '../../../src/dirtylog/userspace/lease-watch.ts';
import type { UlogMessage } from '../../../src/dirtylog/userspace/ulog-codec.ts';
import {
  decodeCount,
  decodeFlag,
  decodeLease,
  decodeRemoteRecovering,
  decodeResyncWork,
  encodeUlogRequest,
  ULOG_CLEAR_REGION,
  ULOG_CTR,
  ULOG_DTR,
  ULOG_FLUSH,
  ULOG_GET_REGION_SIZE,
  ULOG_GET_RESYNC_WORK,
  ULOG_GET_SYNC_COUNT,
  ULOG_IN_SYNC,
  ULOG_IS_CLEAN,
  ULOG_IS_REMOTE_RECOVERING,
  ULOG_LEASE,
  ULOG_MARK_REGION,
  ULOG_POSTSUSPEND,
  ULOG_PRESUSPEND,
  ULOG_RESUME,
  ULOG_SET_REGION_SYNC,
  type UlogRequest,
} from '../../../src/dirtylog/userspace/ulog-payloads.ts';

/** Where requests go, and may get lost. */
export interface AskedWire {
  send(message: UlogMessage, onReply: (message: UlogMessage) => void): void;
}

const RESEND_MS = 400;
const GROUP = 32;

export function askedLogType(wire: AskedWire, luid: bigint): DirtyLogType {
  const type: DirtyLogType = {
    name: 'userspace',
    async create({ target, args, flushLegs, onWork }: DirtyLogCreation): Promise<DirtyLog> {
      const [uuid, ...words] = args;
      const asker = new Asker(wire, target.clock, uuid!, luid);
      const text = `${target.length} ${words.join(' ')}`;
      const made = await asker.ask({ type: ULOG_CTR, text });
      if (made.error !== 0) throw new Error(`CTR: ${made.error}`);
      const size = await asker.ask({ type: ULOG_GET_REGION_SIZE });
      const regionSizeSectors = decodeCount(ULOG_GET_REGION_SIZE, size.data).value!;
      const regionCount = Math.ceil(target.length / regionSizeSectors);
      return new AskedLog({ type, asker, regionSizeSectors, regionCount, flushLegs, onWork });
    },
  };
  return type;
}

class Asker {
  readonly clock: Clock;
  readonly #wire: AskedWire;
  readonly #uuid: string;
  readonly #luid: bigint;
  #seq = 0;

  constructor(wire: AskedWire, clock: Clock, uuid: string, luid: bigint) {
    this.#wire = wire;
    this.clock = clock;
    this.#uuid = uuid;
    this.#luid = luid;
  }

  ask(request: UlogRequest): Promise<UlogMessage> {
    return new Promise((resolve) => {
      let isOver = false;
      let current = 0;
      const send = (): void => {
        if (isOver) return;
        this.#seq += 1;
        const seq = this.#seq;
        current = seq;
        const message = {
          luid: this.#luid,
          uuid: this.#uuid,
          version: 3,
          error: 0,
          seq,
          requestType: request.type,
          data: encodeUlogRequest(request),
        };
        this.#wire.send(message, (reply) => {
          // A late answer to what was asked before is none.
          if (isOver || reply.seq !== current) return;
          isOver = true;
          resolve(reply);
        });
        this.clock.after(RESEND_MS, send);
      };
      send();
    });
  }
}

interface AskedLogParts {
  readonly type: DirtyLogType;
  readonly asker: Asker;
  readonly regionSizeSectors: number;
  readonly regionCount: number;
  readonly flushLegs: () => Awaitable<IoResult>;
  readonly onWork: (() => void) | undefined;
}

class AskedLog implements DirtyLog {
  readonly type: DirtyLogType;
  readonly regionSizeSectors: SectorCount;
  readonly devices = [];
  readonly #parts: AskedLogParts;
  readonly #lease: LeaseWatch;
  #marks: Region[] = [];
  #clears: Region[] = [];
  #hint = 0;
  #mayHaveWork = false;

  constructor(parts: AskedLogParts) {
    this.#parts = parts;
    this.type = parts.type;
    this.regionSizeSectors = parts.regionSizeSectors as SectorCount;
    const { asker, onWork } = parts;
    const ask = async () => decodeLease((await asker.ask({ type: ULOG_LEASE })).data).value;
    this.#lease = new LeaseWatch({
      clock: asker.clock,
      ask,
      onNews: () => {
        this.#mayHaveWork = true;
        onWork?.();
      },
    });
  }

  async presuspend(): Promise<IoResult> {
    return this.#tell({ type: ULOG_PRESUSPEND });
  }

  async postsuspend(): Promise<IoResult> {
    this.#lease.stop();
    return this.#tell({ type: ULOG_POSTSUSPEND });
  }

  async resume(): Promise<IoResult> {
    this.#hint = 0;
    const result = await this.#tell({ type: ULOG_RESUME });
    this.#lease.start();
    return result;
  }

  async destroy(): Promise<void> {
    await this.#tell({ type: ULOG_DTR });
  }

  async isClean(region: Region): Promise<boolean> {
    const { data } = await this.#parts.asker.ask({ type: ULOG_IS_CLEAN, region });
    return decodeFlag(ULOG_IS_CLEAN, data).value === 1;
  }

  async inSync(region: Region): Promise<number> {
    const { data } = await this.#parts.asker.ask({ type: ULOG_IN_SYNC, region });
    return decodeFlag(ULOG_IN_SYNC, data).value ?? 0;
  }

  inSyncNow(): 'would-block' {
    return 'would-block';
  }

  async flush(): Promise<IoResult> {
    const marks = this.#marks;
    const clears = this.#clears;
    this.#marks = [];
    this.#clears = [];
    if (marks.length + clears.length === 0) return OK;
    if (clears.length > 0 && (await this.#parts.flushLegs()) !== OK) clears.length = 0;
    await this.#tellAll(ULOG_CLEAR_REGION, clears);
    await this.#tellAll(ULOG_MARK_REGION, marks);
    return this.#tell({ type: ULOG_FLUSH, regions: [] });
  }

  markRegion(region: Region): void {
    this.#marks.push(region);
  }

  clearRegion(region: Region): void {
    this.#clears.push(region);
  }

  async getResyncWork(): Promise<Region | null> {
    if (this.#hint >= this.#parts.regionCount && !this.#mayHaveWork) return null;
    const { data } = await this.#parts.asker.ask({ type: ULOG_GET_RESYNC_WORK });
    const work = decodeResyncWork(data).value;
    if (work === null) this.#mayHaveWork = false;
    return work;
  }

  async setRegionSync(region: Region, inSync: boolean): Promise<void> {
    await this.#tell({ type: ULOG_SET_REGION_SYNC, region, inSync });
  }

  async getSyncCount(): Promise<number> {
    const { data } = await this.#parts.asker.ask({ type: ULOG_GET_SYNC_COUNT });
    const count = decodeCount(ULOG_GET_SYNC_COUNT, data).value ?? 0;
    if (count >= this.#parts.regionCount) this.#hint = this.#parts.regionCount;
    return count;
  }

  status(): string {
    return 'userspace 1 asked';
  }

  async isRemoteRecovering(region: Region): Promise<boolean> {
    if (region < this.#hint) return false;
    const { data } = await this.#parts.asker.ask({ type: ULOG_IS_REMOTE_RECOVERING, region });
    const answer = decodeRemoteRecovering(data).value;
    if (answer === null) return true;
    this.#hint = answer.inSyncHint;
    return answer.recovering;
  }

  untilWritable(): Awaitable<void> {
    return this.#lease.untilGood() ?? undefined;
  }

  async #tellAll(
    type: typeof ULOG_MARK_REGION | typeof ULOG_CLEAR_REGION,
    regions: readonly Region[],
  ): Promise<void> {
    for (let from = 0; from < regions.length; from += GROUP) {
      await this.#tell({ type, regions: regions.slice(from, from + GROUP) });
    }
  }

  async #tell(request: UlogRequest): Promise<IoResult> {
    return -(await this.#parts.asker.ask(request)).error;
  }
}
