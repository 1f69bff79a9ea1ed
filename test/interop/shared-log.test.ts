/**
 * Two nodes share a mirror over a real etcd: log servers and mirrors as processes, over the same
 * files. One of them is killed, stopped, started again; what is wrong is refused.
 */

import { spawnSync } from 'node:child_process';
import t from 'tap';
import { Prng } from '../../src/base/prng.ts';
import { AcknowledgedWrites } from '../support/acknowledged-writes.ts';
import { ClusterBed, UUID } from '../support/cluster/cluster-bed.ts';
import { runCommand, startCommand } from '../support/command.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

t.test('a node is killed, the other one takes over, and the log is a single node’s', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const cluster = await ClusterBed.start(t);
  const [logdA, logdB] = [await cluster.logd('a'), await cluster.logd('b')];
  const [serveA, serveB] = [cluster.serve('a'), cluster.serve('b')];
  await Promise.all([serveA.says(/^ready:/m), serveB.says(/^ready:/m)]);

  const writes = new AcknowledgedWrites({ sizeBytes: cluster.sizeBytes, prng: new Prng(1) });
  const client = await cluster.client('b');
  let done = 0;
  await writes.writeUntilLost(client, {
    inFlight: 8,
    onEnd: () => {
      done += 1;
      if (done !== 200) return;
      logdB.child.kill('SIGKILL');
      serveB.child.kill('SIGKILL');
    },
  });
  await waitUntil('a takes over', () => logdA.stderr.includes('taking over from a dead node'));
  await cluster.untilClean('a');
  t.same(await writes.broken(await cluster.client('a')), [], 'what was acknowledged is there');

  const refused = await runCommand(['serve', '--leg', 'leg0', '--leg', 'leg1'], {
    cwd: cluster.directory,
  });
  t.equal(refused.status, 2, 'legs that are shared are not opened alone');
  t.match(refused.stderr, /locked by/);

  t.equal((await serveA.stop()).status, 0);
  t.equal((await logdA.stop()).status, 0);
  t.equal(await cluster.compare(), 0);
  const log = `disk 2 log ${cluster.regionSectors}`;
  const table = `0 ${cluster.sizeBytes / 512} mirror ${log} 2 leg0 0 leg1 0`;
  const alone = startCommand(t, ['serve', '--table', table, '--socket', 'c.nbd'], {
    cwd: cluster.directory,
  });
  await alone.says(/^ready:/m);
  t.equal((await alone.stop()).status, 0, 'a disk log takes it over');
});

t.test(
  'a log server is killed under load; a node stands still longer than its lease',
  async (t) => {
    if (!requireTool(t, 'etcd')) return;
    const cluster = await ClusterBed.start(t);
    let logdA = await cluster.logd('a');
    const logdB = await cluster.logd('b');
    const [serveA, serveB] = [cluster.serve('a'), cluster.serve('b')];
    await Promise.all([serveA.says(/^ready:/m), serveB.says(/^ready:/m)]);

    const writes = new AcknowledgedWrites({ sizeBytes: cluster.sizeBytes, prng: new Prng(2) });
    const client = await cluster.client('a');
    let done = 0;
    const count = (): void => {
      done += 1;
    };
    const load = writes.writeUntilLost(client, { inFlight: 8, onEnd: count });
    await waitUntil('some writes', () => done > 50);
    await logdA.stop('SIGKILL');
    logdA = await cluster.logd('a');
    const afterRestart = done + 50;
    await waitUntil('writes after the restart', () => done > afterRestart);

    for (const { child } of [logdA, serveA]) child.kill('SIGSTOP');
    await waitUntil('b takes over', () => logdB.stderr.includes('taking over from a dead node'));
    for (const { child } of [logdA, serveA]) child.kill('SIGCONT');
    const afterStop = done + 50;
    await waitUntil('writes after the stop', () => done > afterStop);
    serveA.child.kill('SIGKILL');
    await load;
    await cluster.untilClean('b');
    t.same(await writes.broken(await cluster.client('b')), [], 'what was acknowledged is there');
    t.equal((await serveB.stop()).status, 0);
    t.equal(await cluster.compare(), 0);
  },
);

t.test('what is wrong is refused, and says why', async (t) => {
  if (!requireTool(t, 'etcd', 'etcdctl')) return;
  const cluster = await ClusterBed.start(t);
  const { directory: cwd } = cluster;
  const nowhere = ['logd', '--socket', 'x.logd', '--etcd', 'http://127.0.0.1:1', '--node', 'x'];
  const wrongly = runCommand([...nowhere, '--lease', '2'], { cwd });
  const patient = startCommand(t, [...nowhere, '--lease', '600'], { cwd });
  await waitUntil('it waits', () => patient.stderr.includes('etcd keeps no leases'));
  t.equal((await patient.stop()).status, 2, 'it does not wait on after a signal');
  t.match(patient.stderr, /Cannot take node name "x"/);
  const wrong = await wrongly;
  t.equal(wrong.status, 2);
  t.match(
    wrong.stderr,
    /Cannot take node name "x": the store does not give a lease: .*ECONNREFUSED/,
  );

  await cluster.logd('a');
  const again = ['logd', '--socket', 'y.logd', '--etcd', cluster.etcd, '--node', 'a'];
  const taken = await runCommand([...again, '--lease', '2'], { cwd });
  t.equal(taken.status, 2);
  t.match(taken.stderr, /Cannot take node name "a": it is that of/);

  const first = cluster.serve('a');
  await first.says(/^ready:/m);
  const second = await cluster.serve('a', ['--socket', 'second.nbd']).ended;
  t.equal(second.status, 2, 'one uuid, two mirrors of one node');
  t.match(second.stderr, /EBUSY/);
  t.equal((await first.stop()).status, 0);

  const key = `nbd-mirror/1/log/${UUID}/config`;
  const put = spawnSync('etcdctl', ['--endpoints', cluster.etcd, 'put', key, 'not ours'], {
    env: { ...process.env, ETCDCTL_API: '3' },
  });
  t.equal(put.status, 0);
  const foreign = await cluster.serve('a').ended;
  t.equal(foreign.status, 2, 'foreign values under our keys');
  t.match(foreign.stderr, /refuses it/);
});
