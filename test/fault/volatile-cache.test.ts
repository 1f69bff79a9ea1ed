import fc from 'fast-check';
import t from 'tap';
import { OK } from '../../src/base/errno.ts';
import { Prng } from '../../src/base/prng.ts';
import { SECTOR_SIZE, toSector, toSectorCount } from '../../src/base/units.ts';
import { Bio, type BioOp } from '../../src/block/bio.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { DelayFilter } from '../../src/fault/delay-filter.ts';
import { DEVICE_PROFILES, type DeviceProfileName } from '../../src/fault/device-profile.ts';
import { PowerDomain } from '../../src/fault/power-domain.ts';
import type { Fate } from '../../src/fault/unflushed-write.ts';
import { VolatileCache } from '../../src/fault/volatile-cache.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';
import { byEffort } from '../support/effort.ts';

const SECTORS = 16;

/** A cache whose sectors hold one byte value each, as far as these tests are concerned. */
function rig(
  options: { profile?: DeviceProfileName; clock?: VirtualClock; delayMs?: number } = {},
) {
  const memory = new MemoryDevice({ sizeSectors: SECTORS });
  const power = new PowerDomain();
  const { clock, delayMs = 1 } = options;
  const cache = new VolatileCache(memory, {
    profile: DEVICE_PROFILES[options.profile ?? 'volatile-cache'],
    power,
    ...(clock === undefined ? {} : { timing: { clock, delayMs: () => delayMs } }),
  });
  const ended: string[] = [];
  const submit = (op: BioOp, sector: number, count: number, value = 0, fua = false): Bio => {
    const hasData = op !== 'flush' && op !== 'discard';
    // As from a socket: some methods of a Buffer are not those of a Uint8Array.
    const data = hasData ? Buffer.alloc(count * SECTOR_SIZE, value) : null;
    const bio = new Bio({
      op,
      sector: toSector(sector),
      count: toSectorCount(count),
      data,
      fua,
      onEnd: (_bio, result) => {
        // It is the submitter's again, who has another use for it.
        if (op === 'write') data!.fill(0xee);
        ended.push(`${op} ${value} ${result === OK ? 'OK' : result}`);
      },
    });
    cache.submit(bio);
    return bio;
  };
  const valuesOf = (bytes: Uint8Array): number[] =>
    Array.from({ length: bytes.length / SECTOR_SIZE }, (_, sector) => bytes[sector * SECTOR_SIZE]!);
  return {
    cache,
    power,
    ended,
    write: (sector: number, count: number, value: number, fua = false) =>
      submit('write', sector, count, value, fua),
    discard: (sector: number, count: number) => submit('discard', sector, count),
    flush: () => submit('flush', 0, 0),
    read: (sector: number, count: number) => valuesOf(submit('read', sector, count).data!),
    durable: () => valuesOf(memory.bytes),
  };
}

const LOST = (): Fate => 'lost';
const KEPT = (): Fate => 'kept';

t.test('VolatileCache serves reads from unflushed writes, newest first', async (t) => {
  const { write, read, durable } = rig();
  write(2, 3, 1);
  write(3, 1, 2);
  t.same(read(1, 5), [0, 1, 2, 1, 0]);
  t.same(durable(), new Array(SECTORS).fill(0), 'nothing has reached the medium');
});

t.test('VolatileCache.crash() keeps, loses or tears each unflushed write', async (t) => {
  const fates: [string, Fate, number[]][] = [
    ['kept', 'kept', [0, 1, 1, 1, 0]],
    ['lost', 'lost', [0, 0, 0, 0, 0]],
    ['torn: a prefix', [true], [0, 1, 0, 0, 0]],
    ['torn: a subset', [true, false, true], [0, 1, 0, 1, 0]],
  ];
  for (const [name, fate, expected] of fates) {
    const { cache, write, read } = rig();
    write(1, 3, 1);
    await cache.crash(() => fate);
    t.same(read(0, 5), expected, name);
    t.same(cache.unflushed, [], 'and starts with an empty cache');
  }
});

t.test(
  'VolatileCache.crash() decides each write by itself, in the order they took effect',
  async (t) => {
    const { cache, write, read } = rig();
    write(0, 2, 1);
    write(1, 2, 2);
    write(1, 1, 3);
    await cache.crash((one) => (one.id === 2 ? 'lost' : 'kept'));
    t.same(read(0, 3), [1, 3, 0]);
  },
);

t.test('VolatileCache: a flush makes durable what had ended when it was submitted', async (t) => {
  const clock = new VirtualClock();
  const { cache, write, flush, durable } = rig({ clock });
  write(0, 1, 1);
  clock.step();
  write(1, 1, 2);
  flush();
  write(2, 1, 3);
  while (clock.step());
  t.same(durable().slice(0, 3), [1, 0, 0], 'neither what was in flight nor what came later');
  t.same(
    cache.unflushed.map(({ sector }) => sector),
    [1, 2],
  );
  flush();
  while (clock.step());
  t.same(durable().slice(0, 3), [1, 2, 3]);
});

t.test(
  'VolatileCache: a FUA write is durable, and no older write comes back over it',
  async (t) => {
    const { cache, write, read, durable } = rig();
    write(0, 3, 1);
    write(1, 1, 2, true);
    t.same(durable().slice(0, 3), [0, 2, 0], 'the others are not carried along');
    await cache.crash(KEPT);
    t.same(read(0, 3), [1, 2, 1]);
  },
);

t.test('VolatileCache: an older flush does not bring back what a newer one replaced', async (t) => {
  const clock = new VirtualClock();
  const { write, flush, durable } = rig({ clock });
  write(0, 1, 1);
  clock.step();
  flush();
  write(0, 1, 2);
  flush();
  while (clock.step());
  t.same(durable()[0], 1, 'the second write ended after both flushes were submitted');
  flush();
  while (clock.step());
  t.same(durable()[0], 2);
});

t.test('VolatileCache: without power nothing has an effect and nothing ends', async (t) => {
  const clock = new VirtualClock();
  const { cache, power, ended, write, flush, durable } = rig({ clock });
  write(0, 1, 1, true);
  flush();
  power.cut();
  write(1, 1, 2, true);
  while (clock.step());
  t.same(ended, []);
  t.same(durable().slice(0, 2), [0, 0]);
  t.same(
    cache.unflushed.map(({ sector, ended }) => [sector, ended]),
    [[0, false]],
  );
  power.restore();
  await cache.crash(KEPT);
  t.same(durable().slice(0, 2), [1, 0], 'a write in flight may have reached the medium');
  while (clock.step());
  t.same(ended, [], 'and still nobody is told');
});

t.test('VolatileCache: profiles that break a promise break that one', async (t) => {
  for (const [profile, expected] of [
    ['volatile-cache', [1, 2, 0]],
    ['ignores-flush', [0, 2, 0]],
    ['ignores-fua', [1, 0, 0]],
    ['no-cache', [1, 2, 3]],
  ] as const) {
    const { cache, write, flush, read } = rig({ profile });
    write(0, 1, 1);
    flush();
    write(1, 1, 2, true);
    write(2, 1, 3);
    await cache.crash(LOST);
    t.same(read(0, 3), expected, profile);
  }
});

t.test('VolatileCache: a disk with atomic groups of sectors is not torn inside one', async (t) => {
  const { cache, write, read } = rig({ profile: 'atomic-4k' });
  write(6, 4, 1);
  await cache.crash(() => [false, true, true, false]);
  t.same(read(6, 4), [0, 0, 1, 1], 'a group has the fate of its first sector in the write');
});

t.test('VolatileCache: discarded sectors may keep what they held', async (t) => {
  const memory = new MemoryDevice({ sizeSectors: SECTORS });
  memory.bytes.fill(7);
  const cache = new VolatileCache(memory, { discard: 'keeps' });
  const bio = { sector: toSector(0), count: toSectorCount(1), data: null, fua: false };
  cache.submit(new Bio({ op: 'discard', ...bio, onEnd: (_bio, result) => t.equal(result, OK) }));
  t.equal(memory.bytes[0], 7);
  const zeroing = rig();
  zeroing.write(0, 1, 7);
  zeroing.discard(0, 1);
  t.same(zeroing.read(0, 1), [0]);
});

/** Per sector: what is durable, and every value that may come instead. */
class Model {
  readonly durable = new Array<number>(SECTORS).fill(0);
  open: { sector: number; count: number; value: number }[] = [];

  write(sector: number, count: number, value: number, fua: boolean): void {
    if (!fua) {
      this.open.push({ sector, count, value });
      return;
    }
    for (let at = sector; at < sector + count; at++) {
      this.durable[at] = value;
      this.open = this.open.flatMap((write) => split(write, at));
    }
  }

  flush(): void {
    for (const { sector, count, value } of this.open)
      this.durable.fill(value, sector, sector + count);
    this.open = [];
  }

  possible(at: number): number[] {
    const later = this.open.filter(({ sector, count }) => at >= sector && at < sector + count);
    return [this.durable[at]!, ...later.map(({ value }) => value)];
  }
}

/** The write without the sector `at`. */
function split(write: { sector: number; count: number; value: number }, at: number) {
  const { sector, count, value } = write;
  if (at < sector || at >= sector + count) return [write];
  return [
    { sector, count: at - sector, value },
    { sector: at + 1, count: sector + count - at - 1, value },
  ].filter((part) => part.count > 0);
}

t.test('VolatileCache over a slow medium answers one request at a time, in order', async (t) => {
  const clock = new VirtualClock();
  const memory = new MemoryDevice({ sizeSectors: SECTORS });
  const slow = new DelayFilter(memory, clock);
  slow.arm({}, { delayMs: 1 });
  const cache = new VolatileCache(slow);
  const ended: string[] = [];
  const submit = (op: BioOp, value: number, fua = false): Uint8Array => {
    const data = new Uint8Array(op === 'flush' ? 0 : SECTOR_SIZE).fill(value);
    cache.submit(
      new Bio({
        op,
        sector: toSector(0),
        count: toSectorCount(op === 'flush' ? 0 : 1),
        data: op === 'flush' ? null : data,
        fua,
        onEnd: () => ended.push(`${op} ${data[0] ?? ''}`),
      }),
    );
    return data;
  };
  submit('write', 1);
  submit('flush', 0);
  submit('read', 0);
  submit('write', 2, true);
  submit('read', 0);
  submit('write', 3);
  submit('read', 0);
  t.same(ended, ['write 1'], 'the first needs no medium');
  await clock.run({ ended: () => false, untilMs: 100 });
  t.same(ended.slice(1), ['flush ', 'read 1', 'write 2', 'read 2', 'write 3', 'read 3']);
  t.equal(memory.bytes[0], 2);
  await Promise.all([cache.crash(KEPT), clock.run({ ended: () => false, untilMs: 100 })]);
  t.equal(memory.bytes[0], 3);
});

t.test('VolatileCache agrees with a model of durable and possible values', async () => {
  const step = fc.record({
    op: fc.constantFrom('write', 'write', 'fua', 'flush', 'crash'),
    sector: fc.nat(SECTORS - 1),
    count: fc.integer({ min: 1, max: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.nat(), async (steps, seed) => {
      const { cache, write, flush, read } = rig();
      const model = new Model();
      const prng = new Prng(seed);
      for (const [index, { op, sector, count: wanted }] of steps.entries()) {
        const count = Math.min(wanted, SECTORS - sector);
        if (op === 'flush') {
          flush();
          model.flush();
        } else if (op === 'crash') {
          await cache.crash(({ count }) => Array.from({ length: count }, () => prng.chance(1, 2)));
          const found = read(0, SECTORS);
          for (const [at, value] of found.entries()) {
            if (!model.possible(at).includes(value)) return false;
          }
          model.open = [];
          model.durable.splice(0, SECTORS, ...found);
        } else {
          write(sector, count, index + 1, op === 'fua');
          model.write(sector, count, index + 1, op === 'fua');
        }
        const newest = Array.from({ length: SECTORS }, (_, at) => model.possible(at).at(-1));
        if (`${read(0, SECTORS)}` !== `${newest}`) return false;
      }
      return true;
    }),
    { numRuns: byEffort({ quick: 50, standard: 300, full: 10_000 }) },
  );
});
