/** Two nodes under a load that an observer watches to the end: for stories of what fails. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import { AcknowledgedWrites } from '../acknowledged-writes.ts';
import type { RunningCommand } from '../command.ts';
import type { PlainNbdClient } from '../plain-nbd-client.ts';
import { waitUntil } from '../wait-until.ts';
import { ClusterBed, type ClusterBedOptions } from './cluster-bed.ts';
import { LogObserver } from './log-observer.ts';

const REGION_BLOCKS = 16;
const MORE_MS_MAX = 180_000;

/** A node with a load of its own, in regions that the other node writes to as well. */
export interface LoadedNode {
  readonly name: string;
  readonly logd: RunningCommand;
  readonly serve: RunningCommand;
  readonly writes: AcknowledgedWrites;
  readonly client: PlainNbdClient;
  readonly load: Promise<void>;
}

/** `before`: what has to be there before the nodes are. */
export async function startLoaded(
  t: Test,
  options: ClusterBedOptions,
  before: () => Promise<void> = async () => {},
) {
  const bed = await ClusterBed.start(t, options);
  await before();
  const observer = await LogObserver.start(bed);
  const [a, b] = await Promise.all([startNode(bed, 'a', 0), startNode(bed, 'b', 1)]);
  return { bed, observer, a, b };
}

export async function startNode(
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

export function moreWrites({ name, writes }: LoadedNode, count = 50): Promise<void> {
  const wanted = writes.acknowledged + count;
  return waitUntil(`writes on ${name}`, () => writes.acknowledged >= wanted, MORE_MS_MAX);
}

/** The load ends; all comes into sync, the legs are equal, what was acknowledged is there. */
export async function finishLoaded(
  t: Test,
  bed: ClusterBed,
  observer: LogObserver,
  nodes: LoadedNode[],
) {
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
