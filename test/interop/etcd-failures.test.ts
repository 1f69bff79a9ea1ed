/**
 * Two nodes share a mirror, and it is etcd that fails: its leader is killed, it is not there for
 * half a minute, it is full. Writes may wait; nothing is called clean that is not.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { connectEtcd } from '../../src/cluster/etcd-engine.ts';
import { SystemClock } from '../../src/daemon/system-clock.ts';
import type { ClusterBed } from '../support/cluster/cluster-bed.ts';
import {
  finishLoaded,
  type LoadedNode,
  moreWrites,
  startLoaded,
  startNode,
} from '../support/cluster/loaded-cluster.ts';
import { runCommand } from '../support/command.ts';
import { type EtcdMember, leaderOf, startEtcd } from '../support/etcd.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

const STALLED = /waits for its shared log/;
const GOES_ON = /The mirror goes on/;

async function events(bed: ClusterBed, node: LoadedNode): Promise<number> {
  const { stdout } = await runCommand(['info', '--control', `${node.name}.ctl`], {
    cwd: bed.directory,
  });
  return Number(/Event number:\s+([0-9]+)/.exec(stdout)?.[1]);
}

t.test('the leader of three members is killed under load', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const { bed, observer, a, b } = await startLoaded(t, { members: 3 });
  await Promise.all([moreWrites(a), moreWrites(b)]);
  const leader = await leaderOf(bed.members);
  await leader!.kill();
  await Promise.all([moreWrites(a), moreWrites(b)]);
  t.not(await leaderOf(bed.members), null, 'another one leads');
  leader!.start();
  await Promise.all([moreWrites(a), moreWrites(b)]);
  await finishLoaded(t, bed, observer, [a, b]);
});

t.test('all members stand still for half a minute', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const { bed, observer, a, b } = await startLoaded(t, { members: 3 });
  await Promise.all([moreWrites(a), moreWrites(b)]);
  const before = await events(bed, a);
  for (const member of bed.members) member.stop();
  for (const { serve, logd } of [a, b]) {
    await waitUntil('it says that it waits', () => STALLED.test(serve.stderr));
    await waitUntil('and why', () => /lease not renewed in time/.test(logd.stderr));
  }
  t.ok((await events(bed, a)) > before, 'an event is raised');
  t.match((await bed.status('a'))!.cluster, { leaseRemainingMs: 0 }, 'the lease is over');
  const waiting = [a.writes.acknowledged, b.writes.acknowledged];
  await sleep(20_000);
  t.same([a.writes.acknowledged, b.writes.acknowledged], waiting, 'nothing is acknowledged');
  for (const member of bed.members) member.go();
  await Promise.all([moreWrites(a), moreWrites(b)]);
  t.match(a.serve.stderr, GOES_ON);
  await finishLoaded(t, bed, observer, [a, b]);
});

t.test('a member that is cut off from the others does not keep its watches', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const [alone, ...others] = await startEtcd(t, tempDir(t), { members: 3 });
  const clock = new SystemClock();
  const options = { hosts: [alone!.url], clock, log: silentLogger, deadlineMs: 1000 };
  const engine = await connectEtcd(options);
  t.teardown(() => engine.close());
  const seen = new Promise<void>((changed) => {
    const watch = engine.watch('x', 0, { changed: () => changed(), lost: () => undefined });
    t.teardown(() => watch.close());
  });
  const put = { key: 'x', value: Buffer.from('1') };
  await engine.commit({ compares: new Map(), puts: [put], deletes: [] });
  await seen;
  const lost = new Promise<void>((resolve) => {
    engine.watch('x', 0, { changed: () => undefined, lost: resolve });
  });
  for (const member of others) member.stop();
  await lost;
  t.pass('whoever follows looks for another member');
});

t.test('etcd is full', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const etcdArgs = ['--quota-backend-bytes', String(4 * 2 ** 20)];
  // More regions than are ever marked at once: who has them all marked can go on for ever.
  const sizeBytes = 32 * 2 ** 20;
  const { bed, observer, a, b } = await startLoaded(t, { etcdArgs, sizeBytes });
  const [member] = bed.members;
  await Promise.all([moreWrites(a), moreWrites(b)]);
  const saidBefore = [a, b].map(({ logd }) => timesSaid(logd.stderr));
  await fill(member!);
  t.equal(await member!.isHealthy(), false, 'there is an alarm');
  for (const [index, { serve, logd }] of [a, b].entries()) {
    await waitUntil('it says that it waits', () => STALLED.test(serve.stderr));
    t.match(logd.stderr, /etcd takes no transactions.*database space exceeded/, 'and why');
    t.ok(timesSaid(logd.stderr) <= saidBefore[index]! + 3, 'not again and again');
  }
  const shown = await runCommand(['logd', 'status', '--socket', 'a.logd'], { cwd: bed.directory });
  t.match(shown.stdout, /trouble +etcd: .*database space exceeded/);
  const late = ['logd', '--socket', 'c.logd', '--etcd', bed.etcd, '--node', 'c', '--lease', '2'];
  const refused = await runCommand(late, { cwd: bed.directory });
  t.equal(refused.status, 2);
  t.match(refused.stderr, /Cannot take node name "c": .*database space exceeded/);

  // A node that dies meanwhile cannot be taken over; its regions stay marked.
  b.serve.child.kill('SIGKILL');
  b.logd.child.kill('SIGKILL');
  await b.load;
  await sleep(2 * bed.leaseMs);
  t.not((await bed.show('a'))?.log.nodes.find(({ name }) => name === 'b')?.markedCount, 0);
  await makeRoom(member!);
  await moreWrites(a);
  t.match(a.logd.stderr, /etcd takes no transactions: over/);
  await waitUntil('a takes over', () => a.logd.stderr.includes('taking over from a dead node'));
  const again = await startNode(bed, 'b', 1, b.writes);
  await moreWrites(again);
  await finishLoaded(t, bed, observer, [a, again]);
});

function timesSaid(stderr: string): number {
  return stderr.split('takes no transactions').length - 1;
}

const FILLER = 'filler/';

/** Until it takes no more. */
async function fill(member: EtcdMember): Promise<void> {
  const value = Buffer.alloc(256 * 1024).toString('base64');
  for (let index = 0; ; index++) {
    const key = Buffer.from(`${FILLER}${index}`).toString('base64');
    if ((await member.ask('kv/put', { key, value })) === null) return;
  }
}

interface Alarms {
  readonly alarms: readonly { readonly memberID: string; readonly alarm: string }[];
}

/** As an operator does it: delete, compact, defragment, disarm. */
async function makeRoom(member: EtcdMember): Promise<void> {
  const key = Buffer.from(FILLER).toString('base64');
  const end = Buffer.from('filler0').toString('base64');
  const gone = await member.ask<{ header: { revision: string } }>('kv/deleterange', {
    key,
    range_end: end,
  });
  const { revision } = gone!.header;
  await member.ask('kv/compaction', { revision, physical: true });
  await member.ask('maintenance/defragment');
  const { alarms } = (await member.ask<Alarms>('maintenance/alarm', { action: 'GET' }))!;
  for (const alarm of alarms) {
    await member.ask('maintenance/alarm', { action: 'DEACTIVATE', ...alarm });
  }
  await waitUntil('etcd is well', () => member.isHealthy());
}
