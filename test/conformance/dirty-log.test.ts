import t from 'tap';
import { Prng } from '../../src/base/prng.ts';
import { coreLogType } from '../../src/dirtylog/core-log.ts';
import type { DirtyLogType } from '../../src/dirtylog/dirty-log.ts';
import { createDiskLogType, diskLogType } from '../../src/dirtylog/disk-log.ts';
import { FakeLegs, FakeTarget, LogDisk } from '../support/log-fixture.ts';
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
