/** What a node hears late, or while it is busy, and must not take for all there is. */

import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import type { ClusterContext } from '../../src/cluster/cluster-context.ts';
import { encodeJson, LogKeys } from '../../src/cluster/cluster-keys.ts';
import { planCopy } from '../../src/cluster/copy-plans.ts';
import type { Put } from '../../src/cluster/engine.ts';
import { LogReplica } from '../../src/cluster/log-replica.ts';
import type { Membership } from '../../src/cluster/membership.ts';
import { type Link, MemoryEngine, MemoryStore } from '../../src/cluster/memory-engine.ts';
import { Plan } from '../../src/cluster/plan.ts';
import { SharedLogFile } from '../../src/cluster/shared-log-file.ts';
import type { Step } from '../../src/cluster/take-over.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';
import { ScriptedDevice } from '../support/scripted-device.ts';

const KEYS = new LogKeys('shared');
const REGIONS = 64;
const OWNER = 2;

/** The bits of these regions, as a chunk. */
function bits(...regions: number[]): Uint8Array {
  const value = new Uint8Array(REGIONS / 8);
  for (const region of regions) value[region >> 3]! |= 1 << (region & 7);
  return value;
}

class Bed {
  readonly clock = new VirtualClock();
  readonly store = new MemoryStore(this.clock);
  readonly replica: LogReplica;

  constructor(link?: Link) {
    this.replica = new LogReplica({
      keys: KEYS,
      regionCount: REGIONS,
      engine: new MemoryEngine(this.store, this.clock, link),
      log: silentLogger,
      after: (delayMs, task) => void this.clock.after(delayMs, task),
    });
  }

  /** Somebody writes these at once. */
  put(...puts: Put[]): void {
    this.store.commit({ compares: new Map(), puts, deletes: [] });
  }

  /** All that is due within a second, or so much later. */
  async pass(ms = 1000): Promise<void> {
    await this.clock.advance({ ended: () => false, untilMs: this.clock.now() + ms });
  }

  async load(): Promise<void> {
    const loaded = this.replica.load();
    await this.pass();
    t.equal(await loaded, true);
  }
}

t.test('a conflict tells of a node that comes, before its marks are known', async (t) => {
  let delayMs = 0;
  const bed = new Bed({ deadlineMs: 600_000, delayMs: () => delayMs });
  const { replica, store } = bed;
  bed.put({ key: KEYS.node('b'), value: encodeJson({ node: 'b' }) });
  bed.put({ key: KEYS.members, value: encodeJson({ came: 'b' }) });
  await bed.load();
  // Node a comes and marks region 0; b hears of it by its watch an hour later.
  delayMs = 3_600_000;
  bed.put(
    { key: KEYS.node('a'), value: encodeJson({ node: 'a' }) },
    { key: KEYS.members, value: encodeJson({ came: 'a' }) },
  );
  bed.put({ key: KEYS.marks('a', 0), value: bits(0) });

  const taker = { node: 'b', owner: OWNER };
  const planned = planCopy(replica, new Plan(replica), taker, new Set());
  const outcome = store.commit(planned as Plan);
  t.equal(outcome.kind, 'conflict', 'it compares who else there is');
  if (outcome.kind !== 'conflict') return;
  t.equal(replica.found(outcome.current), false, 'all is to be read again');
  const again = planCopy(replica, new Plan(replica), taker, new Set());
  t.equal(store.commit(again as Plan).kind, 'conflict', 'and until then nothing is copied');
  delayMs = 0;
  await bed.load();
  const right = planCopy(replica, new Plan(replica), taker, new Set());
  t.equal(store.commit(right as Plan).kind, 'done');
  t.equal(replica.isMarkedByAnother('b', 0), true);
  t.match(JSON.parse(Buffer.from(stored(bed, KEYS.copying)).toString()), { region: 1, node: 'b' });
});

t.test('an answer that is late does not undo what a watch has told meanwhile', async (t) => {
  const { replica } = new Bed();
  const mark = KEYS.marks('a', 0);
  const there = (key: string, revision: number) => [key, { value: bits(1), revision }] as const;
  const gone = (key: string, revision: number) => [key, { value: null, revision }] as const;
  replica.adopt(new Map([there(mark, 5), there(KEYS.sync(0), 5)]), 5);
  // Our transaction found it gone at 6; it was stored again at 8, which the watch told first.
  replica.adopt(new Map([gone(mark, 6)]), 6);
  replica.adopt(new Map([there(mark, 8)]), 8);
  replica.found(new Map([gone(mark, 7)]));
  t.equal(replica.revisionOf(mark), 8);
  t.ok(replica.isMarked('a', 1));
  // Ours took it away at 9, somebody stored it again at 10.
  const plan = new Plan(replica).delete(mark);
  replica.adopt(new Map([there(mark, 10)]), 10);
  replica.committed(plan, 9);
  t.equal(replica.revisionOf(mark), 10);
  t.notOk(replica.isClean(1), 'it is marked, and must not be called clean');
});

function stored({ store }: Bed, key: string): Uint8Array {
  return store.read(key).entries.get(key)!.value;
}

t.test('marks that are stored while the writer writes are written, too', async (t) => {
  const bed = new Bed();
  const { replica, store } = bed;
  bed.put({ key: KEYS.node('b'), value: encodeJson({ node: 'b' }) });
  bed.put(
    { key: KEYS.node('a'), value: encodeJson({ node: 'a' }) },
    { key: KEYS.sync(0), value: new Uint8Array(REGIONS / 8).fill(0xff) },
    { key: KEYS.writer, value: encodeJson({ node: 'b', owner: OWNER }) },
    { key: KEYS.written, value: encodeJson({ revision: 0, failed: false }) },
  );
  await bed.load();
  const device = new ScriptedDevice({ name: 'log', sectors: 64 });
  const file = new SharedLogFile({
    device,
    context: {
      lease: { node: 'b' },
      clock: bed.clock,
      log: silentLogger,
    } as unknown as ClusterContext,
    keys: KEYS,
    replica,
    membership: alwaysEntitled(bed),
    syncWord: null,
  });
  replica.onChange(() => file.noticed());

  device.hold();
  bed.put({ key: KEYS.marks('a', 0), value: bits(3) });
  await bed.pass();
  t.match(device.seen, [/^write/], 'it is written');
  bed.put({ key: KEYS.marks('a', 0), value: bits(3, 4) });
  await bed.pass();
  device.release();
  // Nothing else changes any more.
  await bed.pass();
  const { revision } = JSON.parse(Buffer.from(stored(bed, KEYS.written)).toString());
  const marked = store.read(KEYS.marks('a', 0)).entries.get(KEYS.marks('a', 0))!.revision;
  t.ok(revision >= marked, `node a waits for revision ${marked}, ${revision} is written`);
  t.equal(device.bytes[1024], 0b1110_0111, 'both marks are on the device');
  file.close();
});

/** Of a node whose lease never ends. */
function alwaysEntitled({ replica, store }: Bed): Membership {
  const membership = {
    owner: OWNER,
    isEntitled: true,
    entitled: async () => true,
    plan: () => new Plan(replica),
    settle: async (next: () => Step) => {
      for (;;) {
        const step = next();
        if (typeof step === 'string') return step === 'done';
        const outcome = store.commit(step);
        if (outcome.kind === 'done') replica.committed(step, outcome.revision);
        await turn();
      }
    },
  };
  return membership as unknown as Membership;
}
