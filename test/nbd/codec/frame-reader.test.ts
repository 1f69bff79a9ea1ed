import fc from 'fast-check';
import t from 'tap';
import { BufferPool, type PooledBuffer } from '../../../src/nbd/buffer-pool.ts';
import { FrameReader } from '../../../src/nbd/codec/frame-reader.ts';

const KIB = 1024;

/** Feeds `bytes` in reads of at most `cuts` bytes; every second one comes from elsewhere. */
function* reads(reader: FrameReader, bytes: Buffer, cuts: readonly number[]): Generator<void> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const cut = cuts[turn % cuts.length]!;
    if (turn % 5 === 4) {
      const piece = bytes.subarray(at, at + cut);
      reader.append(piece);
      at += piece.length;
    } else {
      const window = reader.window();
      const size = Math.min(window.length, cut, bytes.length - at);
      bytes.copy(window, 0, at, at + size);
      reader.received(size);
      at += size;
    }
    yield;
  }
}

t.test(
  'FrameReader gives the same frames however the bytes are cut, and keeps taken ones',
  async () => {
    const size = fc.oneof(
      fc.integer({ min: 1, max: 64 }),
      fc.constantFrom(28, 4096, 65_536),
      fc.integer({ min: 100 * KIB, max: 600 * KIB }),
    );
    const cut = fc.oneof(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 4096, max: 700 * KIB }),
    );
    fc.assert(
      fc.property(
        fc.array(size, { minLength: 1, maxLength: 12 }),
        fc.array(cut, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1 }),
        (sizes, cuts, holds) => {
          // Tiny cuts of large streams take long and show nothing new.
          const total = sizes.reduce((sum, one) => sum + one, 0);
          const pieces = cuts.map((one) => Math.max(one, Math.ceil(total / 2000)));
          const frames = sizes.map((one, i) => Buffer.alloc(one, i + 1));
          const pool = new BufferPool();
          const reader = new FrameReader(pool);
          const held: { frame: Buffer; buffer: PooledBuffer; index: number }[] = [];
          let next = 0;
          const check = ({ frame, index }: { frame: Buffer; index: number }): void => {
            if (!frame.equals(frames[index]!)) throw new Error(`Frame ${index} was changed`);
          };
          for (const _ of reads(reader, Buffer.concat(frames), pieces)) {
            while (next < sizes.length && reader.need(sizes[next]!)) {
              const taken = {
                frame: reader.peek(sizes[next]!),
                buffer: reader.buffer,
                index: next,
              };
              taken.buffer.retain();
              reader.consume(sizes[next]!);
              held.push(taken);
              while (held.length > holds[next % holds.length]!) {
                const first = held.shift()!;
                check(first);
                first.buffer.release();
              }
              next += 1;
            }
          }
          held.forEach(check);
          return next === sizes.length && reader.available === 0;
        },
      ),
      { numRuns: 300 },
    );
  },
);

t.test('FrameReader receives a stream of large frames in place', async (t) => {
  const reader = new FrameReader(new BufferPool());
  const payload = 1024 * KIB;
  let copied = 0;
  for (let round = 0; round < 5; round++) {
    for (const size of [28, payload]) {
      let from = reader.buffer;
      while (!reader.need(size)) {
        const before = reader.available;
        const window = reader.window();
        if (reader.buffer !== from) copied += before;
        from = reader.buffer;
        // All that fits was sent already.
        reader.received(window.length);
      }
      if (size === payload) reader.buffer.retain();
      reader.consume(size);
    }
  }
  t.ok(copied < 5 * 2 * 4096 + 256 * KIB, `${copied} bytes were copied of 5 MiB`);
});

t.test('FrameReader gives a buffer of a large frame back when small ones follow', async (t) => {
  const reader = new FrameReader(new BufferPool());
  reader.need(8 * 1024 * KIB);
  while (!reader.need(8 * 1024 * KIB)) reader.received(reader.window().length);
  reader.consume(reader.available);
  reader.need(28);
  t.ok(reader.window().length < 1024 * KIB, 'an idle connection holds an ordinary buffer');
});
