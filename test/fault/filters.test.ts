import t from 'tap';
import { EIO, ENOSPC, errnoName } from '../../src/base/errno.ts';
import { Prng } from '../../src/base/prng.ts';
import { SECTOR_SIZE, toSector, toSectorCount } from '../../src/base/units.ts';
import { Bio, type BioOp } from '../../src/block/bio.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { DelayFilter } from '../../src/fault/delay-filter.ts';
import { ErrorFilter } from '../../src/fault/error-filter.ts';
import { Failpoint, formatCrashPoint, parseCrashPoint } from '../../src/fault/failpoint.ts';
import { DeviceFilter } from '../../src/fault/filter.ts';
import { PauseFilter } from '../../src/fault/pause-filter.ts';
import { PowerDomain, PoweredDevice } from '../../src/fault/power-domain.ts';
import { VolatileCache } from '../../src/fault/volatile-cache.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';
import { blockDeviceConformance } from '../conformance/block-device-conformance.ts';

const SECTORS = 16;

/** Sends requests to a device and notes, in order, what ended how. */
class Sender {
  readonly ended: string[] = [];
  readonly #device: BlockDevice;

  constructor(device: BlockDevice) {
    this.#device = device;
  }

  send(op: BioOp, sector = 0, count = op === 'flush' ? 0 : 1, value = 1): Bio {
    const data = op === 'flush' ? null : new Uint8Array(count * SECTOR_SIZE).fill(value);
    const bio = new Bio({
      op,
      sector: toSector(sector),
      count: toSectorCount(count),
      data,
      fua: false,
      onEnd: (_bio, result) => this.ended.push(`${op} ${sector} ${errnoName(result)}`),
    });
    this.#device.submit(bio);
    return bio;
  }
}

for (const [name, make] of Object.entries<(next: BlockDevice) => BlockDevice>({
  DeviceFilter: (next) => new DeviceFilter(next),
  ErrorFilter: (next) => new ErrorFilter(next),
  DelayFilter: (next) => new DelayFilter(next, new VirtualClock()),
  PauseFilter: (next) => new PauseFilter(next),
  PoweredDevice: (next) => new PoweredDevice(next, new PowerDomain()),
  VolatileCache: (next) => new VolatileCache(next),
})) {
  t.test(`${name}, with nothing armed`, async (t) => {
    blockDeviceConformance(t, async (sizeSectors) => ({
      device: make(new MemoryDevice({ sizeSectors })),
    }));
  });
}

t.test('ErrorFilter fails what a rule matches, and reports how often', async (t) => {
  const filter = new ErrorFilter(new MemoryDevice({ sizeSectors: SECTORS }));
  const sender = new Sender(filter);
  const writes = filter.arm(
    { ops: ['write'], extent: { sector: 4, count: 4 }, skip: 1, times: 2 },
    { result: EIO },
  );
  const flushes = filter.arm({ ops: ['flush'] }, { result: ENOSPC });
  const never = filter.arm({ ops: ['discard'] }, { result: EIO });
  for (const [op, sector, count] of [
    ['write', 3, 1],
    ['write', 3, 2],
    ['read', 4, 1],
    ['write', 7, 4],
    ['write', 8, 1],
    ['write', 4, 1],
    ['write', 5, 1],
    ['flush', 0, 0],
  ] as const) {
    sender.send(op, sector, count);
  }
  t.same(sender.ended, [
    'write 3 OK',
    'write 3 OK',
    'read 4 OK',
    'write 7 EIO',
    'write 8 OK',
    'write 4 EIO',
    'write 5 OK',
    'flush 0 ENOSPC',
  ]);
  t.same([writes.fired, writes.matched, writes.armed], [2, 3, false]);
  t.same([flushes.fired, never.fired, never.matched], [1, 0, 0]);
  flushes.disarm();
  sender.send('flush');
  t.equal(sender.ended.at(-1), 'flush 0 OK');
});

t.test('ErrorFilter states the effect of an error: none, all, or the first sectors', async (t) => {
  for (const [effect, expected] of [
    ['none', [0, 0, 0]],
    ['all', [1, 1, 1]],
    [2, [1, 1, 0]],
    [0, [0, 0, 0]],
    [9, [1, 1, 1]],
  ] as const) {
    const memory = new MemoryDevice({ sizeSectors: SECTORS });
    const filter = new ErrorFilter(memory);
    filter.arm({}, { result: EIO, effect });
    const sender = new Sender(filter);
    const bio = sender.send('write', 0, 3);
    t.same(sender.ended, ['write 0 EIO']);
    t.match(bio.detail, /injected/);
    t.same(
      [0, 1, 2].map((sector) => memory.bytes[sector * SECTOR_SIZE]),
      expected,
      `${effect}`,
    );
  }
});

t.test('ErrorFilter strikes a share of the requests, the same for the same seed', async (t) => {
  const strikes = (seed: number): string => {
    const filter = new ErrorFilter(new MemoryDevice({ sizeSectors: SECTORS }));
    const chance = { numerator: 1, denominator: 4, prng: new Prng(seed) };
    const rule = filter.arm({ chance }, { result: EIO });
    const sender = new Sender(filter);
    for (let requests = 0; requests < 400; requests++) sender.send('write');
    t.ok(rule.fired > 60 && rule.fired < 140, `${rule.fired} of ${rule.matched}`);
    return sender.ended.join();
  };
  t.equal(strikes(1), strikes(1));
  t.not(strikes(1), strikes(2));
});

t.test('DelayFilter lets later requests overtake', async (t) => {
  const clock = new VirtualClock();
  const filter = new DelayFilter(new MemoryDevice({ sizeSectors: SECTORS }), clock);
  const rule = filter.arm({ ops: ['write'], extent: { sector: 1, count: 1 } }, { delayMs: 5 });
  const jittery = filter.arm(
    { ops: ['flush'] },
    { delayMs: 1, jitter: { delayMsMax: 3, prng: new Prng(1) } },
  );
  const sender = new Sender(filter);
  sender.send('write', 1);
  sender.send('write', 2);
  sender.send('flush');
  t.same(sender.ended, ['write 2 OK']);
  while (clock.step());
  t.same(sender.ended, ['write 2 OK', 'flush 0 OK', 'write 1 OK']);
  t.equal(clock.now(), 5);
  t.same([rule.fired, jittery.fired], [1, 1]);
});

t.test(
  'PauseFilter.pause() ends when nothing is in flight below; later requests wait',
  async (t) => {
    const clock = new VirtualClock();
    const slow = new DelayFilter(new MemoryDevice({ sizeSectors: SECTORS }), clock);
    slow.arm({ extent: { sector: 1, count: 1 } }, { delayMs: 5 });
    const filter = new PauseFilter(slow);
    const sender = new Sender(filter);
    sender.send('write', 1);
    let paused = false;
    const pause = filter.pause().then(() => {
      paused = true;
    });
    sender.send('write', 2);
    sender.send('write', 3);
    await Promise.resolve();
    t.same([paused, sender.ended, filter.held], [false, [], 2]);
    while (clock.step());
    await pause;
    t.same(sender.ended, ['write 1 OK']);
    filter.continue();
    t.same(sender.ended, ['write 1 OK', 'write 2 OK', 'write 3 OK']);
    t.same([filter.fired, filter.held], [2, 0]);
    await filter.pause();
    t.pass('at once where nothing is in flight');
  },
);

t.test(
  'PoweredDevice: what was submitted before a cut never ends, not even in the next life',
  async (t) => {
    const clock = new VirtualClock();
    const power = new PowerDomain();
    const slow = new DelayFilter(new MemoryDevice({ sizeSectors: SECTORS }), clock);
    slow.arm({}, { delayMs: 1 });
    const sender = new Sender(new PoweredDevice(slow, power));
    sender.send('write', 1);
    power.cut();
    power.cut();
    sender.send('write', 2);
    power.restore();
    sender.send('write', 3);
    while (clock.step());
    t.same(sender.ended, ['write 3 OK']);
    t.equal(power.cuts, 1, 'a second cut of the same power is none');
  },
);

t.test('Failpoint strikes once, at the occurrence, leg and region it names', async (t) => {
  const passed: [leg: number, region: number][] = [
    [0, 12],
    [1, 12],
    [1, 3],
    [1, 12],
    [1, 12],
  ];
  const strikesAt = (text: string): number[] => {
    const strikes: number[] = [];
    let now = 0;
    const failpoint = new Failpoint(parseCrashPoint(text), () => strikes.push(now));
    for (const [leg, region] of passed) {
      now += 1;
      failpoint.reached('W6', leg, region);
      failpoint.reached('W7', leg, region);
    }
    t.equal(failpoint.fired, strikes.length);
    return strikes;
  };
  t.same(strikesAt('W7'), [1]);
  t.same(strikesAt('W7.1'), [2]);
  t.same(strikesAt('W7.1@3'), [3]);
  t.same(strikesAt('W7.1#2@12'), [4]);
  t.same(strikesAt('W7.1#4@12'), []);
  t.same(strikesAt('R0'), []);
});

t.test(
  'parseCrashPoint() reads what formatCrashPoint() writes, and refuses the rest',
  async (t) => {
    for (const text of ['W7.1#3@12', 'A0', 'R2.1', 'F3#2', 'W12@0']) {
      t.equal(formatCrashPoint(parseCrashPoint(text)), text);
    }
    for (const text of ['', 'W', 'W99', 'w7', 'W7.', 'W7#0', 'W7@x', 'W7@1#2', ' W7']) {
      t.throws(() => parseCrashPoint(text), { name: 'UserError', code: 'bad-crash-point' }, text);
    }
  },
);
