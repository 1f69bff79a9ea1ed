/**
 * What becomes of the regions that a node had marked and does not any more: they are copied. Plans
 * for whoever takes part in the log (`membership.ts`).
 */

import type { Bitset } from '../base/bitset.ts';
import { CHUNK_REGIONS, chunkBytes, chunkOf, encodeJson } from './cluster-keys.ts';
import type { LogReplica } from './log-replica.ts';
import type { Plan } from './plan.ts';

/** Chunks that are taken over at once: three keys each. */
const TAKEN_OVER_MAX = 40;
/** Chunks of sync bits in one transaction. */
export const SYNC_CHUNKS_MAX = 100;

/** What a plan says: commit it, all is as it should be, or wait until something changes. */
export type Step = Plan | 'done' | 'wait';

/** These regions are no longer in sync. */
export function planDistrust(replica: LogReplica, plan: Plan, regions: ReadonlySet<number>): Step {
  const chunks = new Map<number, Uint8Array>();
  for (const region of regions) {
    const chunk = chunkOf(region);
    if (!replica.sync.test(region)) continue;
    if (!chunks.has(chunk) && chunks.size === SYNC_CHUNKS_MAX) continue;
    const bytes = chunks.get(chunk) ?? chunkBytes(replica.sync, chunk).slice();
    clearBit(bytes, region);
    chunks.set(chunk, bytes);
  }
  if (chunks.size === 0) return 'done';
  for (const [chunk, bytes] of chunks) plan.put(replica.keys.sync(chunk), bytes);
  return plan;
}

/** A node that left something behind and takes part no more. */
export function nextDead(replica: LogReplica, self: string): string | null {
  const { copying, writer, nodes } = replica;
  const suspected = [...replica.markers];
  if (copying !== null) suspected.push(copying.node);
  if (writer !== null) suspected.push(writer.node);
  return suspected.find((name) => name !== self && !nodes.includes(name)) ?? null;
}

/**
 * A copy, or the log's device, of a life that its node does not live any more, is released. A node
 * that comes back does this itself; what a store that was restored from elsewhere holds, nobody.
 */
export function planRelease(replica: LogReplica, plan: Plan): Step {
  const { keys, copying, writer } = replica;
  for (const [key, holder] of [
    [keys.copying, copying],
    [keys.writer, writer],
  ] as const) {
    if (holder === null || !isStale(replica, holder)) continue;
    plan.requires(keys.node(holder.node)).delete(key);
  }
  return plan.deletes.length === 0 ? 'done' : plan;
}

export function hasStale(replica: LogReplica): boolean {
  const { copying, writer } = replica;
  return [copying, writer].some((holder) => holder !== null && isStale(replica, holder));
}

function isStale(
  replica: LogReplica,
  { node, owner }: { readonly node: string; readonly owner: number },
): boolean {
  return replica.revisionOf(replica.keys.node(node)) !== owner;
}

/** Its regions are copied anew, its copy is released, and it is noted what it may yet write to. */
export function planTakeOver(replica: LogReplica, plan: Plan, dead: string): Step {
  const { keys } = replica;
  const marked = replica.marksOf(dead);
  const before = replica.lostOf(dead);
  plan.requires(keys.node(dead));
  for (const chunk of replica.chunksOf('mark', dead).slice(0, TAKEN_OVER_MAX)) {
    const bits = chunkBytes(marked!, chunk);
    const lost = before === null ? null : chunkBytes(before, chunk);
    const sync = chunkBytes(replica.sync, chunk).map((byte, index) => byte & ~bits[index]!);
    plan.put(keys.sync(chunk), sync);
    plan.put(
      keys.lost(dead, chunk),
      bits.map((byte, index) => byte | (lost?.[index] ?? 0)),
    );
    plan.delete(keys.marks(dead, chunk));
  }
  if (replica.copying?.node === dead) plan.delete(keys.copying);
  if (replica.writer?.node === dead) plan.delete(keys.writer);
  if (plan.puts.length + plan.deletes.length === 0) return 'wait';
  return plan.put(keys.members, encodeJson({ died: dead }));
}

/** The set bits, in order. */
export function* regionsOf(bits: Bitset | null): Generator<number> {
  if (bits === null) return;
  for (let at = bits.findNextOne(0); at < bits.size; at = bits.findNextOne(at + 1)) yield at;
}

export function subtract(from: Bitset, bits: Bitset | null): void {
  for (const region of regionsOf(bits)) from.clear(region);
}

function clearBit(bytes: Uint8Array, region: number): void {
  const at = region % CHUNK_REGIONS;
  const index = Math.floor(at / 8);
  bytes[index] = bytes[index]! & ~(1 << (at & 7));
}
