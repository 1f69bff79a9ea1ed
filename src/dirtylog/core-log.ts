/**
 * The log that lives in memory only: what it knows is lost with the process, so that a new one
 * copies everything. It promises no durability; `flush` has nothing to do. Counterpart: the `core`
 * log type.
 */

import { OK } from '../base/errno.ts';
import type { Region, SectorCount } from '../base/units.ts';
import type { DirtyLog, DirtyLogCreation, DirtyLogType } from './dirty-log.ts';
import { type LogArgs, parseLogArgs } from './log-args.ts';
import { LogContext, withinMemory } from './log-context.ts';

export const coreLogType: DirtyLogType = {
  name: 'core',
  async create({ target, args }: DirtyLogCreation): Promise<DirtyLog> {
    const parsed = parseLogArgs({ type: 'core', args, targetSectors: target.length });
    return withinMemory(parsed.regionCount, () => new CoreLog(parsed));
  },
};

class CoreLog implements DirtyLog {
  readonly type = coreLogType;
  readonly devices = [];
  readonly regionSizeSectors: SectorCount;
  readonly #args: LogArgs;
  readonly #context: LogContext;

  constructor(args: LogArgs) {
    this.#args = args;
    this.regionSizeSectors = args.regionSizeSectors;
    this.#context = new LogContext(args);
  }

  presuspend(): number {
    return OK;
  }

  postsuspend(): number {
    return OK;
  }

  /** The bits are kept; only the search for work starts again. */
  resume(): number {
    this.#context.rewind();
    return OK;
  }

  async destroy(): Promise<void> {}

  isClean(region: Region): boolean {
    return this.#context.clean.test(region);
  }

  inSync(region: Region): number {
    return this.#context.sync.test(region) ? 1 : 0;
  }

  inSyncNow(region: Region): number {
    return this.inSync(region);
  }

  isCleanNow(region: Region): boolean {
    return this.isClean(region);
  }

  flush(): number {
    return OK;
  }

  markRegion(region: Region): void {
    this.#context.markRegion(region);
  }

  clearRegion(region: Region): void {
    this.#context.clearRegion(region);
  }

  getResyncWork(): Region | null {
    return this.#context.getResyncWork();
  }

  setRegionSync(region: Region, inSync: boolean): void {
    this.#context.setRegionSync(region, inSync);
  }

  getSyncCount(): number {
    return this.#context.syncCount;
  }

  status(kind: 'info' | 'table'): string {
    if (kind === 'info') return '1 core';
    const { regionSizeSectors, syncWord } = this.#args;
    return syncWord === null
      ? `core 1 ${regionSizeSectors}`
      : `core 2 ${regionSizeSectors} ${syncWord}`;
  }
}
