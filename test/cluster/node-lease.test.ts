/** What a node says about its lease: whoever looks for the reason of a standstill finds it. */

import t from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import type { KeepAliveOutcome } from '../../src/cluster/engine.ts';
import { MemoryEngine, MemoryStore } from '../../src/cluster/memory-engine.ts';
import { NodeLease } from '../../src/cluster/node-lease.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';

const LASTS_MS = 4000;
const MARGIN_MS = 800;

t.test('the end of a lease is said once, whenever it comes, and so is its return', async (t) => {
  // It ends between two renewals, or during one; the store, which counts to the end, is there again
  // in time.
  for (const answerMs of [150, 400, 600]) {
    const clock = new VirtualClock();
    const engine = new MemoryEngine(new MemoryStore(clock), clock);
    const keepAlive = engine.keepAlive.bind(engine);
    let isCut = true;
    engine.keepAlive = (id): Promise<KeepAliveOutcome> => {
      if (!isCut) return keepAlive(id);
      return new Promise((resolve) => clock.after(answerMs, () => resolve('unknown')));
    };
    const said: string[] = [];
    const say = (text: string): void => void said.push(`${clock.now()} ${text.split(':')[0]}`);
    const lease = new NodeLease({
      ...{ engine, clock, node: 'a', identity: 'a', hasEnded: () => true },
      log: { ...silentLogger, error: say, warn: say },
      lastsMs: LASTS_MS,
      marginMs: MARGIN_MS,
    });
    const until = (untilMs: number) => {
      clock.after(untilMs - clock.now(), () => undefined);
      return clock.run({ ended: () => clock.now() >= untilMs, untilMs });
    };
    void lease.start();
    await until(3400);
    isCut = false;
    await until(20_000);
    t.match(said, [/not renewed in time$/, /regained in time$/], `answers after ${answerMs} ms`);
    t.equal(said.length, 2);
    await Promise.all([lease.stop({ giveBack: false }), until(40_000)]);
  }
});
