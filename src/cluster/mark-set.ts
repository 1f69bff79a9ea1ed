/**
 * What one mirror has marked, and how it comes to be stored.
 *
 * - `marked`: the mirror counts on it; nothing may be acknowledged before it is stored.
 * - `lingering`: cleared by the mirror, and still stored. A clear may wait, which is always safe; a
 *   region that is written again and again then needs no transaction at all.
 * - `fresh`: marked, and not stored yet as far as we know.
 *
 * A transaction whose outcome is unknown may still happen: of its chunks nothing is believed until
 * another one was written over it.
 */

import { Bitset } from '../base/bitset.ts';
import { chunkBytes, chunkOf } from './cluster-keys.ts';
import type { LogReplica } from './log-replica.ts';
import type { Plan } from './plan.ts';

/** Chunks that one transaction writes at most: each is compared, too; etcd takes 128 of both. */
const CHUNKS_MAX = 100;

export class MarkSet {
  readonly #node: string;
  readonly #replica: LogReplica;
  readonly #marked = new Set<number>();
  /** Until when. */
  readonly #lingering = new Map<number, number>();
  /** Of these, what has to be stored although no mirror asks for it. */
  readonly #kept = new Set<number>();
  readonly #fresh = new Set<number>();
  readonly #unsure = new Set<number>();
  /** A transaction of ours is under way: what is stored may be changing. */
  #isChanging = false;

  constructor(node: string, replica: LogReplica) {
    this.#node = node;
    this.#replica = replica;
  }

  get marked(): ReadonlySet<number> {
    return this.#marked;
  }

  get hasLingering(): boolean {
    return this.#lingering.size > 0;
  }

  /** Every mark is surely stored. */
  get isStored(): boolean {
    return this.#fresh.size === 0 && this.#unsure.size === 0;
  }

  /** Marked, and not surely stored. */
  get fresh(): ReadonlySet<number> {
    return this.#fresh;
  }

  add(region: number): void {
    this.#drop(region);
    this.#marked.add(region);
    if (this.#isChanging || !this.#isKnownStored(region)) this.#fresh.add(region);
  }

  /** The stored mark stays until `untilMs`; one that is not stored is not needed. */
  clear(region: number, untilMs: number): void {
    this.#marked.delete(region);
    this.#fresh.delete(region);
    if (this.#isChanging || this.#isKnownStored(region)) this.#lingering.set(region, untilMs);
  }

  /** Stored by an earlier life of this node, and kept for a while. */
  keep(region: number, untilMs: number): void {
    if (this.#marked.has(region)) return;
    this.#lingering.set(region, untilMs);
    this.#kept.add(region);
    if (!this.#isKnownStored(region)) this.#fresh.add(region);
  }

  /** Looks at everything again: what is stored may have changed. */
  recheck(): void {
    this.#fresh.clear();
    for (const region of this.#marked) if (!this.#isKnownStored(region)) this.#fresh.add(region);
    for (const region of this.#kept) if (!this.#isKnownStored(region)) this.#fresh.add(region);
    // What is stored for no reason goes with the next transaction.
    const stored = this.#replica.marksOf(this.#node);
    if (stored === null) return;
    for (let at = stored.findNextOne(0); at < stored.size; at = stored.findNextOne(at + 1)) {
      if (!this.#marked.has(at) && !this.#lingering.has(at)) this.#lingering.set(at, 0);
    }
  }

  /** Nothing lingers any longer than now. */
  expireAll(): void {
    for (const region of this.#lingering.keys()) this.#lingering.set(region, 0);
    this.#kept.clear();
  }

  forgetAll(): void {
    this.#marked.clear();
    this.#lingering.clear();
    this.#kept.clear();
    this.#fresh.clear();
    this.#unsure.clear();
  }

  /** All that must stay stored: marked, or kept for now. */
  all(): number[] {
    return [...this.#marked, ...this.#lingering.keys()];
  }

  /**
   * Writes into the plan what has to be stored, and drops what lingered long enough. False where
   * there is nothing to write.
   */
  plan(plan: Plan, nowMs: number): boolean {
    for (const region of this.#fresh) {
      if (this.#isKnownStored(region)) this.#fresh.delete(region);
    }
    const chunks = new Set<number>(this.#unsure);
    for (const region of this.#fresh) {
      if (chunks.size >= CHUNKS_MAX) break;
      chunks.add(chunkOf(region));
    }
    const isUrgent = chunks.size > 0;
    for (const [region, untilMs] of this.#lingering) {
      if (untilMs > nowMs) continue;
      if (!chunks.has(chunkOf(region)) && (isUrgent || chunks.size >= CHUNKS_MAX)) continue;
      chunks.add(chunkOf(region));
      this.#drop(region);
    }
    if (chunks.size === 0) return false;
    const wanted = this.#wantedBits(chunks);
    for (const chunk of chunks) {
      const key = this.#replica.keys.marks(this.#node, chunk);
      const bytes = chunkBytes(wanted, chunk);
      if (bytes.some((byte) => byte !== 0)) plan.put(key, bytes.slice());
      else if (this.#unsure.has(chunk)) plan.put(key, bytes.slice());
      else plan.delete(key);
    }
    return true;
  }

  /** While a transaction of ours is under way. */
  began(): void {
    this.#isChanging = true;
  }

  /** `isSure`: it is known whether it happened, and the replica knows what it did. */
  ended(plan: Plan, isSure: boolean): void {
    this.#isChanging = false;
    for (const key of [...plan.puts.map((put) => put.key), ...plan.deletes]) {
      const parsed = this.#replica.keys.parse(key);
      if (parsed?.kind !== 'mark' || parsed.node !== this.#node) continue;
      if (isSure) this.#unsure.delete(parsed.chunk);
      else this.#unsure.add(parsed.chunk);
    }
    this.recheck();
  }

  #drop(region: number): void {
    this.#lingering.delete(region);
    this.#kept.delete(region);
  }

  #isKnownStored(region: number): boolean {
    return !this.#unsure.has(chunkOf(region)) && this.#replica.isMarked(this.#node, region);
  }

  #wantedBits(chunks: ReadonlySet<number>): Bitset {
    const bits = new Bitset(this.#replica.regionCount);
    for (const region of this.all()) {
      if (chunks.has(chunkOf(region)) && !this.#isGone(region)) bits.set(region);
    }
    return bits;
  }

  /** It lingered and was taken over. It is not stored anew: another node may be copying it now. */
  #isGone(region: number): boolean {
    if (!this.#lingering.has(region) || this.#kept.has(region)) return false;
    return !this.#replica.isMarked(this.#node, region);
  }
}
