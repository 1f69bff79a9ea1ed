/**
 * A cluster under random mishaps, for as long as the effort allows: two nodes, three etcd members,
 * writes from both sides to the same regions. `scripts/cluster-soak` plays it alone.
 */

import t from 'tap';
import { runSoak } from '../support/cluster/soak.ts';
import { byEffort } from '../support/effort.ts';
import { requireTool } from '../support/tools.ts';

const SECONDS = byEffort({ quick: 5, standard: 20, full: 600 });
const SEED = process.env.TEST_SEED ?? '12';

t.test(`${SECONDS} seconds of mishaps, seed ${SEED}`, async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const report = await runSoak(t, {
    seed: SEED,
    durationMs: SECONDS * 1000,
    roundMs: 60_000,
    leaseSeconds: 3,
    say: (line) => t.comment(line),
  });
  t.same(report.violations, []);
  t.ok(report.mishaps > 0 && report.samples > 0, JSON.stringify(report));
});
