/** A dirty log that passes everything on to another: bugs override what they get wrong. */

import type { Awaitable } from '../../../src/base/awaitable.ts';
import type { IoResult } from '../../../src/base/errno.ts';
import type { Region, SectorCount } from '../../../src/base/units.ts';
import type { DirtyLog, DirtyLogCreation, DirtyLogType } from '../../../src/dirtylog/dirty-log.ts';
import { LOG_TYPES } from '../../../src/dirtylog/log-types.ts';
import type { DeviceNaming, StatusKind } from '../../../src/dm/target.ts';
import { createMirrorTargetType } from '../../../src/mirror/mirror-target.ts';
import { mirrorStackWith } from '../../../src/sim/machine/mirror-stack.ts';
import type { StackFactory } from '../../../src/sim/machine/sim-stack.ts';

export class ForwardingLog implements DirtyLog {
  readonly type: DirtyLogType;
  readonly inner: DirtyLog;
  readonly creation: DirtyLogCreation;

  constructor(inner: DirtyLog, creation: DirtyLogCreation) {
    this.inner = inner;
    this.type = inner.type;
    this.creation = creation;
  }

  get regionSizeSectors(): SectorCount {
    return this.inner.regionSizeSectors;
  }

  get devices() {
    return this.inner.devices;
  }

  get regionCount(): number {
    return Math.ceil(this.creation.target.length / this.regionSizeSectors);
  }

  presuspend(): Awaitable<IoResult> {
    return this.inner.presuspend();
  }

  postsuspend(): Awaitable<IoResult> {
    return this.inner.postsuspend();
  }

  resume(): Awaitable<IoResult> {
    return this.inner.resume();
  }

  destroy(): Promise<void> {
    return this.inner.destroy();
  }

  isClean(region: Region): Awaitable<boolean> {
    return this.inner.isClean(region);
  }

  inSync(region: Region): Awaitable<number> {
    return this.inner.inSync(region);
  }

  inSyncNow(region: Region): number | 'would-block' {
    return this.inner.inSyncNow(region);
  }

  flush(): Awaitable<IoResult> {
    return this.inner.flush();
  }

  markRegion(region: Region): void {
    this.inner.markRegion(region);
  }

  clearRegion(region: Region): void {
    this.inner.clearRegion(region);
  }

  getResyncWork(): Awaitable<Region | null> {
    return this.inner.getResyncWork();
  }

  setRegionSync(region: Region, inSync: boolean): Awaitable<void> {
    return this.inner.setRegionSync(region, inSync);
  }

  getSyncCount(purpose?: 'status'): Awaitable<number> {
    return this.inner.getSyncCount(purpose);
  }

  status(kind: StatusKind, nameOf: DeviceNaming): Awaitable<string> {
    return this.inner.status(kind, nameOf);
  }
}

export type LogWrapper = new (inner: DirtyLog, creation: DirtyLogCreation) => ForwardingLog;

/** A mirror whose logs are wrapped; `creation` may be changed before the real log sees it. */
export function mirrorWithLog(
  wrapper: LogWrapper,
  change: (creation: DirtyLogCreation) => DirtyLogCreation = (creation) => creation,
): StackFactory {
  const logTypes = LOG_TYPES.map(
    (type): DirtyLogType => ({
      name: type.name,
      create: async (creation) => new wrapper(await type.create(change(creation)), creation),
    }),
  );
  return mirrorStackWith(createMirrorTargetType({ logTypes }));
}
