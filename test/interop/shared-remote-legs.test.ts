/**
 * Two nodes share a mirror whose legs are exports of other servers. The server of a leg dies under
 * load: it comes back, and nothing has happened; or it does not, and both nodes go on without it.
 */

import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ClusterBedOptions } from '../support/cluster/cluster-bed.ts';
import {
  finishLoaded,
  type LoadedNode,
  moreWrites,
  startLoaded,
  startNode,
} from '../support/cluster/loaded-cluster.ts';
import { startCommand } from '../support/command.ts';
import { ForeignServer } from '../support/foreign-server.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

/** The servers are started before the nodes. */
async function start(t: Test, parameters: readonly string[], options: ClusterBedOptions) {
  const servers: ForeignServer[] = [];
  const legs = (directory: string): string[] => {
    for (const name of ['leg0', 'leg1']) {
      const place = { directory, name, image: join(directory, name) };
      servers.push(new ForeignServer(t, 'nbdkit', place));
    }
    return servers.map((server) => server.uri(...parameters));
  };
  const before = async (): Promise<void> => {
    for (const server of servers) await server.start();
  };
  return { servers, ...(await startLoaded(t, { ...options, legs }, before)) };
}

t.test('the server of a leg is killed under load, and comes back', async (t) => {
  if (!requireTool(t, 'etcd', 'nbdkit')) return;
  const reconnect = ['reconnect-delay=60'];
  const { bed, observer, a, b, servers } = await start(t, reconnect, {
    features: '1 handle_errors',
  });
  await Promise.all([moreWrites(a), moreWrites(b)]);
  for (const server of servers) {
    await server.kill();
    await server.start();
    await Promise.all([moreWrites(a), moreWrites(b)]);
  }
  await finishLoaded(t, bed, observer, [a, b]);
});

t.test('the server of a leg dies; both nodes go on, and copy it when it is back', async (t) => {
  if (!requireTool(t, 'etcd', 'nbdkit')) return;
  const { bed, observer, a, b, servers } = await start(t, [], {
    features: '2 handle_errors keep_log',
  });
  await Promise.all([moreWrites(a), moreWrites(b)]);
  await servers[1]!.kill();
  await Promise.all([moreWrites(a), moreWrites(b)]);
  for (const { serve } of [a, b]) {
    await waitUntil('it says so', () => /leg 1|leg1/.test(serve.stderr));
  }
  await servers[1]!.start();
  const nodes: LoadedNode[] = [];
  for (const { name, serve, logd, writes, client, load } of [a, b]) {
    client.vanish();
    await load;
    t.equal((await serve.stop()).status, 0);
    t.equal((await logd.stop()).status, 0);
    nodes.push(await startNode(bed, name, name === 'a' ? 0 : 1, writes));
  }
  await Promise.all(nodes.map((node) => moreWrites(node)));
  await finishLoaded(t, bed, observer, nodes);
});

t.test('legs that another nbd-mirror serves', async (t) => {
  if (!requireTool(t, 'etcd')) return;
  let cwd = '';
  const legs = (directory: string): string[] => {
    cwd = directory;
    return ['leg0', 'leg1'].map((name) => `nbd+unix:///?socket=${directory}/${name}.sock`);
  };
  const before = async (): Promise<void> => {
    for (const name of ['leg0', 'leg1']) {
      const table = ['--table', `0 8192 linear ${name} 0`];
      await startCommand(t, ['serve', '--socket', `${name}.sock`, ...table], { cwd }).says(
        /^ready:/m,
      );
    }
  };
  const { bed, observer, a, b } = await startLoaded(t, { legs }, before);
  await Promise.all([moreWrites(a), moreWrites(b)]);
  await finishLoaded(t, bed, observer, [a, b]);
});
