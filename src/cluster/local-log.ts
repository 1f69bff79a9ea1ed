/**
 * Logs of one node, `core` and `disk`, behind the log server: the dirty logs that a mirror has in
 * its own process, in another process. The disk log is the kernel's, byte for byte.
 *
 * A log server cannot flush legs. The mirror's side flushes them before it sends a CLEAR_REGION
 * (docs/internals/cluster-log.md).
 */

import type { Awaitable } from '../base/awaitable.ts';
import { type IoResult, OK } from '../base/errno.ts';
import { silentProbe } from '../base/probe.ts';
import { type Region, SECTOR_SIZE, type SectorCount } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { coreLogType } from '../dirtylog/core-log.ts';
import type { DirtyLog, DirtyLogCreation, DirtyLogType } from '../dirtylog/dirty-log.ts';
import { diskLogType } from '../dirtylog/disk-log.ts';
import { parseLogArgs } from '../dirtylog/log-args.ts';
import { logImageBytes } from '../dirtylog/log-header.ts';
import type { RemoteRecovering } from '../dirtylog/userspace/ulog-payloads.ts';
import type {
  LogCreation,
  LogDescription,
  LogImplementation,
  LogSurroundings,
  ServedLog,
} from './served-log.ts';

/** How many marked regions a description lists. */
const REGIONS_LISTED_MAX = 1000;

export function localLogs(surroundings: LogSurroundings): LogImplementation[] {
  return [coreLogType, diskLogType].map((type) => ({
    name: type.name,
    create: (creation) => createLocalLog(type, creation, surroundings),
  }));
}

async function createLocalLog(
  type: DirtyLogType,
  { uuid, targetSectors, args }: LogCreation,
  { clock, log, openDevice }: LogSurroundings,
): Promise<ServedLog> {
  const target: DirtyLogCreation['target'] = {
    length: targetSectors,
    deviceName: uuid,
    clock,
    log,
    probe: silentProbe,
    getDevice: (name) => openDevice(name, imageBytesOf(targetSectors, args)),
    putDevice: (device: BlockDevice) => device.close(),
    // An event of the mirror is raised by the mirror: its flush fails.
    event: () => undefined,
    noflushSuspending: () => false,
  };
  const dirtyLog = await type.create({ target, args, flushLegs: () => OK });
  return new LocalLog(dirtyLog, targetSectors);
}

/** Of a disk log that is asked for a device: its words were right. */
function imageBytesOf(targetSectors: SectorCount, args: readonly string[]): number {
  const words = { type: diskLogType.name, args: args.slice(1), targetSectors };
  return logImageBytes(parseLogArgs(words).regionCount, SECTOR_SIZE);
}

class LocalLog implements ServedLog {
  readonly regionSizeSectors: SectorCount;
  readonly regionCount: number;
  readonly deviceName: string | null;
  readonly #log: DirtyLog;
  #isLive = false;
  /**
   * Being copied by the mirror, which copies one region at a time: while this is not settled, a
   * mirror that asks for work did not hear the answer.
   */
  #handedOut: Region | null = null;

  constructor(log: DirtyLog, targetSectors: SectorCount) {
    this.#log = log;
    this.regionSizeSectors = log.regionSizeSectors;
    this.regionCount = Math.ceil(targetSectors / log.regionSizeSectors);
    this.deviceName = log.devices[0]?.device.name ?? null;
  }

  get isLive(): boolean {
    return this.#isLive;
  }

  presuspend(): Awaitable<IoResult> {
    return this.#log.presuspend();
  }

  async postsuspend(): Promise<IoResult> {
    if (!this.#isLive) return OK;
    const result = await this.#log.postsuspend();
    this.#isLive = false;
    return result;
  }

  async resume(): Promise<IoResult> {
    if (this.#isLive) return OK;
    this.#handedOut = null;
    const result = await this.#log.resume();
    this.#isLive = true;
    return result;
  }

  async destroy(): Promise<void> {
    await this.#log.destroy();
  }

  isClean(region: Region): Awaitable<boolean> {
    return this.#log.isClean(region);
  }

  inSync(region: Region): boolean {
    return this.#log.inSyncNow(region) === 1;
  }

  flush(): Awaitable<IoResult> {
    return this.#log.flush();
  }

  markRegion(region: Region): void {
    this.#log.markRegion(region);
  }

  /**
   * Not of a region out of sync, unlike the kernel's own logs: a server that was started anew calls
   * regions out of sync that the mirror is about to clear, and writes to them will not be marked.
   */
  clearRegion(region: Region): void {
    if (this.inSync(region)) this.#log.clearRegion(region);
  }

  async getResyncWork(): Promise<Region | null> {
    this.#handedOut ??= await this.#log.getResyncWork();
    return this.#handedOut;
  }

  async setRegionSync(region: Region, inSync: boolean): Promise<IoResult> {
    if (this.#handedOut === region) this.#handedOut = null;
    // A repeated one would be counted twice.
    if (inSync && this.inSync(region)) return OK;
    await this.#log.setRegionSync(region, inSync);
    return OK;
  }

  getSyncCount(): Awaitable<number> {
    return this.#log.getSyncCount();
  }

  status(kind: 'info' | 'table'): Awaitable<string> {
    return this.#log.status(kind, (device) => device.name);
  }

  /** Nobody else copies anything. The hint ends all questions only when all is in sync (10.7). */
  async isRemoteRecovering(): Promise<RemoteRecovering> {
    const isInSync = (await this.#log.getSyncCount()) >= this.regionCount;
    return { recovering: false, inSyncHint: isInSync ? this.regionCount : this.regionCount - 1 };
  }

  async describe(): Promise<LogDescription> {
    const marked: number[] = [];
    let markedCount = 0;
    for (let region = 0; region < this.regionCount; region++) {
      if (this.#log.isClean(region as Region) === true) continue;
      markedCount += 1;
      if (marked.length < REGIONS_LISTED_MAX) marked.push(region);
    }
    return {
      implementation: this.#log.type.name,
      regionSizeSectors: this.regionSizeSectors,
      regionCount: this.regionCount,
      syncCount: await this.#log.getSyncCount(),
      device: this.deviceName,
      nodes: [{ name: 'local', isThisNode: true, marked, markedCount }],
      recovering: this.#handedOut === null ? null : { region: this.#handedOut, node: 'local' },
      writer: this.deviceName === null ? null : 'local',
    };
  }
}
