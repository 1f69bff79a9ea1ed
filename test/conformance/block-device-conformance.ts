/**
 * What every `BlockDevice` must do, told once and run over each of them: the contract of
 * `src/block/block-device.ts`, and a model that any sequence of requests is compared with.
 */

import fc from 'fast-check';
import type { Test } from 'tap';
import { OK } from '../../src/base/errno.ts';
import { Prng } from '../../src/base/prng.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../../src/base/units.ts';
import { allocationOf } from '../../src/block/allocation.ts';
import { Bio, type BioOp } from '../../src/block/bio.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { CheckedDevice } from '../../src/block/checked-device.ts';
import { runBio } from '../../src/block/run-bio.ts';
import { byEffort } from '../support/effort.ts';

export interface DeviceUnderTest {
  readonly device: BlockDevice;
  /** Ends what was started for it. The suite has closed the device. */
  readonly dispose?: () => Promise<void> | void;
  /** What is on the medium, read in another way, if there is one. */
  readonly medium?: () => Uint8Array;
}

const SECTORS = 4096;

interface Step {
  readonly op: BioOp;
  readonly sector: number;
  readonly count: number;
  readonly fua: boolean;
  readonly seed: number;
}

interface Situation {
  readonly t: Test;
  /** Checked on both sides. */
  readonly device: BlockDevice;
  readonly under: DeviceUnderTest;
  /** Sectors in a block. */
  readonly block: number;
}

type Case = (situation: Situation) => Promise<void>;

const CASES: Readonly<Record<string, Case>> = {
  'reads zeros where nothing was written': readsZeros,
  'reads back what was written, first and last block included': readsBack,
  'carries out transfers of every size up to 1 MiB': transfersEverySize,
  'ends every one of many bios in flight, and flushes between them': endsAll,
  'gives back the bio it was given, with everything in it unchanged': givesBackTheBio,
  'lets a bio be submitted again from within its end': resubmits,
  'agrees with an array of bytes after any requests': agreesWithModel,
  'keeps the last of the writes to one place that it was given together': keepsTheLast,
};

/** `make` gives a zeroed device of the size it is asked for, at least. */
export function blockDeviceConformance(
  t: Test,
  make: (sectors: number) => Promise<DeviceUnderTest>,
): void {
  for (const [name, run] of Object.entries(CASES)) {
    t.test(name, async (t) => {
      const under = await make(SECTORS);
      const device = new CheckedDevice(under.device, { checksums: true });
      try {
        await run({ t, device, under, block: device.logicalBlockSize / SECTOR_SIZE });
      } finally {
        await device.close();
        await under.dispose?.();
      }
    });
  }
}

async function readsZeros({ t, device }: Situation): Promise<void> {
  const data = pattern(1, 64);
  t.equal(await runBio(device, { op: 'read', sector: at(0), count: n(64), data }), OK);
  t.ok(data.every((byte) => byte === 0));
}

async function readsBack({ t, device, under, block }: Situation): Promise<void> {
  for (const sector of [0, 8 * block, device.sizeSectors - 8 * block]) {
    const data = pattern(sector + 1, 8 * block);
    const range = { sector: at(sector), count: n(8 * block) };
    t.equal(await runBio(device, { op: 'write', ...range, data }), OK);
    t.strictSame(await readBack(device, sector, 8 * block), data);
    const bytes = under
      .medium?.()
      .subarray(sector * SECTOR_SIZE)
      .subarray(0, data.length);
    if (bytes !== undefined) t.same(Buffer.compare(bytes, data), 0, 'on the medium');
  }
}

async function transfersEverySize({ t, device, block }: Situation): Promise<void> {
  for (const count of [1, 2, 7, 64, 255, 256].concat(block === 1 ? [257, 512, 2048] : [])) {
    const data = pattern(count, count * block);
    const range = { sector: at(3 * block), count: n(count * block) };
    t.equal(await runBio(device, { op: 'write', ...range, data }), OK, `${count} blocks`);
    t.equal(Buffer.compare(await readBack(device, 3 * block, count * block), data), 0);
  }
}

async function endsAll({ t, device, block }: Situation): Promise<void> {
  const results = await Promise.all(
    Array.from({ length: 200 }, (_unused, index) =>
      index % 10 === 9
        ? runBio(device, { op: 'flush' })
        : runBio(device, {
            op: 'write',
            sector: at(index * 2 * block),
            count: n(2 * block),
            data: pattern(index, 2 * block),
            fua: index % 3 === 0,
          }),
    ),
  );
  t.ok(results.every((result) => result === OK));
  for (let index = 0; index < 200; index++) {
    if (index % 10 === 9) continue;
    const found = await readBack(device, index * 2 * block, 2 * block);
    t.equal(Buffer.compare(found, pattern(index, 2 * block)), 0);
  }
}

async function givesBackTheBio({ t, device, block }: Situation): Promise<void> {
  const data = pattern(5, block);
  const context = { mine: true };
  await new Promise<void>((resolve) => {
    const bio = new Bio({
      op: 'write',
      sector: at(block),
      count: n(block),
      data,
      fua: true,
      context,
      onEnd: (ended, result) => {
        t.equal(ended, bio);
        t.equal(result, OK);
        t.match(ended, { op: 'write', sector: block, count: block, fua: true });
        t.equal(ended.context, context);
        t.equal(ended.data, data);
        resolve();
      },
    });
    device.submit(bio);
  });
}

async function resubmits({ t, device, block }: Situation): Promise<void> {
  let left = 50;
  await new Promise<void>((resolve) => {
    const bio = new Bio({
      op: 'write',
      sector: at(0),
      count: n(block),
      data: pattern(1, block),
      fua: false,
      onEnd: (ended) => {
        left -= 1;
        if (left === 0) resolve();
        else device.submit(ended);
      },
    });
    device.submit(bio);
  });
  t.equal(left, 0);
}

async function agreesWithModel({ device, under, block }: Situation): Promise<void> {
  const { discard, writeZeroes } = device.capabilities;
  const ops: BioOp[] = ['read', 'write', 'write', 'flush'];
  if (discard) ops.push('discard');
  if (writeZeroes) ops.push('write-zeroes');
  const blocks = SECTORS / block;
  const step: fc.Arbitrary<Step> = fc
    .tuple(
      fc.constantFrom(...ops),
      fc.nat(blocks - 1),
      fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 600 })),
      fc.boolean(),
      fc.nat(),
    )
    .map(([op, first, length, fua, seed]) => ({
      op,
      sector: first * block,
      count: Math.min(length, blocks - first) * block,
      fua: fua && op !== 'read' && op !== 'flush',
      seed,
    }));
  const model = new Model(SECTORS);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      for (const each of steps) await model.apply(device, each);
      await model.compare(device);
      await compareZeros(device);
      const medium = under.medium?.();
      if (medium !== undefined) model.compareBytes(medium);
    }),
    // The device is not zeroed between runs, and neither is the model; so a failing run cannot
    // be made smaller, but it repeats.
    { numRuns: byEffort({ quick: 5, standard: 30, full: 300 }), endOnFailure: true },
  );
}

/** Or the legs of a mirror, which get the same writes, would differ in the end. */
async function keepsTheLast({ device, under, block }: Situation): Promise<void> {
  const blocks = SECTORS / block;
  // Small ones and large ones, a few of which overlap each other wherever they begin.
  const length = fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: blocks / 2 }));
  const write = fc.record({ first: fc.nat(blocks / 2 - 1), length, seed: fc.nat() });
  const model = new Model(SECTORS);
  await fc.assert(
    fc.asyncProperty(fc.array(write, { minLength: 2, maxLength: 12 }), async (writes) => {
      const steps = writes.map(
        (one): Step => ({
          op: 'write',
          sector: one.first * block,
          count: one.length * block,
          fua: one.seed % 8 === 0,
          seed: one.seed,
        }),
      );
      await Promise.all(steps.map((step) => model.apply(device, step)));
      await model.compare(device);
      const medium = under.medium?.();
      if (medium !== undefined) model.compareBytes(medium);
    }),
    { numRuns: byEffort({ quick: 3, standard: 5, full: 300 }), endOnFailure: true },
  );
}

/** Whatever is said to read as zeros does. */
async function compareZeros(device: BlockDevice): Promise<void> {
  for (let sector = 0; sector < SECTORS; ) {
    const { count, zero } = allocationOf(device, at(sector), n(SECTORS - sector));
    const data = zero ? await readBack(device, sector, count) : [];
    equal(
      data.findIndex((byte) => byte !== 0),
      -1,
      `zeros at ${sector}+${count}`,
    );
    sector += count;
  }
}

/**
 * What must be on the device: bytes, and for each sector whether it is known (a discard forgets).
 */
class Model {
  readonly #bytes: Uint8Array;
  readonly #known: boolean[];

  constructor(sectors: number) {
    this.#bytes = new Uint8Array(sectors * SECTOR_SIZE);
    this.#known = new Array<boolean>(sectors).fill(true);
  }

  async apply(device: BlockDevice, step: Step): Promise<void> {
    const { op, sector, count, fua } = step;
    if (op === 'flush') {
      equal(await runBio(device, { op }), OK, 'flush');
      return;
    }
    const data = op === 'read' || op === 'write' ? pattern(step.seed, count) : null;
    if (op !== 'read') {
      this.#bytes.set(data ?? new Uint8Array(count * SECTOR_SIZE), sector * SECTOR_SIZE);
      this.#known.fill(op !== 'discard', sector, sector + count);
    }
    const result = await runBio(device, { op, sector: at(sector), count: n(count), data, fua });
    equal(result, OK, `${op} ${sector}+${count}`);
    if (op === 'read') this.#compareRange(data!, sector);
  }

  async compare(device: BlockDevice): Promise<void> {
    for (let sector = 0; sector < this.#known.length; sector += 1024) {
      const count = Math.min(1024, this.#known.length - sector);
      this.#compareRange(await readBack(device, sector, count), sector);
    }
  }

  compareBytes(bytes: Uint8Array): void {
    this.#compareRange(bytes.subarray(0, this.#bytes.length), 0);
  }

  #compareRange(found: Uint8Array, firstSector: number): void {
    for (let index = 0; index * SECTOR_SIZE < found.length; index++) {
      const sector = firstSector + index;
      if (this.#known[sector] !== true) continue;
      const start = sector * SECTOR_SIZE;
      const expected = this.#bytes.subarray(start, start + SECTOR_SIZE);
      const actual = found.subarray(index * SECTOR_SIZE, (index + 1) * SECTOR_SIZE);
      equal(Buffer.compare(actual, expected), 0, `sector ${sector}`);
    }
  }
}

async function readBack(device: BlockDevice, sector: number, count: number): Promise<Uint8Array> {
  const data = new Uint8Array(count * SECTOR_SIZE).fill(0xee);
  equal(
    await runBio(device, { op: 'read', sector: at(sector), count: n(count), data }),
    OK,
    'read',
  );
  return data;
}

export function pattern(seed: number, sectors: number): Uint8Array {
  const bytes = new Uint8Array(sectors * SECTOR_SIZE);
  const sample = new Uint8Array(64);
  new Prng(seed).fill(sample);
  for (let i = 0; i < bytes.length; i++) bytes[i] = sample[i & 63]! ^ (i >> 9);
  return bytes;
}

function equal<T>(found: T, expected: T, what: string): void {
  if (found !== expected) throw new Error(`${what}: found ${found}, expected ${expected}`);
}

function at(sector: number): Sector {
  return sector as Sector;
}

function n(count: number): SectorCount {
  return count as SectorCount;
}
