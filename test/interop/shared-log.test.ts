/**
 * Two nodes share a mirror over a real etcd: log servers and mirrors as processes, over the same
 * files. One of them is killed, stopped, started again; what is wrong is refused.
 */

import { spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Prng } from '../../src/base/prng.ts';
import type { LogServerStatus, LogStatus } from '../../src/daemon/logd-status.ts';
import { AcknowledgedWrites } from '../support/acknowledged-writes.ts';
import { type RunningCommand, runCommand, startCommand } from '../support/command.ts';
import { type EtcdMember, startEtcd } from '../support/etcd.ts';
import { PlainNbdClient } from '../support/plain-nbd-client.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

const UUID = 'shared';
const SIZE = 4 * 1024 * 1024;
const REGION_SECTORS = 128;
const LEASE_S = '4';

class Cluster {
  readonly t: Test;
  readonly directory: string;
  readonly members: readonly EtcdMember[];

  private constructor(t: Test, directory: string, members: readonly EtcdMember[]) {
    this.t = t;
    this.directory = directory;
    this.members = members;
  }

  static async start(t: Test, members = 1, args: readonly string[] = []): Promise<Cluster> {
    const directory = tempDir(t);
    const cluster = new Cluster(t, directory, await startEtcd(t, directory, { members, args }));
    for (const [name, bytes] of [
      ['leg0', SIZE],
      ['leg1', SIZE],
      ['log', 65_536],
    ] as const) {
      writeFileSync(join(directory, name), '');
      truncateSync(join(directory, name), bytes);
    }
    return cluster;
  }

  get etcd(): string {
    return this.members.map(({ url }) => url).join(',');
  }

  async logd(node: string): Promise<RunningCommand> {
    const args = ['--etcd', this.etcd, '--node', node, '--lease', LEASE_S];
    const logd = startCommand(this.t, ['logd', '--socket', `${node}.logd`, ...args], {
      cwd: this.directory,
    });
    await logd.says(/^ready:/m);
    return logd;
  }

  serve(node: string, socket = `${node}.nbd`): RunningCommand {
    const log = `userspace 5 ${UUID} clustered-disk log ${REGION_SECTORS} nosync`;
    const table = `0 ${SIZE / 512} mirror ${log} 2 leg0 0 leg1 0`;
    const args = ['--log-server', `${node}.logd`, '--socket', socket, '--table', table];
    return startCommand(this.t, ['serve', ...args], { cwd: this.directory });
  }

  client(node: string): Promise<PlainNbdClient> {
    return PlainNbdClient.connect({ path: join(this.directory, `${node}.nbd`) });
  }

  async show(node: string): Promise<LogStatus | undefined> {
    const words = ['logd', 'status', '--json', '--socket', `${node}.logd`];
    const { stdout, status } = await runCommand(words, { cwd: this.directory });
    if (status !== 0) return undefined;
    const { logs } = JSON.parse(stdout) as LogServerStatus;
    return logs.find(({ uuid, state }) => uuid === UUID && state === 'resumed');
  }

  async untilClean(node: string): Promise<void> {
    await waitUntil('all in sync and unmarked', async () => {
      const log = (await this.show(node))?.log;
      if (log === undefined || log.syncCount < log.regionCount) return false;
      return log.nodes.every(({ markedCount }) => markedCount === 0);
    });
  }

  /** What the log calls clean is equal on both legs. */
  async compare(): Promise<number | null> {
    const words = ['compare', 'leg0', 'leg1', '--log', 'log'];
    return (await runCommand(words, { cwd: this.directory })).status;
  }
}

t.test('a node is killed, the other one takes over, and the log is a single node’s', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  const cluster = await Cluster.start(t);
  const [logdA, logdB] = [await cluster.logd('a'), await cluster.logd('b')];
  const [serveA, serveB] = [cluster.serve('a'), cluster.serve('b')];
  await Promise.all([serveA.says(/^ready:/m), serveB.says(/^ready:/m)]);

  const writes = new AcknowledgedWrites({ sizeBytes: SIZE, prng: new Prng(1) });
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
  const table = `0 ${SIZE / 512} mirror disk 2 log ${REGION_SECTORS} 2 leg0 0 leg1 0`;
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
    const cluster = await Cluster.start(t);
    let logdA = await cluster.logd('a');
    const logdB = await cluster.logd('b');
    const [serveA, serveB] = [cluster.serve('a'), cluster.serve('b')];
    await Promise.all([serveA.says(/^ready:/m), serveB.says(/^ready:/m)]);

    const writes = new AcknowledgedWrites({ sizeBytes: SIZE, prng: new Prng(2) });
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
  const cluster = await Cluster.start(t);
  const { directory: cwd } = cluster;
  const nowhere = ['logd', '--socket', 'x.logd', '--etcd', 'http://127.0.0.1:1', '--node', 'x'];
  const wrong = await runCommand([...nowhere, '--lease', '2'], { cwd });
  t.equal(wrong.status, 2);
  t.match(wrong.stderr, /Cannot take node name "x": the store does not answer/);

  await cluster.logd('a');
  const again = ['logd', '--socket', 'y.logd', '--etcd', cluster.etcd, '--node', 'a'];
  const taken = await runCommand([...again, '--lease', '2'], { cwd });
  t.equal(taken.status, 2);
  t.match(taken.stderr, /Cannot take node name "a": it is that of/);

  const first = cluster.serve('a');
  await first.says(/^ready:/m);
  const second = await cluster.serve('a', 'second.nbd').ended;
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
