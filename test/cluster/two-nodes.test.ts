/** Two nodes share a mirror: what they see of each other, in good order and in bad. */

import t from 'tap';
import { LEASE_MS, REGIONS, SimCluster, type SimNode } from '../support/cluster/sim-cluster.ts';

async function started(options: ConstructorParameters<typeof SimCluster>[0]): Promise<{
  cluster: SimCluster;
  a: SimNode;
  b: SimNode;
}> {
  const cluster = new SimCluster(options);
  const a = cluster.node('a');
  const b = cluster.node('b');
  await cluster.until(a.start());
  await cluster.until(b.start());
  return { cluster, a, b };
}

for (const implementation of ['clustered-core', 'clustered-disk'] as const) {
  t.test(`${implementation}: all is copied once, then both write`, async (t) => {
    const { cluster, a, b } = await started({ seed: '1', implementation });
    await cluster.untilTrue('in sync', () => cluster.replica.syncCount === REGIONS);
    const writes = [a.write(0), b.write(0), a.write(3), b.write(7)];
    t.same(await cluster.until(Promise.all(writes)), [0, 0, 0, 0]);
    await cluster.pass(3000);
    for (let region = 0; region < REGIONS; region++) t.notOk(cluster.legsDifferIn(region));
    t.same(cluster.violations, []);
  });

  t.test(`${implementation}: a node dies, its regions are copied by the other`, async (t) => {
    const { cluster, a, b } = await started({ seed: '2', implementation, nosync: true });
    void a.write(1);
    void a.write(2);
    await cluster.untilTrue('marked', () => cluster.replica.isMarked('a', 2));
    a.kill();
    const diedAtMs = cluster.clock.now();
    await cluster.untilTrue('taken over', () => cluster.replica.marksOf('a') === null);
    t.ok(cluster.clock.now() - diedAtMs <= LEASE_MS + 1000, 'soon');
    await cluster.untilTrue('in sync', () => cluster.replica.syncCount === REGIONS);
    t.equal(await cluster.until(b.write(1)), 0);
    for (let region = 0; region < REGIONS; region++) t.notOk(cluster.legsDifferIn(region));
    t.same(cluster.violations, []);
  });

  t.test(`${implementation}: a lease ends while its mirror asks for nothing else`, async (t) => {
    const { cluster, a } = await started({ seed: '3', implementation, nosync: true });
    const written = a.write(1);
    await cluster.untilTrue('marked', () => cluster.replica.isMarked('a', 1));
    // The write stands before the legs, with its mark stored.
    a.mirrorClock.stop();
    a.isPartitioned = true;
    await cluster.untilTrue('it is given up', () => !cluster.replica.nodes.includes('a'));
    a.isPartitioned = false;
    await cluster.pass(LEASE_MS);
    a.mirrorClock.go();
    t.equal(await cluster.until(written, 2 * LEASE_MS), 0);
    t.same(cluster.replica.nodes, ['a', 'b']);
    t.same(cluster.violations, []);
  });

  t.test(`${implementation}: a mirror dies over its resume, and stays away`, async (t) => {
    const cluster = new SimCluster({ seed: '4', implementation, nosync: true });
    const [a, b] = [cluster.node('a'), cluster.node('b')];
    await cluster.until(a.start());
    await cluster.until(b.startServer());
    void b.startMirror();
    await cluster.untilTrue('it comes', () => cluster.replica.nodes.includes('b'));
    b.killMirror();
    await cluster.pass(3 * LEASE_MS);
    t.same(cluster.replica.nodes, ['a'], 'its log server is there, and gives it up');
    t.same(cluster.violations, []);
  });

  t.test(`${implementation}: a node dies while the other one's lease is in doubt`, async (t) => {
    const { cluster, a, b } = await started({ seed: '6', implementation, nosync: true });
    void b.write(1);
    await cluster.untilTrue('marked', () => cluster.replica.isMarked('b', 1));
    await inDoubt(cluster, a);
    b.killMirror();
    await cluster.until(b.stopServer());
    a.areRenewalsLost = false;
    await cluster.untilTrue('taken over', () => !cluster.replica.markers.includes('b'), LEASE_MS);
    t.same(cluster.violations, []);
  });

  t.test(`${implementation}: a log server stops without its store`, async (t) => {
    const { cluster, a } = await started({ seed: '7', implementation, nosync: true });
    a.isPartitioned = true;
    void a.write(1);
    await cluster.pass(2 * LEASE_MS);
    await cluster.until(a.stopServer(), 1000);
    t.pass('it stopped, although a request was waiting');
  });
}

t.test('a node waits for the writer, whose lease was in doubt for a moment', async (t) => {
  const implementation = 'clustered-disk';
  const { cluster, a, b } = await started({ seed: '5', implementation, nosync: true });
  await cluster.pass(3000);
  t.equal(cluster.replica.writer?.node, 'a');
  await inDoubt(cluster, a);
  const written = b.write(1);
  await cluster.pass(100);
  a.areRenewalsLost = false;
  t.equal(await cluster.until(written, 2 * LEASE_MS), 0);
  t.same(cluster.replica.nodes, ['a', 'b']);
  t.same(cluster.violations, []);
});

t.test('a node that missed a mark’s end does not wait for the writer to hear of it', async (t) => {
  const implementation = 'clustered-disk';
  let onEvent = (): void => undefined;
  const { cluster, a, b } = await started({
    ...{ seed: '8', implementation, nosync: true },
    onEvent: () => onEvent(),
  });
  await cluster.pass(3000);
  t.equal(cluster.replica.writer?.node, 'a');
  await cluster.until(a.write(3));
  onEvent = () => {
    b.isPartitioned ||= !cluster.replica.markers.includes('a');
  };
  while (!b.isPartitioned) {
    t.equal(await cluster.until(b.write(5)), 0);
    await cluster.pass(200);
  }
  onEvent = () => undefined;
  // Of another log: the store goes on, and nobody tells of it here.
  const put = { key: 'another', value: new Uint8Array(0) };
  cluster.store.commit({ compares: new Map(), puts: [put], deletes: [] });
  await cluster.pass(300);
  b.isPartitioned = false;
  await cluster.pass(300);
  t.ok(cluster.replica.isMarked('b', 5), 'nothing has to be stored');
  t.equal(await cluster.until(b.write(5), LEASE_MS), 0);
  t.same(cluster.violations, []);
});

/** By its own clock the lease may have ended; the store lets it last. */
async function inDoubt(cluster: SimCluster, node: SimNode): Promise<void> {
  node.areRenewalsLost = true;
  await cluster.untilTrue('the lease is in doubt', () => !node.hasLease);
}
