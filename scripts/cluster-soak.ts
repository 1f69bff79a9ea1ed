/** The soak of a cluster, as long as asked for: `test/support/cluster/soak.ts`. */

import { parseArgs } from 'node:util';
import { runSoak } from '../test/support/cluster/soak.ts';
import { ScriptScope } from '../test/support/test-scope.ts';
import { findTool } from '../test/support/tools.ts';
import { explainWrongUse } from './lib/explain-wrong-use.ts';

const USAGE = `usage: scripts/cluster-soak [OPTION]...

Two nodes share a mirror over three etcd members; both write, and one mishap follows the other:
processes are killed, stopped longer than the lease, started again. Needs etcd.

  --seed S        what goes wrong, and when, depends on this; chosen anew and printed without it
  --minutes N     how long (10)
  --round S       everything is repaired and compared every so many seconds (60)
  --lease S       of the nodes, in seconds: 2 or more (5)

Exit status: 0 nothing was violated, 1 something was, 2 wrong use.`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      minutes: { type: 'string', default: '10' },
      round: { type: 'string', default: '60' },
      lease: { type: 'string', default: '5' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const durationMs = Number(values.minutes) * 60_000;
  const roundMs = Number(values.round) * 1000;
  const leaseSeconds = Number(values.lease);
  if (values.help || !(durationMs > 0) || !(roundMs > 0) || !(leaseSeconds >= 2)) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  if (findTool('etcd') === null) {
    console.error('cluster-soak: etcd is not installed');
    return 2;
  }
  const seed = values.seed ?? String(process.hrtime.bigint() % 10n ** 9n);
  console.log(`seed: ${seed}`);
  const scope = new ScriptScope();
  // Nothing that was started outlives this.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void scope.close().then(() => process.exit(130)));
  }
  try {
    const say = (line: string): void => console.log(line);
    const options = { seed, durationMs, roundMs, leaseSeconds, say };
    const { violations, ...counts } = await runSoak(scope, options);
    for (const violation of violations) console.log(`VIOLATION ${violation}`);
    const told = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
    console.log(`${violations.length} violations; ${told.join(', ')}`);
    return violations.length === 0 ? 0 : 1;
  } finally {
    await scope.close();
  }
}

process.exitCode = await main().catch(explainWrongUse('cluster-soak'));
