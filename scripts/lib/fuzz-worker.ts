/**
 * Plays cases of one target and tells the parent process how far it is, so that the parent knows
 * which case a worker was at that died or hangs. Run by scripts/fuzz.ts.
 */

import { readdirSync } from 'node:fs';
import { failureOf, kindOf, shrinkCase } from '../../test/fuzz/fuzz-case.ts';
import { keepInCorpus, TARGETS } from '../../test/fuzz/targets.ts';

export interface FuzzOrder {
  readonly target: string;
  readonly seed: string;
  readonly first: number;
  /** Ends when so many mutated messages were played. */
  readonly mutatedMax: number;
}

export interface FuzzReport {
  readonly kind: 'progress' | 'finding' | 'done';
  /** The next case. */
  readonly next: number;
  readonly messages: number;
  readonly mutated: number;
  /** In use after a collection of garbage, heap and buffers. */
  readonly memoryBytes: number;
  readonly descriptors: number;
  readonly finding?: { readonly what: string; readonly file: string };
}

/** Reports at least so often, in cases. */
const REPORT_CASES = 200;
/** Of findings of one kind, one is enough. */
const FINDINGS_MAX = 5;

async function work(order: FuzzOrder): Promise<void> {
  const target = TARGETS.find(({ name }) => name === order.target)!;
  const seen = new Set<string | null>();
  let [messages, mutated, index] = [0, 0, order.first];
  const report = (kind: FuzzReport['kind'], finding?: FuzzReport['finding']): void => {
    const { memoryBytes, descriptors } = leftOver(kind === 'done' || index === order.first);
    const counts = { next: index, messages, mutated, memoryBytes, descriptors };
    process.send!({ kind, ...counts, ...(finding === undefined ? {} : { finding }) });
  };
  for (; mutated < order.mutatedMax && seen.size < FINDINGS_MAX; index++) {
    if ((index - order.first) % REPORT_CASES === 0) report('progress');
    const seed = `${order.seed}/${index}`;
    const drawn = target.draw(seed);
    messages += drawn.messages;
    mutated += drawn.mutated;
    const failure = await failureOf(drawn, null);
    if (failure === null || seen.has(kindOf(failure))) continue;
    seen.add(kindOf(failure));
    const small = await shrinkCase(drawn, null, target.plays);
    const what = `${failure.stack}`;
    const about = `Seed ${seed}.\n${kindOf(failure)}`;
    const file = keepInCorpus(target, `found-${seed.replace(/\W+/g, '-')}`, small.write(about));
    report('finding', { what, file });
  }
  await target.close?.();
  report('done');
}

let lastMemoryBytes = 0;

function leftOver(collects: boolean): { memoryBytes: number; descriptors: number } {
  if (collects || lastMemoryBytes === 0) {
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    lastMemoryBytes = heapUsed + external;
  }
  return { memoryBytes: lastMemoryBytes, descriptors: readdirSync('/proc/self/fd').length };
}

// Nobody listens any more.
process.once('disconnect', () => process.exit());
process.once('message', (order: FuzzOrder) => {
  void work(order).then(() => process.disconnect());
});
