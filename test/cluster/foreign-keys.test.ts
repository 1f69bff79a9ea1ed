/**
 * Values in the store that are not ours, or stale, put there before the nodes come or while they
 * work: nothing is believed to be in sync or clean because of them, and the nodes go on.
 */

import t from 'tap';
import { encodeJson, LogKeys } from '../../src/cluster/cluster-keys.ts';
import type { Put } from '../../src/cluster/engine.ts';
import { REGIONS, SimCluster } from '../support/cluster/sim-cluster.ts';

const KEYS = new LogKeys('shared');
const GARBAGE = new Uint8Array([0xff, 0x00, 0x7b]);

const FOREIGN: Readonly<Record<string, Put>> = {
  'sync bits of another length': { key: KEYS.sync(0), value: new Uint8Array(64).fill(0xff) },
  'no sync bits': { key: KEYS.sync(0), value: new Uint8Array(0) },
  'sync bits behind the end': { key: KEYS.sync(7), value: new Uint8Array(1024).fill(0xff) },
  'a sync chunk without a number': { key: `${KEYS.prefix}sync/x`, value: GARBAGE },
  'marks of a node that never was': { key: KEYS.marks('ghost', 0), value: new Uint8Array([1]) },
  'marks of another length': { key: KEYS.marks('ghost', 0), value: new Uint8Array(9) },
  'marks of the node itself, of an earlier life': {
    key: KEYS.marks('a', 0),
    value: new Uint8Array([0x0f]),
  },
  'marks of the node itself that are none': { key: KEYS.marks('a', 0), value: new Uint8Array(3) },
  'what the node lost, of another length': { key: KEYS.lost('a', 0), value: new Uint8Array(3) },
  'a copy by nobody': { key: KEYS.copying, value: GARBAGE },
  'a copy by a node that never was': {
    key: KEYS.copying,
    value: encodeJson({ region: 2, node: 'ghost', owner: 1 }),
  },
  'a copy of a region that is not there': {
    key: KEYS.copying,
    value: encodeJson({ region: 10 ** 9, node: 'ghost', owner: 1 }),
  },
  'a copy by an earlier life of the node': {
    key: KEYS.copying,
    value: encodeJson({ region: 2, node: 'a', owner: 1 }),
  },
  'a writer that never was': { key: KEYS.writer, value: encodeJson({ node: 'ghost', owner: 1 }) },
  'a writer of an earlier life of the node': {
    key: KEYS.writer,
    value: encodeJson({ node: 'a', owner: 1 }),
  },
  'no writer': { key: KEYS.writer, value: GARBAGE },
  'a device that holds everything': {
    key: KEYS.written,
    value: encodeJson({ revision: 10 ** 12, failed: false }),
  },
  'wishes for regions that are not there': {
    key: KEYS.wanted,
    value: encodeJson([-1, 'x', 10 ** 9, 1.5]),
  },
  'wishes that are none': { key: KEYS.wanted, value: GARBAGE },
  'members that are none': { key: KEYS.members, value: GARBAGE },
  'a key that means nothing': { key: `${KEYS.prefix}sync/0/0/0`, value: GARBAGE },
  'a name that cannot be read': { key: `${KEYS.prefix}node/%ff`, value: GARBAGE },
};

function put(cluster: SimCluster, foreign: Put): void {
  const before = cluster.violations.length;
  cluster.store.commit({ compares: new Map(), puts: [foreign], deletes: [] });
  // What the foreign value itself says is not the nodes' doing: b may have marked what "a copies".
  cluster.violations.splice(before);
}

for (const [what, foreign] of Object.entries(FOREIGN)) {
  for (const when of ['before', 'meanwhile'] as const) {
    t.test(`${what}, ${when}`, async (t) => {
      const cluster = new SimCluster({ seed: what, implementation: 'clustered-disk' });
      const [a, b] = [cluster.node('a'), cluster.node('b')];
      if (when === 'before') put(cluster, foreign);
      await cluster.until(a.start());
      await cluster.until(b.start());
      await cluster.untilTrue('in sync', () => cluster.replica.syncCount === REGIONS);
      if (when === 'meanwhile') {
        const writes = [a.write(1), b.write(2), a.write(3)];
        put(cluster, foreign);
        t.same(await cluster.until(Promise.all(writes)), [0, 0, 0]);
      }
      t.same(await cluster.until(Promise.all([a.write(0), b.write(5)])), [0, 0], 'they go on');
      const hasMarks = (name: string): boolean => cluster.replica.marksOf(name)?.weight() !== 0;
      await cluster.untilTrue('in sync and unmarked', () => {
        const { syncCount, markers } = cluster.replica;
        return syncCount === REGIONS && !markers.some(hasMarks);
      });
      for (let region = 0; region < REGIONS; region++) t.notOk(cluster.legsDifferIn(region));
      // Nor is it later, while nobody has released it.
      t.same(
        cluster.violations.filter((violation) => !violation.includes('ghost')),
        [],
      );
    });
  }
}
