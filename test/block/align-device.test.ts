import fc from 'fast-check';
import t from 'tap';
import { assert } from '../../src/base/assert.ts';
import { EIO, OK } from '../../src/base/errno.ts';
import { Prng } from '../../src/base/prng.ts';
import { SECTOR_SIZE } from '../../src/base/units.ts';
import { AlignDevice } from '../../src/block/align-device.ts';
import type { Bio } from '../../src/block/bio.ts';
import { ByteRequest } from '../../src/block/byte-request.ts';
import { ScriptedDevice } from '../support/scripted-device.ts';

interface Wanted {
  readonly op: 'read' | 'write' | 'discard' | 'write-zeroes' | 'flush';
  readonly offset?: number;
  readonly length?: number;
  readonly fill?: number;
  readonly fua?: boolean;
}

/** Submits and gives the request, its result in `context` once it has ended. */
function submit(align: AlignDevice, wanted: Wanted): ByteRequest {
  const request = new ByteRequest((ended, result) => {
    ended.context = result;
  });
  request.op = wanted.op;
  request.offset = wanted.offset ?? 0;
  request.length = wanted.length ?? 0;
  request.fua = wanted.fua ?? false;
  const hasData = wanted.op === 'read' || wanted.op === 'write';
  request.data = hasData ? Buffer.alloc(request.length, wanted.fill ?? 0) : null;
  align.submit(request);
  return request;
}

function setUp(options: { blockSize?: number; sectors?: number } = {}): {
  device: ScriptedDevice;
  align: AlignDevice;
} {
  const device = new ScriptedDevice({ name: 'disk', sectors: 64, ...options });
  return { device, align: new AlignDevice(device) };
}

t.test(
  'AlignDevice.submit() passes aligned requests as they are, with their own bio',
  async (t) => {
    const { device, align } = setUp({ blockSize: 4096 });
    const bios: Bio[] = [];
    const submitBio = device.submit.bind(device);
    device.submit = (bio) => {
      bios.push(bio);
      submitBio(bio);
    };
    const written = submit(align, { op: 'write', offset: 4096, length: 8192, fill: 7, fua: true });
    const read = submit(align, { op: 'read', offset: 4096, length: 4096 });
    submit(align, { op: 'discard', offset: 8192, length: 4096, fua: true });
    submit(align, { op: 'write-zeroes', offset: 0, length: 4096 });
    submit(align, { op: 'flush' });
    const expected = [
      'write 8+16 fua',
      'read 8+8',
      'discard 16+8 fua',
      'write-zeroes 0+8',
      'flush',
    ];
    t.same(device.seen, expected);
    t.equal(bios[0], written.bio);
    t.equal(bios[1], read.bio);
    t.equal(read.context, OK);
    t.ok(read.data!.every((byte) => byte === 7));
    t.equal(align.inFlight, 0);
  },
);

t.test('AlignDevice.submit() reads and modifies only blocks that are not covered', async (t) => {
  for (const [offset, length, expected] of [
    [100, 10, ['read 0+1', 'write 0+1']],
    [0, 10, ['read 0+1', 'write 0+1']],
    [502, 10, ['read 0+1', 'write 0+1']],
    [500, 24, ['read 0+1', 'read 1+1', 'write 0+2']],
    [0, 1000, ['read 1+1', 'write 0+2']],
    [100, 1436, ['read 0+1', 'write 0+3']],
    [1, 2000, ['read 0+1', 'read 3+1', 'write 0+4']],
  ] as const) {
    const { device, align } = setUp();
    const written = submit(align, { op: 'write', offset, length, fill: 9 });
    t.same(device.seen, expected, `${length} bytes at ${offset}`);
    t.equal(written.context, OK);
    t.equal(device.bytes.filter((byte) => byte === 9).length, length);
  }
});

t.test('AlignDevice.submit() carries FUA to the write of a modified block only', async (t) => {
  const { device, align } = setUp();
  submit(align, { op: 'write', offset: 1, length: 1, fua: true });
  t.same(device.seen, ['read 0+1', 'write 0+1 fua']);
});

t.test('AlignDevice.submit() takes a short last block for what it is', async (t) => {
  const { device, align } = setUp({ blockSize: 4096, sectors: 9 });
  const written = submit(align, { op: 'write', offset: 4100, length: 508, fill: 1 });
  t.equal(written.context, OK);
  t.same(device.seen, ['read 8+1', 'write 8+1']);
});

t.test('AlignDevice.submit() discards whole blocks only, and nothing is a success', async (t) => {
  const { device, align } = setUp();
  t.equal(submit(align, { op: 'discard', offset: 1, length: 700 }).context, OK);
  t.equal(submit(align, { op: 'discard', offset: 1, length: 2046 }).context, OK);
  t.same(device.seen, ['discard 1+2']);
});

t.test('AlignDevice.submit() refuses what a shrunk device has no more', async (t) => {
  const { device, align } = setUp({ sectors: 4 });
  const request = submit(align, { op: 'read', offset: 2048, length: 512 });
  t.equal(request.context, EIO);
  t.match(request.detail, /beyond the end of disk/);
  t.same(device.seen, []);
});

t.test(
  'AlignDevice.submit() ends with the error and the text of the first step that fails',
  async (t) => {
    for (const [failing, seen] of [
      ['read', ['read 0+1']],
      ['write', ['read 0+1', 'read 1+1', 'write 0+2']],
    ] as const) {
      const { device, align } = setUp();
      device.failing.add(failing);
      const request = submit(align, { op: 'write', offset: 500, length: 100, fill: 1 });
      t.equal(request.context, EIO);
      t.equal(request.detail, `Scripted failure of ${failing}`);
      t.same(device.seen, seen);
      t.equal(align.inFlight, 0);
      device.failing.clear();
      t.equal(
        submit(align, { op: 'write', offset: 500, length: 100 }).context,
        OK,
        'nothing is stuck',
      );
    }
  },
);

t.test('AlignDevice.submit() lets an unaligned write wait for its neighbours only', async (t) => {
  const { device, align } = setUp();
  device.hold();
  submit(align, { op: 'write', offset: 0, length: 512, fill: 1 });
  submit(align, { op: 'write', offset: 100, length: 4, fill: 2 });
  submit(align, { op: 'write', offset: 0, length: 512, fill: 3 });
  submit(align, { op: 'write', offset: 1024, length: 512, fill: 4 });
  submit(align, { op: 'write', offset: 1537, length: 1, fill: 5 });
  submit(align, { op: 'read', offset: 3, length: 5 });
  t.same(device.seen, ['write 0+1', 'write 2+1', 'read 3+1', 'read 0+1'], 'only overlaps wait');
  device.release();
  t.equal(device.bytes[99], 3, 'the last write to sector 0 came behind the unaligned one');
  t.equal(device.bytes[100], 3);
  t.equal(align.inFlight, 0);
  const order = device.seen.filter((what) => what.includes(' 0+1')).slice(-3);
  t.same(order, ['read 0+1', 'write 0+1', 'write 0+1']);
});

t.test(
  'AlignDevice.abandon() ends what waits, and keeps newer writes behind what runs',
  async (t) => {
    const { device, align } = setUp();
    device.hold();
    const old = submit(align, { op: 'write', offset: 0, length: 512, fill: 1 });
    const waiting = submit(align, { op: 'write', offset: 7, length: 1, fill: 2 });
    align.abandon(old);
    align.abandon(waiting);
    t.equal(waiting.context, EIO, 'ended without having touched the device');
    const newer = submit(align, { op: 'write', offset: 0, length: 1024, fill: 3 });
    const elsewhere = submit(align, { op: 'write', offset: 1024, length: 512, fill: 4 });
    t.same(device.seen, ['write 0+1', 'write 2+1']);
    t.equal(newer.context, undefined);
    device.release();
    t.same(device.seen, ['write 0+1', 'write 2+1', 'write 0+2']);
    t.equal(device.bytes[0], 3);
    t.same([old.context, newer.context, elsewhere.context], [OK, OK, OK]);
  },
);

/** A device that ends its bios in any order, later; every write is applied at its end. */
class ShuffledDevice extends ScriptedDevice {
  readonly #bios: Bio[] = [];

  override submit(bio: Bio): void {
    this.#bios.push(bio);
  }

  get count(): number {
    return this.#bios.length;
  }

  endOne(index: number): void {
    const [bio] = this.#bios.splice(index % this.#bios.length, 1);
    super.submit(bio!);
  }
}

interface Extent {
  readonly from: number;
  readonly to: number;
  readonly value: number;
  /** Those that were in flight at some time together with this one. */
  readonly rivals: Extent[];
}

interface WantedWrite {
  readonly op: 'write' | 'write-zeroes';
  readonly offset: number;
  readonly length: number;
  readonly aligned: boolean;
  /** How many bios end behind it. */
  readonly endings: number;
}

const covers = (extent: Extent, byte: number): boolean => extent.from <= byte && byte < extent.to;

t.test('AlignDevice gives every byte to one of the writes that overlapped in time', async () => {
  const size = 8 * SECTOR_SIZE;
  const request = fc.record({
    op: fc.constantFrom('write' as const, 'write' as const, 'write-zeroes' as const),
    offset: fc.nat(size - 1),
    length: fc.integer({ min: 1, max: 3 * SECTOR_SIZE }),
    aligned: fc.boolean(),
    endings: fc.nat(3),
  });
  const check = (wanted: readonly WantedWrite[], seed: number): void => {
    const device = new ShuffledDevice({ name: 'disk', sectors: 8 });
    const align = new AlignDevice(device);
    const prng = new Prng(seed);
    const inFlight = new Set<Extent>();
    // For each byte the values that it may have, given what was in flight together.
    const allowed = Array.from({ length: size }, () => new Set([0]));
    const endSome = (count: number): void => {
      for (let i = 0; i < count && device.count > 0; i++) device.endOne(prng.uint32());
    };
    wanted.forEach(({ op, offset, length, aligned, endings }, index) => {
      const from = aligned ? offset - (offset % SECTOR_SIZE) : offset;
      const end = aligned ? Math.ceil((from + length) / SECTOR_SIZE) * SECTOR_SIZE : from + length;
      const value = op === 'write' ? index + 1 : 0;
      const extent = { from, to: Math.min(end, size), value, rivals: [...inFlight] };
      for (const other of inFlight) other.rivals.push(extent);
      inFlight.add(extent);
      const byteRequest = new ByteRequest(() => {
        inFlight.delete(extent);
        for (let byte = from; byte < extent.to; byte++) {
          const rivals = extent.rivals.filter((one) => covers(one, byte));
          allowed[byte] = new Set([extent, ...rivals].map((one) => one.value));
        }
      });
      Object.assign(byteRequest, { op, offset: from, length: extent.to - from });
      if (op === 'write') byteRequest.data = new Uint8Array(byteRequest.length).fill(value);
      align.submit(byteRequest);
      endSome(endings);
    });
    while (device.count > 0) endSome(1);
    assert(align.inFlight === 0, `${align.inFlight} requests never ended`);
    for (let byte = 0; byte < size; byte++) {
      const value = device.bytes[byte]!;
      assert(allowed[byte]!.has(value), `Byte ${byte} is ${value}, allowed ${[...allowed[byte]!]}`);
    }
  };
  fc.assert(fc.property(fc.array(request, { maxLength: 20 }), fc.nat(), check), { numRuns: 500 });
});
