/**
 * The histories of the kernel's disk-log cases, gone through with our disk log: what it leaves on
 * the device equals the kernel's bytes, and its words of a status line the kernel's words.
 */

import { deepEqual } from 'node:assert/strict';
import t, { type Test } from 'tap';
import { EIO, OK } from '../../src/base/errno.ts';
import { type Region, toRegion } from '../../src/base/units.ts';
import type { DirtyLog } from '../../src/dirtylog/dirty-log.ts';
import { createDiskLogType, diskLogType } from '../../src/dirtylog/disk-log.ts';
import type { SyncWord } from '../../src/dirtylog/log-args.ts';
import { decodeLogHeader, trustedRegions } from '../../src/dirtylog/log-header.ts';
import { asInTable } from '../../src/dm/device-naming.ts';
import { goldenBytes, goldenCaseNames, loadGoldenCase } from '../support/golden.ts';
import { FakeLegs, FakeTarget, LogDisk } from '../support/log-fixture.ts';

interface TableOptions {
  readonly sectors?: number;
  readonly regionSize?: number;
  readonly word?: SyncWord;
}

/** A log under the hands of a mirror's worker that does only what the story says. */
class Story {
  readonly disk: LogDisk;
  readonly legs = new FakeLegs();
  target = new FakeTarget(16384);
  log!: DirtyLog;
  readonly #t: Test;
  readonly #caseName: string;

  constructor(t: Test, caseName: string, disk: LogDisk = new LogDisk({})) {
    this.#t = t;
    this.#caseName = caseName;
    this.disk = disk;
  }

  /** A new table; its first pass of the worker flushes, and hands out the first region to copy. */
  async create(options: TableOptions = {}): Promise<number> {
    const { sectors = 16384, regionSize = 1024, word = null } = options;
    this.target = new FakeTarget(sectors, [this.disk]);
    this.log = await diskLogType.create({
      target: this.target,
      args: [this.disk.name, String(regionSize), ...(word === null ? [] : [word])],
      flushLegs: this.legs.flush,
    });
    return this.resume();
  }

  async resume(): Promise<number> {
    const result = await this.log.resume();
    await this.log.flush();
    return result;
  }

  async suspend(): Promise<void> {
    await this.log.presuspend();
    await this.log.postsuspend();
  }

  async remove(): Promise<void> {
    await this.suspend();
    await this.log.destroy();
  }

  async mark(...regions: number[]): Promise<number> {
    for (const region of regions) this.log.markRegion(toRegion(region));
    return this.log.flush();
  }

  async clear(...regions: number[]): Promise<number> {
    for (const region of regions) this.log.clearRegion(toRegion(region));
    return this.log.flush();
  }

  /** The copy of a region that was taken up has succeeded. */
  async finish(region: number): Promise<void> {
    this.log.clearRegion(toRegion(region));
    await this.log.setRegionSync(toRegion(region), true);
    await this.log.flush();
  }

  /** Copies so many regions, and takes the next one up. */
  async recover(count = Number.POSITIVE_INFINITY): Promise<Region | null> {
    let region = await this.log.getResyncWork();
    await this.log.flush();
    for (let done = 0; region !== null && done < count; done++) {
      await this.finish(region);
      region = await this.log.getResyncWork();
      await this.log.flush();
    }
    return region;
  }

  /** The device holds what the kernel left there. */
  kept(label: string): void {
    const file = `${this.#caseName}.${label}.bin`;
    const expected = goldenBytes(file);
    const actual = this.disk.bytes.slice(0, expected.length);
    this.#t.equal(
      Buffer.compare(actual, expected),
      0,
      `${file} (${differences(actual, expected)})`,
    );
  }

  async status(info: string, syncCount: number): Promise<void> {
    this.#t.equal(await this.log.status('info', asInTable), info);
    this.#t.equal(await this.log.getSyncCount(), syncCount);
  }
}

function differences(actual: Uint8Array, expected: Uint8Array): string {
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  return at < 0 ? 'equal' : `byte ${at} is ${actual[at]}, must be ${expected[at]}`;
}

const GOOD = '3 disk 254:64 A';

t.test('disk-fresh: all is out of sync, then copied', async (t) => {
  const story = new Story(t, 'disk-fresh');
  story.kept('zeros');
  t.equal(await story.create(), OK);
  t.equal(await story.recover(0), 0, 'the first region is being copied');
  await story.status(GOOD, 0);
  t.equal(await story.log.status('table', asInTable), 'disk 2 254:64 1024');
  story.kept('fresh');
  await story.finish(0);
  t.equal(await story.recover(), null, 'and then there is no more work');
  await story.status(GOOD, 16);
  story.kept('synced');
  await story.remove();
  story.kept('removed');
});

t.test('disk-nosync, disk-sync: the words that overrule the log', async (t) => {
  const first = new Story(t, 'disk-nosync');
  await first.create({ word: 'nosync' });
  await first.status(GOOD, 16);
  first.kept('created');
  await first.remove();
  first.kept('removed');

  const story = new Story(t, 'disk-sync');
  await story.create({ word: 'nosync' });
  await story.remove();
  story.kept('nosync');
  await story.create({ word: 'sync' });
  await story.status(GOOD, 0);
  story.kept('sync');
  await story.recover();
  await story.status(GOOD, 16);
  story.kept('synced');
});

t.test('disk-nosync-on-dirty: what the log says is thrown away', async (t) => {
  const contents = goldenBytes('disk-nosync-on-dirty.held.bin');
  const story = new Story(t, 'disk-nosync-on-dirty', new LogDisk({ contents }));
  await story.create({ word: 'nosync' });
  await story.status(GOOD, 16);
  story.kept('nosync');
});

t.test('disk-garbage: a foreign log counts as new, and its gaps stay', async (t) => {
  const contents = new Uint8Array(65536).fill(0xa5);
  const story = new Story(t, 'disk-garbage', new LogDisk({ contents }));
  t.equal(await story.create(), OK);
  await story.status(GOOD, 0);
  story.kept('created');
});

t.test('disk-bad-version: versions 0 and 3 are refused and written back, 1 is taken', async (t) => {
  for (const [version, health] of [
    [0, 'D'],
    [1, 'A'],
    [3, 'D'],
  ] as const) {
    const contents = new Uint8Array(1536).fill(0xff, 1024);
    contents.set([0x72, 0x52, 0x69, 0x4d, version, 0, 0, 0, 16]);
    const story = new Story(t, 'disk-bad-version', new LogDisk({ contents }));
    t.equal(await story.create(), OK, 'it could be written');
    await story.status(`3 disk 254:64 ${health}`, health === 'A' ? 16 : 0);
    t.same(
      story.target.kernelMessages,
      health === 'A'
        ? []
        : [
            'incompatible disk log version',
            '254:64: Failed to read header on dirty region log device',
          ],
    );
    t.equal(story.target.events, health === 'A' ? 0 : 1);
    await story.recover();
    await story.status(`3 disk 254:64 ${health}`, 16);
    story.kept(`version-${version}`);
    await story.remove();
  }
});

t.test('disk-odd-counts: padding behind the last region', async (t) => {
  for (const count of [1, 13, 31, 32, 33, 63, 64, 65]) {
    const story = new Story(t, 'disk-odd-counts');
    await story.create({ sectors: count * 512, regionSize: 512, word: 'nosync' });
    await story.status(GOOD, count);
    story.kept(String(count));
  }
});

t.test('disk-extend, disk-shrink: new regions are out of sync, surplus ones dropped', async (t) => {
  const story = new Story(t, 'disk-extend');
  await story.create();
  await story.recover();
  story.kept('sixteen');
  await story.suspend();
  await story.create({ sectors: 24576 });
  t.equal(await story.recover(0), 16, 'the first new region is being copied');
  await story.status(GOOD, 16);
  story.kept('extended');
  await story.finish(16);
  await story.recover();
  await story.status(GOOD, 24);
  story.kept('synced');

  const shorter = new Story(t, 'disk-shrink', new LogDisk({ contents: story.disk.bytes }));
  await shorter.create({ sectors: 10240 });
  await shorter.status(GOOD, 10);
  shorter.kept('shrunk');
});

t.test('disk-4096-sectors: the image is one whole block', async (t) => {
  const disk = new LogDisk({ name: '7:0', blockSize: 4096 });
  const story = new Story(t, 'disk-4096-sectors', disk);
  await story.create({ word: 'nosync' });
  await story.status('3 disk 7:0 A', 16);
  story.kept('created');
  t.same(disk.history.slice(0, 3), ['read 0+8', 'write 0+8', 'flush']);
});

t.test('disk-dirty-write, disk-dirty-many, disk-large-bitset: marks in flight', async (t) => {
  const one = new Story(t, 'disk-dirty-write');
  await one.create({ word: 'nosync' });
  one.kept('before');
  await one.mark(5);
  one.kept('during');
  await one.clear(5);
  one.kept('after');
  await one.remove();
  one.kept('removed');

  const many = new Story(t, 'disk-dirty-many');
  await many.create({ word: 'nosync' });
  await many.mark(0, 3, 9, 15, 11, 12);
  many.kept('during');
  await many.clear(0, 3, 9, 15, 11, 12);
  many.kept('after');

  const large = new Story(t, 'disk-large-bitset');
  await large.create({ sectors: 65536, regionSize: 8, word: 'nosync' });
  large.kept('before');
  await large.mark(0, 4095, 4096, 8191);
  large.kept('during');
  await large.clear(0, 4095, 4096, 8191);
  large.kept('after');
});

t.test('disk-held-at-five: a write to a region out of sync marks nothing', async (t) => {
  const story = new Story(t, 'disk-held-at-five');
  await story.create();
  t.equal(await story.recover(5), 5, 'the sixth region is being copied');
  await story.status(GOOD, 5);
  story.kept('held');
  await story.log.flush();
  story.kept('written');
  await story.finish(5);
  await story.recover();
  await story.status(GOOD, 16);
  story.kept('synced');
});

t.test('disk-crash-dirty, disk-crash-syncing: what a power cut leaves is copied', async (t) => {
  const story = new Story(t, 'disk-crash-dirty');
  await story.create({ word: 'nosync' });
  story.kept('before');
  await story.mark(5);
  story.disk.bytes.set(story.disk.durable);
  story.kept('after-power-cut');
  await story.create();
  await story.status(GOOD, 15);
  story.kept('resumed');
  await story.recover();
  await story.status(GOOD, 16);
  story.kept('synced');

  const contents = goldenBytes('disk-crash-syncing.after-power-cut.bin');
  const syncing = new Story(t, 'disk-crash-syncing', new LogDisk({ contents }));
  await syncing.create();
  await syncing.status(GOOD, 5);
  await syncing.recover();
  syncing.kept('synced');
});

t.test('disk-write-suspend, disk-leg-fails: what a suspend writes', async (t) => {
  const story = new Story(t, 'disk-write-suspend');
  await story.create({ word: 'nosync' });
  await story.mark(5);
  await story.clear(5);
  story.kept('written');
  await story.suspend();
  story.kept('suspended');
  await story.resume();
  story.kept('resumed');

  const failed = new Story(t, 'disk-leg-fails');
  await failed.create({ word: 'nosync' });
  await failed.mark(5);
  await failed.log.setRegionSync(toRegion(5), false);
  await failed.log.flush();
  failed.kept('failed');
  await failed.remove();
  failed.kept('removed');
});

t.test('disk-flush-fails: a leg that cannot flush makes every region dirty', async (t) => {
  const story = new Story(t, 'disk-flush-fails');
  story.legs.result = EIO;
  await story.create({ word: 'nosync' });
  await story.status(GOOD, 16);
  story.kept('before');
  t.equal(await story.mark(5), OK, 'the log itself has not failed');
  t.equal(await story.clear(5), OK);
  story.kept('after');
  await story.mark(8);
  story.kept('second');
});

t.test('disk-log-flush-fails: the letter is F, the bits are written', async (t) => {
  const story = new Story(t, 'disk-log-flush-fails', new LogDisk({ name: '253:1' }));
  story.disk.failing.add('flush');
  t.equal(await story.create({ word: 'nosync' }), EIO);
  t.same(story.target.kernelMessages, ['253:1: Failed to write header on dirty region log device']);
  await story.status('3 disk 253:1 F', 16);
  story.kept('created');
  t.equal(await story.mark(5), EIO);
  await story.status('3 disk 253:1 F', 16);
  t.equal(story.target.events, 1);
  story.kept('written');
});

t.test('disk-log-unreadable: everything is out of sync, the letter is D', async (t) => {
  const story = new Story(t, 'disk-log-unreadable', new LogDisk({ name: '253:0' }));
  for (const op of ['read', 'write', 'flush'] as const) story.disk.failing.add(op);
  t.equal(await story.create(), EIO);
  t.same(story.target.kernelMessages, [
    '253:0: Failed to read header on dirty region log device',
    '253:0: Failed to write header on dirty region log device',
  ]);
  await story.status('3 disk 253:0 D', 0);
  await story.recover();
  await story.status('3 disk 253:0 D', 16);
  t.equal(story.target.events, 1);
});

t.test('disk-log-comes-back: the letter stays, the bits are written again', async (t) => {
  const story = new Story(t, 'disk-log-comes-back', new LogDisk({ name: '253:0' }));
  await story.create({ word: 'nosync' });
  story.disk.failing.add('write');
  t.equal(await story.mark(5), EIO);
  await story.status('3 disk 253:0 D', 16);
  t.equal(await story.log.postsuspend(), EIO, 'the suspend could not write either');
  story.disk.failing.clear();
  t.equal(await story.resume(), OK);
  t.equal(await story.mark(5), OK, 'the write that waited is marked again');
  await story.status('3 disk 253:0 D', 16);
  t.equal(story.target.events, 1, 'one event, whatever fails after it');
  story.kept('resumed');
});

t.test('Every log that the kernel wrote opens here and is written back as it is', async (t) => {
  const files = goldenCaseNames()
    .flatMap((name) => loadGoldenCase(name).steps)
    .flatMap((step) => (step.kind === 'kept' ? [step.file] : []))
    .filter((file) => !/zeros|version-[03]/.test(file));
  t.ok(files.length > 50, `${files.length} logs`);
  const types = { whole: diskLogType, 'in part': createDiskLogType({ wholeWriteBytesMax: 0 }) };
  for (const file of files) {
    const contents = goldenBytes(file);
    const regionCount = trustedRegions(decodeLogHeader(contents));
    for (const [how, type] of Object.entries(types)) {
      const disk = new LogDisk({ contents });
      const target = new FakeTarget(regionCount * 8, [disk]);
      const log = await type.create({ target, args: [disk.name, '8'], flushLegs: () => OK });
      t.equal(await log.resume(), OK, file);
      for (let region = 0; region < regionCount; region++) {
        const stored = (contents[1024 + (region >> 3)]! >> (region & 7)) & 1;
        deepEqual(await log.inSync(toRegion(region)), stored, `${file}, region ${region}`);
      }
      await log.flush();
      await log.postsuspend();
      await log.destroy();
      const written = disk.bytes.subarray(0, contents.length);
      t.equal(Buffer.compare(written, contents), 0, `${file}, written ${how}`);
    }
  }
});
