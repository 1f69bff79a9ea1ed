/**
 * Which region is copied next, by whom, and what is said of it afterwards: plans for whoever takes
 * part in a shared log.
 *
 * One region at a time over all nodes, and none that another node has marked: it writes there. What
 * the decision rests on is compared: who else there is, what they have marked, and that nobody
 * copies.
 */

import { Bitset } from '../base/bitset.ts';
import type { Region } from '../base/units.ts';
import { CHUNK_REGIONS, chunkBytes, chunkOf, encodeJson } from './cluster-keys.ts';
import type { LogReplica } from './log-replica.ts';
import type { Plan } from './plan.ts';

/** A node in one of its lives. */
export interface Taker {
  readonly node: string;
  readonly owner: number;
}

export function isCopiedBy(
  { copying }: LogReplica,
  { node, owner }: Taker,
  region: number,
): boolean {
  return copying?.region === region && copying.node === node && copying.owner === owner;
}

/** A region: it is ours to copy, also when asked twice. Null: there is nothing to copy now. */
export function planCopy(
  replica: LogReplica,
  plan: Plan,
  taker: Taker,
  failed: ReadonlySet<number>,
): Plan | Region | null {
  const { copying, keys, wanted } = replica;
  const { node } = taker;
  if (copying !== null) {
    return isCopiedBy(replica, taker, copying.region) ? (copying.region as Region) : null;
  }
  const region = chooseWork(replica, node, failed);
  if (region === null) return null;
  const chunk = chunkOf(region);
  plan.requires(keys.members).requires(keys.sync(chunk));
  const others = [...new Set([...replica.nodes, ...replica.markers])];
  for (const name of others) if (name !== node) plan.requires(keys.marks(name, chunk));
  plan.put(keys.copying, encodeJson({ region, ...taker }));
  const bits = replica.marksOf(node) ?? new Bitset(replica.regionCount);
  plan.put(keys.marks(node, chunk), withBit(chunkBytes(bits, chunk), region, true));
  if (wanted.includes(region)) {
    plan.put(keys.wanted, encodeJson(wanted.filter((other) => other !== region)));
  }
  return plan;
}

export function planSetSync(
  replica: LogReplica,
  plan: Plan,
  change: { readonly region: number; readonly inSync: boolean; readonly isOurs: boolean },
): Plan | 'done' {
  const { region, inSync, isOurs } = change;
  const { keys, sync } = replica;
  const chunk = chunkOf(region);
  if (isOurs) plan.delete(keys.copying);
  if (sync.test(region) !== inSync) {
    plan.put(keys.sync(chunk), withBit(chunkBytes(sync, chunk), region, inSync));
  }
  return plan.puts.length + plan.deletes.length === 0 ? 'done' : plan;
}

/** Those that writes wait for come first; then the lowest. */
function chooseWork(replica: LogReplica, node: string, failed: ReadonlySet<number>): Region | null {
  const { sync, wanted } = replica;
  const isWork = (region: number): boolean =>
    !sync.test(region) && !failed.has(region) && !replica.isMarkedByAnother(node, region);
  const first = wanted.find(isWork);
  if (first !== undefined) return first as Region;
  for (let at = sync.findNextZero(0); at < sync.size; at = sync.findNextZero(at + 1)) {
    if (isWork(at)) return at as Region;
  }
  return null;
}

function withBit(bytes: Uint8Array, region: number, value: boolean): Uint8Array {
  const changed = bytes.slice();
  const at = region % CHUNK_REGIONS;
  const index = Math.floor(at / 8);
  const mask = 1 << (at & 7);
  changed[index] = value ? changed[index]! | mask : changed[index]! & ~mask;
  return changed;
}
