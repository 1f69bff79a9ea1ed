import t from 'tap';
import { Prng } from '../../src/base/prng.ts';
import type { Region } from '../../src/base/units.ts';
import { coreLogType } from '../../src/dirtylog/core-log.ts';
import type { DirtyLog, DirtyLogType } from '../../src/dirtylog/dirty-log.ts';
import { createDiskLogType, diskLogType } from '../../src/dirtylog/disk-log.ts';
import type { WireFaults } from '../../src/sim/machine/log-wire.ts';
import { FakeLegs, FakeTarget, LogDisk } from '../support/log-fixture.ts';
import { LogServerBed } from '../support/log-server-bed.ts';
import { sharedLogBed } from '../support/shared-log-bed.ts';
import { type LogBed, testDirtyLog } from './dirty-log-conformance.ts';

const REGION_SIZE_SECTORS = 8;

testDirtyLog(t, {
  name: 'core',
  remembers: false,
  makeBed: (regionCount) => {
    const target = new FakeTarget(regionCount * REGION_SIZE_SECTORS);
    return {
      open: (word) =>
        coreLogType.create({
          target,
          args: [String(REGION_SIZE_SECTORS), ...(word == null ? [] : [word])],
          flushLegs: () => 0,
        }),
    };
  },
});

interface DiskBedOptions {
  readonly regionCount: number;
  readonly type: DirtyLogType;
  readonly blockSize: number;
  readonly late: boolean;
}

function makeDiskBed({ regionCount, type, blockSize, late }: DiskBedOptions): LogBed {
  const disk = new LogDisk({ bytes: 8192, blockSize });
  disk.late = late;
  const legs = new FakeLegs();
  legs.late = late;
  const target = new FakeTarget(regionCount * REGION_SIZE_SECTORS, [disk]);
  return {
    open: (word) =>
      type.create({
        target,
        args: [disk.name, String(REGION_SIZE_SECTORS), ...(word == null ? [] : [word])],
        flushLegs: legs.flush,
      }),
    cutPower: (seed) => disk.cutPower(new Prng(seed)),
  };
}

const partialLogType = createDiskLogType({ wholeWriteBytesMax: 0 });

for (const [name, options] of [
  ['disk', { type: diskLogType, blockSize: 512, late: false }],
  ['disk (late device)', { type: diskLogType, blockSize: 512, late: true }],
  ['disk (4 KiB blocks)', { type: diskLogType, blockSize: 4096, late: false }],
  ['disk (written in part)', { type: partialLogType, blockSize: 512, late: false }],
] as const) {
  testDirtyLog(t, {
    name,
    remembers: true,
    makeBed: (regionCount) => makeDiskBed({ regionCount, ...options }),
  });
}

// --- logs kept by a server --------------------------------------------------------------------

const BAD_DAY: WireFaults = { lostPerMille: 60, doubledPerMille: 100, delayMsMax: 9 };

interface ServedBedOptions {
  readonly regionCount: number;
  readonly implementation: 'core' | 'disk';
  readonly flags: readonly string[];
  readonly faults?: WireFaults;
}

function makeServedBed(options: ServedBedOptions): LogBed {
  const { regionCount, implementation, flags, faults } = options;
  const disk = new LogDisk({ bytes: 8192 });
  const target = new FakeTarget(regionCount * REGION_SIZE_SECTORS, [disk]);
  let bed: LogServerBed;
  const start = (seed: number): void => {
    bed = new LogServerBed({ seed, devices: [disk], ...(faults === undefined ? {} : { faults }) });
    target.clock = bed.clock;
  };
  start(regionCount);
  return {
    open: async (word) => {
      const log = await bed.until(
        bed.type.create({
          target,
          args: [
            'log-0',
            ...flags,
            ...(implementation === 'disk' ? ['disk', disk.name] : ['core']),
            String(REGION_SIZE_SECTORS),
            ...(word == null ? [] : [word]),
          ],
          flushLegs: () => 0,
        }),
      );
      return driven(log, bed);
    },
    ...(implementation === 'disk' && {
      cutPower: (seed: number) => {
        bed.killServer();
        disk.cutPower(new Prng(seed));
        start(seed);
      },
    }),
  };
}

/**
 * Whoever waits for the log moves its time; before it is asked what is clean, so much passes.
 */
function driven(log: DirtyLog, bed: LogServerBed, passMs = 0): DirtyLog {
  let isAsking = false;
  const pass = async (): Promise<void> => {
    await bed.clock.advance({ ended: () => false, untilMs: bed.clock.now() + passMs });
  };
  return new Proxy(log, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const wasAsking = isAsking;
        isAsking = key === 'isClean' || key === 'inSync' || key === 'inSyncNow';
        if (passMs > 0 && key === 'isClean' && !wasAsking) {
          // Clears are told when somebody asks, and some time later they are forgotten.
          const told = bed.until(Promise.resolve(log.isClean(args[0] as Region)));
          return told
            .then(pass)
            .then(() => bed.until(Promise.resolve(log.isClean(args[0] as Region))));
        }
        const answer: unknown = value.apply(target, args);
        if (!(answer instanceof Promise)) return answer;
        return bed.until(answer);
      };
    },
  });
}

for (const [name, options] of [
  ['userspace core', { implementation: 'core', flags: [] }],
  ['userspace disk', { implementation: 'disk', flags: [] }],
  ['userspace disk (integrated flush)', { implementation: 'disk', flags: ['integrated_flush'] }],
  ['userspace core (bad wire)', { implementation: 'core', flags: [], faults: BAD_DAY }],
  ['userspace disk (bad wire)', { implementation: 'disk', flags: [], faults: BAD_DAY }],
] as const) {
  testDirtyLog(t, {
    name,
    remembers: options.implementation === 'disk',
    served: true,
    makeBed: (regionCount) => makeServedBed({ regionCount, ...options }),
  });
}

// --- logs that nodes share, with a single one ---------------------------------------------------

/** Until a mark that was cleared is surely not stored any more. */
const FORGOTTEN_MS = 7000;

function makeSharedBed(regionCount: number, implementation: string): LogBed {
  const isDisk = implementation === 'clustered-disk';
  const disk = new LogDisk({ bytes: 8192 });
  const target = new FakeTarget(regionCount * REGION_SIZE_SECTORS, [disk]);
  let ready = sharedLogBed(disk, regionCount);
  return {
    open: async (word) => {
      const bed = await ready;
      target.clock = bed.clock;
      const words = [...(isDisk ? [disk.name] : []), String(REGION_SIZE_SECTORS), word ?? ''];
      const args = ['log-0', implementation, ...words.filter((one) => one !== '')];
      const log = await bed.until(bed.type.create({ target, args, flushLegs: () => 0 }));
      return driven(log, bed, FORGOTTEN_MS);
    },
    ...(isDisk && {
      cutPower: (seed: number) => {
        disk.cutPower(new Prng(seed));
        ready = sharedLogBed(disk, seed);
      },
    }),
  };
}

for (const name of ['clustered-core', 'clustered-disk']) {
  testDirtyLog(t, {
    name: `userspace ${name}`,
    remembers: name === 'clustered-disk',
    served: true,
    shared: true,
    makeBed: (regionCount) => makeSharedBed(regionCount, name),
  });
}
