/** What a node stores of its marks, and what it must not. */

import t from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { LogKeys } from '../../src/cluster/cluster-keys.ts';
import { LogReplica } from '../../src/cluster/log-replica.ts';
import { MarkSet } from '../../src/cluster/mark-set.ts';
import { MemoryEngine, MemoryStore } from '../../src/cluster/memory-engine.ts';
import { Plan } from '../../src/cluster/plan.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';

const LONG_MS = 3000;

t.test('a mark that lingered and was taken over is not stored anew', async (t) => {
  const clock = new VirtualClock();
  const keys = new LogKeys('u');
  const engine = new MemoryEngine(new MemoryStore(clock), clock);
  const after = (): void => undefined;
  const replica = new LogReplica({ keys, regionCount: 8, engine, log: silentLogger, after });
  const marks = new MarkSet('a', replica);
  const stored = (): Uint8Array => {
    const plan = new Plan(replica);
    t.ok(marks.plan(plan, clock.now()));
    return plan.puts[0]!.value;
  };
  const bits = (): number => stored()[0]!;
  const key = keys.marks('a', 0);
  marks.add(4);
  marks.add(5);
  const value = stored();
  t.equal(value[0], 0b110000);
  replica.adopt(new Map([[key, { value, revision: 1 }]]), 1);
  marks.clear(4, LONG_MS);
  marks.add(6);
  t.equal(bits(), 0b1110000, 'it lingers');
  replica.adopt(new Map([[key, { value: null, revision: 2 }]]), 2);
  marks.recheck();
  t.equal(bits(), 0b1100000, 'somebody else may be copying region 4 by now');
  marks.add(4);
  t.ok(marks.fresh.has(4), 'marked again it is a new mark, and waits for that');
  t.equal(bits(), 0b1110000);
});
