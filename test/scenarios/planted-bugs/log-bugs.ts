/** Mistakes around the dirty log: what is recorded, when, and what is made of it at a start. */

import type { Awaitable } from '../../../src/base/awaitable.ts';
import { type IoResult, OK } from '../../../src/base/errno.ts';
import { type Region, SECTOR_SIZE, type SectorCount } from '../../../src/base/units.ts';
import { Bio } from '../../../src/block/bio.ts';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { runBio } from '../../../src/block/run-bio.ts';
import type { DirtyLogCreation } from '../../../src/dirtylog/dirty-log.ts';
import {
  decodeLogHeader,
  encodeLogHeader,
  LOG_BITSET_OFFSET,
  trustedRegions,
} from '../../../src/dirtylog/log-header.ts';
import { DeviceFilter } from '../../../src/fault/filter.ts';
import { ForwardingLog, mirrorWithLog } from './forwarding-log.ts';
import type { PlantedBug } from './planted-bug.ts';

class NeverFlushes extends ForwardingLog {
  override flush(): IoResult {
    return OK;
  }
}

/** Marks reach the log one flush too late: the legs are written before. */
class MarksLate extends ForwardingLog {
  #late: Region[] = [];

  override markRegion(region: Region): void {
    this.#late.push(region);
  }

  override async flush(): Promise<IoResult> {
    const result = await this.inner.flush();
    for (const region of this.#late.splice(0)) this.inner.markRegion(region);
    return result;
  }
}

class SwapsBits extends ForwardingLog {
  override markRegion(region: Region): void {
    this.inner.markRegion(this.#other(region));
  }

  override clearRegion(region: Region): void {
    this.inner.clearRegion(this.#other(region));
  }

  #other(region: Region): Region {
    return Math.min(region ^ 1, this.regionCount - 1) as Region;
  }
}

class ForgetsLastRegion extends ForwardingLog {
  override markRegion(region: Region): void {
    if (region < this.regionCount - 1) this.inner.markRegion(region);
  }
}

class NeverCopiesLastRegion extends ForwardingLog {
  override async getResyncWork(): Promise<Region | null> {
    const region = await this.inner.getResyncWork();
    return region === this.regionCount - 1 ? null : region;
  }
}

class NeverClears extends ForwardingLog {
  override clearRegion(): void {}
}

class ClearsAtStartOfCopy extends ForwardingLog {
  override async getResyncWork(): Promise<Region | null> {
    const region = await this.inner.getResyncWork();
    if (region !== null) this.inner.clearRegion(region);
    return region;
  }
}

class CopiesInSyncRegions extends ForwardingLog {
  #extra = true;

  override async getResyncWork(): Promise<Region | null> {
    const region = await this.inner.getResyncWork();
    if (region !== null || !this.#extra) return region;
    this.#extra = false;
    // As if the log had said so from the start.
    await this.inner.setRegionSync(0 as Region, false);
    return 0 as Region;
  }
}

class CountsTooMany extends ForwardingLog {
  override async getSyncCount(purpose?: 'status'): Promise<number> {
    return Math.min((await this.inner.getSyncCount(purpose)) + 1, this.regionCount);
  }
}

/** What went wrong on a leg is not told to the log. */
class ForgetsFailures extends ForwardingLog {
  override setRegionSync(region: Region, inSync: boolean): Awaitable<void> {
    return inSync ? this.inner.setRegionSync(region, true) : undefined;
  }

  override getResyncWork(): Awaitable<Region | null> {
    return this.inner.getResyncWork();
  }
}

class HidesFailedFlush extends ForwardingLog {
  override async flush(): Promise<IoResult> {
    await this.inner.flush();
    return OK;
  }
}

/** A log without a valid header is taken for one in which nothing is dirty. */
class TrustsBlankLog extends ForwardingLog {
  override async resume(): Promise<IoResult> {
    const result = await this.inner.resume();
    for (let region = 0; region < this.regionCount; region++) {
      if (this.inner.inSyncNow(region as Region) === 1) continue;
      this.inner.clearRegion(region as Region);
      await this.inner.setRegionSync(region as Region, true);
    }
    return result;
  }
}

/** New regions of a grown device count as clean. */
class TrustsNewRegions extends ForwardingLog {
  override async resume(): Promise<IoResult> {
    const device = this.devices[0]?.device;
    if (device !== undefined) await this.#adopt(device);
    return this.inner.resume();
  }

  async #adopt(device: BlockDevice): Promise<void> {
    const data = new Uint8Array(LOG_BITSET_OFFSET + SECTOR_SIZE);
    const count = (data.length / SECTOR_SIZE) as SectorCount;
    await runBio(device, { op: 'read', count, data });
    const header = decodeLogHeader(data);
    for (let region = trustedRegions(header); region < this.regionCount; region++) {
      const byte = LOG_BITSET_OFFSET + (region >> 3);
      data[byte] = data[byte]! | (1 << (region & 7));
    }
    encodeLogHeader({ ...header, regionCount: BigInt(this.regionCount) }, data);
    await runBio(device, { op: 'write', count, data });
  }
}

/** The log device's cache is never flushed. */
class DropsFlushes extends DeviceFilter {
  override submit(bio: Bio): void {
    if (bio.op === 'flush') bio.end(OK);
    else this.next.submit(bio);
  }
}

/** Images are written with changed bytes. */
class Rewrites extends DeviceFilter {
  readonly #change: (data: Uint8Array) => void;

  constructor(next: BlockDevice, change: (data: Uint8Array) => void) {
    super(next);
    this.#change = change;
  }

  override submit(bio: Bio): void {
    if (bio.op !== 'write') {
      this.next.submit(bio);
      return;
    }
    const data = bio.data!.slice();
    this.#change(data);
    const { op, sector, count, fua } = bio;
    const onEnd = (_changed: Bio, result: IoResult): void => bio.end(result);
    this.next.submit(new Bio({ op, sector, count, data, fua, onEnd }));
  }
}

/** Gives the log another device than the one it asks for. */
function onDevice(
  filter: (device: BlockDevice) => DeviceFilter,
): (creation: DirtyLogCreation) => DirtyLogCreation {
  return (creation) => ({
    ...creation,
    target: {
      ...creation.target,
      getDevice: async (name) => filter(await creation.target.getDevice(name)),
      putDevice: (device) => creation.target.putDevice((device as DeviceFilter).next),
    },
  });
}

export const LOG_BUGS: readonly PlantedBug[] = [
  {
    name: 'log-never-flushed',
    mistake: 'the log is not flushed before the legs are written',
    scenario: 'single-write',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithLog(NeverFlushes),
  },
  {
    name: 'marks-late',
    mistake: 'the legs are written before the mark is in the log',
    scenario: 'single-write',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithLog(MarksLate),
  },
  {
    name: 'clear-before-leg-flush',
    mistake: 'clean bits are written without flushing the legs first',
    scenario: 'single-write',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithLog(ForwardingLog, (creation) => ({
      ...creation,
      flushLegs: () => OK,
    })),
  },
  {
    name: 'bits-swapped',
    mistake: 'the bits of two regions are mixed up',
    scenario: 'single-write',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithLog(SwapsBits),
  },
  {
    name: 'last-region-never-marked',
    mistake: 'the last, short region is forgotten when marking',
    scenario: 'short-last-region',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithLog(ForgetsLastRegion),
  },
  {
    name: 'last-region-never-copied',
    mistake: 'the last, short region is forgotten when resynchronising',
    scenario: 'short-last-region',
    caughtBy: 'resync-ends',
    stackFactory: mirrorWithLog(NeverCopiesLastRegion),
  },
  {
    name: 'never-cleared',
    mistake: 'regions stay dirty for ever',
    scenario: 'single-write',
    caughtBy: 'clean-after-stop',
    stackFactory: mirrorWithLog(NeverClears),
  },
  {
    name: 'clear-before-copy',
    mistake: 'a region is recorded clean when its copy begins',
    scenario: 'writes-during-recovery',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithLog(ClearsAtStartOfCopy),
  },
  {
    name: 'in-sync-region-copied',
    mistake: 'a region that is in sync is copied as well',
    scenario: 'single-write',
    caughtBy: 'resync-exact',
    stackFactory: mirrorWithLog(CopiesInSyncRegions),
  },
  {
    name: 'sync-count-off-by-one',
    mistake: 'the status counts one region in sync too many',
    scenario: 'dirty-start',
    caughtBy: 'status-agrees',
    stackFactory: mirrorWithLog(CountsTooMany),
  },
  {
    name: 'failed-log-flush-hidden',
    mistake: 'writes go on after the log failed, although errors are to be handled',
    scenario: 'log-fails-held',
    caughtBy: 'results-expected',
    stackFactory: mirrorWithLog(HidesFailedFlush),
  },
  {
    name: 'failed-write-not-in-log',
    mistake: 'the log is not told that a region is out of sync after a failed write or copy',
    scenario: 'copy-fails',
    caughtBy: 'resync-ends',
    stackFactory: mirrorWithLog(ForgetsFailures),
  },
  {
    name: 'blank-log-trusted',
    mistake: 'a log without a header counts as all clean',
    scenario: 'first-start',
    caughtBy: 'legs-equal',
    stackFactory: mirrorWithLog(TrustsBlankLog),
  },
  {
    name: 'new-regions-trusted',
    mistake: 'new regions of a grown device count as clean',
    scenario: 'grown-device',
    caughtBy: 'legs-equal',
    stackFactory: mirrorWithLog(TrustsNewRegions),
  },
  {
    name: 'log-cache-not-flushed',
    mistake: 'a mark is written to the log device, whose cache is not flushed',
    scenario: 'single-write',
    caughtBy: 'log-covers-divergence',
    stackFactory: mirrorWithLog(
      ForwardingLog,
      onDevice((device) => new DropsFlushes(device)),
    ),
  },
  {
    name: 'log-tail-kept',
    mistake: 'bits behind the last region are left set',
    scenario: 'single-write',
    caughtBy: 'log-valid',
    stackFactory: mirrorWithLog(
      ForwardingLog,
      onDevice(
        (device) =>
          new Rewrites(device, (data) => {
            data[LOG_BITSET_OFFSET] = data[LOG_BITSET_OFFSET]! | 0x80;
          }),
      ),
    ),
  },
];
