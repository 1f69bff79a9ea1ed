import t from 'tap';
import { type AioPolicy, Lane } from '../../../src/block/file/lane.ts';

const LIMIT = 128 * 1024;

/** Calls of a lane, with the time and the waits that they are said to take. */
class Calls {
  readonly lane: Lane;
  waitCountReads = 0;
  #nowMs = 0;
  #waits = 0;

  constructor(policy: AioPolicy = 'auto') {
    const meter = {
      now: () => this.#nowMs,
      waitCount: () => {
        this.waitCountReads += 1;
        return this.#waits;
      },
    };
    this.lane = new Lane({ policy, inlineBytesMax: LIMIT, meter });
  }

  /** True if the transfer was inline. */
  one(elapsedMs: number, waited: boolean, bytes = 4096): boolean {
    if (!this.lane.isInline(bytes)) return false;
    this.lane.begin();
    this.#nowMs += elapsedMs;
    if (waited) this.#waits += 1;
    this.lane.end(bytes);
    return true;
  }

  many(count: number, elapsedMs: number, waited: boolean): number {
    let inline = 0;
    for (let call = 0; call < count; call++) if (this.one(elapsedMs, waited)) inline += 1;
    return inline;
  }
}

t.test('Lane is inline while calls are quick, and does not look at waits then', async (t) => {
  const calls = new Calls();
  t.equal(calls.many(1000, 0.002, false), 1000);
  t.equal(calls.waitCountReads, 0);
});

t.test('Lane goes to the pool when calls wait for storage', async (t) => {
  const calls = new Calls();
  const inline = calls.many(100, 5, true);
  t.ok(inline < 5, `${inline} slow calls were made inline`);
  t.equal(calls.lane.isSlow, true);
});

t.test('Lane goes to the pool when one call in ten waits long', async (t) => {
  const calls = new Calls();
  for (let call = 0; call < 100; call++) calls.one(call % 10 === 0 ? 8 : 0.002, call % 10 === 0);
  t.equal(calls.lane.isSlow, true);
});

t.test('Lane stays inline when calls take long without waiting: others had the CPU', async (t) => {
  const calls = new Calls();
  t.equal(calls.many(1000, 4, false), 1000);
  t.equal(calls.lane.isSlow, false);
});

t.test('Lane stays inline when waits are short', async (t) => {
  const calls = new Calls();
  t.equal(calls.many(1000, 0.03, true), 1000);
});

t.test('Lane allows for copying: large transfers are no waits', async (t) => {
  const calls = new Calls();
  for (let call = 0; call < 1000; call++) t.ok(calls.one(0.08, true, LIMIT));
});

t.test('Lane returns inline after probes that were quick', async (t) => {
  const calls = new Calls();
  calls.many(10, 5, true);
  t.equal(calls.lane.isSlow, true);
  t.equal(calls.many(400, 0.002, false) > 100, true);
  t.equal(calls.lane.isSlow, false);
});

t.test('Lane probes slow storage ever more rarely', async (t) => {
  const calls = new Calls();
  calls.many(10, 5, true);
  const early = calls.many(10_000, 5, true);
  const late = calls.many(10_000, 5, true);
  t.ok(early <= 10, `${early} probes early`);
  t.ok(late >= 1 && late <= 3, `${late} probes late`);
});

t.test('Lane keeps large transfers in the pool, and obeys a policy', async (t) => {
  t.equal(new Calls().lane.isInline(LIMIT), true);
  t.equal(new Calls().lane.isInline(LIMIT + 512), false);
  const inline = new Calls('inline');
  t.equal(inline.many(100, 50, true), 100);
  t.equal(inline.lane.isInline(LIMIT * 8), true);
  t.equal(new Calls('pool').many(100, 0, false), 0);
});
