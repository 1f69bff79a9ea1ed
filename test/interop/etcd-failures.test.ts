/**
 * Two nodes share a mirror, and it is etcd that fails: its leader is killed, it is not there for
 * half a minute, it is full. Writes may wait; nothing is called clean that is not.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Prng } from '../../src/base/prng.ts';
import { AcknowledgedWrites } from '../support/acknowledged-writes.ts';
import { ClusterBed, type ClusterBedOptions } from '../support/cluster/cluster-bed.ts';
import { LogObserver } from '../support/cluster/log-observer.ts';
import { type RunningCommand, runCommand } from '../support/command.ts';
import { type EtcdMember, leaderOf } from '../support/etcd.ts';
import type { PlainNbdClient } from '../support/plain-nbd-client.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

const REGION_BLOCKS = 16;
const STALLED = /Writes wait for the shared log/;
const GOES_ON = /Writes go on/;

/** A node with a load of its own, in regions that the other node writes to as well. */
interface LoadedNode {
  readonly name: string;
  readonly logd: RunningCommand;
  readonly serve: RunningCommand;
  readonly writes: AcknowledgedWrites;
  readonly client: PlainNbdClient;
  readonly load: Promise<void>;
}

async function start(t: Test, options: ClusterBedOptions) {
  const bed = await ClusterBed.start(t, options);
  const observer = await LogObserver.start(bed);
  const [a, b] = await Promise.all([startNode(bed, 'a', 0), startNode(bed, 'b', 1)]);
  return { bed, observer, a, b };
}

async function startNode(
  bed: ClusterBed,
  name: string,
  share: number,
  earlier?: AcknowledgedWrites,
): Promise<LoadedNode> {
  const logd = await bed.logd(name);
  const serve = bed.serve(name, ['--control', `${name}.ctl`]);
  await serve.says(/^ready:/m);
  const owns = (block: number): boolean =>
    Math.floor((block % REGION_BLOCKS) / (REGION_BLOCKS / 2)) === share;
  const { sizeBytes } = bed;
  const writes = earlier ?? new AcknowledgedWrites({ sizeBytes, prng: new Prng(name), owns });
  const client = await bed.client(name);
  const broken = await writes.broken(client);
  if (broken.length > 0) throw new Error(`It does not find what it wrote: ${broken}`);
  const pause = (): Promise<void> => sleep(5);
  const load = writes.writeUntilLost(client, { inFlight: 8, onEnd: pause });
  return { name, logd, serve, writes, client, load };
}

function moreWrites({ name, writes }: LoadedNode, count = 50): Promise<void> {
  const wanted = writes.acknowledged + count;
  return waitUntil(`writes on ${name}`, () => writes.acknowledged >= wanted);
}

/** The load ends; all comes into sync, the legs are equal, what was acknowledged is there. */
async function finish(t: Test, bed: ClusterBed, observer: LogObserver, nodes: LoadedNode[]) {
  for (const node of nodes) {
    node.client.vanish();
    await node.load;
  }
  await bed.untilClean('a');
  t.same(bed.differingRegions(), [], 'legs are equal');
  for (const { writes } of nodes) {
    t.same(await writes.broken(await bed.client('a')), [], 'on a');
    t.same(await writes.broken(await bed.client('b')), [], 'on b');
  }
  for (const { serve } of nodes) t.equal((await serve.stop()).status, 0);
  for (const { logd } of nodes) t.equal((await logd.stop()).status, 0);
  await observer.stop();
  t.same(observer.violations, []);
  t.equal(await bed.compare(), 0);
}

async function events(bed: ClusterBed, node: LoadedNode): Promise<number> {
  const { stdout } = await runCommand(['info', '--control', `${node.name}.ctl`], {
    cwd: bed.directory,
  });
  return Number(/Event number:\s+([0-9]+)/.exec(stdout)?.[1]);
}

t.test('the leader of three members is killed under load', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const { bed, observer, a, b } = await start(t, { members: 3 });
  await Promise.all([moreWrites(a), moreWrites(b)]);
  const leader = await leaderOf(bed.members);
  await leader!.kill();
  await Promise.all([moreWrites(a), moreWrites(b)]);
  t.not(await leaderOf(bed.members), null, 'another one leads');
  leader!.start();
  await Promise.all([moreWrites(a), moreWrites(b)]);
  await finish(t, bed, observer, [a, b]);
});

t.test('all members stand still for half a minute', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const { bed, observer, a, b } = await start(t, { members: 3 });
  await Promise.all([moreWrites(a), moreWrites(b)]);
  const before = await events(bed, a);
  for (const member of bed.members) member.stop();
  for (const { serve, logd } of [a, b]) {
    await waitUntil('it says that writes wait', () => STALLED.test(serve.stderr));
    t.match(logd.stderr, /lease not renewed in time/, 'and why');
  }
  t.ok((await events(bed, a)) > before, 'an event is raised');
  t.match((await bed.status('a'))!.cluster, { leaseRemainingMs: 0 }, 'the lease is over');
  const waiting = [a.writes.acknowledged, b.writes.acknowledged];
  await sleep(20_000);
  t.same([a.writes.acknowledged, b.writes.acknowledged], waiting, 'nothing is acknowledged');
  for (const member of bed.members) member.go();
  await Promise.all([moreWrites(a), moreWrites(b)]);
  t.match(a.serve.stderr, GOES_ON);
  await finish(t, bed, observer, [a, b]);
});

t.test('etcd is full', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const etcdArgs = ['--quota-backend-bytes', String(4 * 2 ** 20)];
  const { bed, observer, a, b } = await start(t, { etcdArgs });
  const [member] = bed.members;
  await Promise.all([moreWrites(a), moreWrites(b)]);
  await fill(member!);
  t.equal(await member!.isHealthy(), false, 'there is an alarm');
  for (const { serve, logd } of [a, b]) {
    await waitUntil('it says that writes wait', () => STALLED.test(serve.stderr));
    t.match(logd.stderr, /etcd takes no transactions.*database space exceeded/, 'and why');
    t.ok(logd.stderr.split('takes no transactions').length < 5, 'not again and again');
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
  await finish(t, bed, observer, [a, again]);
});

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
