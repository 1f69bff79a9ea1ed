/**
 * One node's part in a shared log: coming, going, being entitled to change anything, and taking
 * over what a dead node left.
 *
 * A node takes part while its key is there, put under its lease. Every transaction compares that
 * key, so that a node whose key has gone changes nothing, whatever it believes. And nobody is
 * answered while, by our own clock, the lease may have ended: see `node-lease.ts`.
 *
 * Of a dead node (marks without a key) the marked regions become resync work, and its copy is
 * released. They are also noted as lost, since a node that was only stopped may still have writes
 * under way: when it comes back, all of them are copied once more, before it is answered.
 */

import type { Bitset } from '../base/bitset.ts';
import { ESTALE, type IoResult, OK } from '../base/errno.ts';
import {
  asConfig,
  type ClusterContext,
  RETRY_MS,
  type SharedLogConfig,
} from './cluster-context.ts';
import { chunkBytes, chunkCount, encodeJson, type LogKeys } from './cluster-keys.ts';
import type { LogReplica } from './log-replica.ts';
import type { MarkSet } from './mark-set.ts';
import { Plan } from './plan.ts';
import {
  hasStale,
  nextDead,
  planDistrust,
  planRelease,
  planTakeOver,
  regionsOf,
  type Step,
  SYNC_CHUNKS_MAX,
  subtract,
} from './take-over.ts';
import { Waits } from './waits.ts';

const CHANGE_MS_MAX = 1000;

export interface MembershipOptions {
  readonly context: ClusterContext;
  readonly keys: LogKeys;
  readonly replica: LogReplica;
  readonly marks: MarkSet;
  readonly config: Omit<SharedLogConfig, 'ready' | 'starter'>;
  /** The sync bits with which the first node begins. Null: what is stored cannot be had now. */
  readonly initialSync: () => Promise<Bitset | null>;
  /** Regions kept from an earlier life stay marked so long. */
  readonly keepMs: number;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #node: string;
  #owner = 0;
  #generation = 0;
  #rejoining: Promise<boolean> | null = null;
  #takingOver = false;
  #isComingBack = false;
  #isLeaving = false;
  readonly #waits: Waits;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#node = options.context.lease.node;
    this.#waits = new Waits(options.context.clock);
  }

  /** Revision of this node's key; 0: it takes no part. */
  get owner(): number {
    return this.#owner;
  }

  /** What is promised now is kept: others leave alone what is marked here. */
  get isEntitled(): boolean {
    const { context, keys, replica } = this.#options;
    const { lease } = context;
    return (
      this.#owner !== 0 &&
      lease.isGood &&
      lease.generation === this.#generation &&
      replica.revisionOf(keys.node(this.#node)) === this.#owner &&
      this.#rejoining === null
    );
  }

  /** Waits until it is so (again). False: nobody waits any more. */
  async entitled(): Promise<boolean> {
    for (;;) {
      if (this.#waits.isOver || this.#owner === 0) return false;
      if (this.isEntitled) return true;
      if (!(await this.#leaseIsGood())) return false;
      if (this.#waits.isOver || this.#owner === 0) return false;
      if (this.isEntitled) return true;
      this.#rejoining ??= this.#rejoin().finally(() => {
        this.#rejoining = null;
      });
      if (!(await this.#rejoining)) return false;
    }
  }

  /** As `entitled`, where nobody waits for it: it is told. */
  comeBack(onBack: () => void): void {
    if (this.#isComingBack || this.#isLeaving) return;
    this.#isComingBack = true;
    void this.entitled().then((isBack) => {
      this.#isComingBack = false;
      if (isBack) onBack();
    });
  }

  /** Whoever waits gives up. */
  abandon(): void {
    this.#owner = 0;
    this.#waits.giveUp();
  }

  /** A plan that this node may only carry out while it takes part. */
  plan(): Plan {
    const plan = new Plan(this.#options.replica);
    plan.compares.set(this.#options.keys.node(this.#node), this.#owner);
    return plan;
  }

  /** Makes plans and carries them out until one says that all is done. False: given up. */
  async settle(next: () => Step): Promise<boolean> {
    for (;;) {
      if (!(await this.entitled())) return false;
      const step = next();
      if (step === 'done') return true;
      if (step === 'wait') await this.change();
      else await this.commitMarks(step);
    }
  }

  /** Carries out a plan once, and learns what came of it. */
  async commit(plan: Plan): Promise<'done' | 'conflict' | 'unknown'> {
    const { context, replica } = this.#options;
    context.counters.transactions += 1;
    const outcome = await context.engine.commit(plan);
    switch (outcome.kind) {
      case 'done':
        replica.committed(plan, outcome.revision);
        return 'done';
      case 'conflict':
        context.counters.conflicts += 1;
        if (!replica.found(outcome.current)) await replica.load();
        return 'conflict';
      case 'refused':
        context.log.debug('shared log: the store refuses a transaction', { why: outcome.reason });
        await this.#waits.pause(RETRY_MS);
        return 'conflict';
      case 'unknown':
        context.counters.unknown += 1;
        // One that is full, or not there, says so at once.
        await this.#waits.pause(RETRY_MS);
        await replica.load();
        return 'unknown';
    }
  }

  /** Ends with the next change of what is known, or when given up; not later than a second. */
  change(): Promise<void> {
    return this.#waits.until((task) => this.#options.replica.onChange(task), CHANGE_MS_MAX);
  }

  /** Begins to take part: at a resume. ESTALE: another log has the uuid. Null: given up. */
  async join(): Promise<IoResult | null> {
    const { replica, marks, context, keepMs, keys } = this.#options;
    this.#waits.begin();
    this.#isLeaving = false;
    marks.forgetAll();
    for (;;) {
      if (!(await this.#prepare())) return null;
      const problem = this.#problemOfConfig();
      if (problem !== null) {
        context.log.error(`shared log: refused: ${problem}`, { prefix: keys.prefix });
        return ESTALE;
      }
      const suspects = new Set<number>([
        ...regionsOf(replica.marksOf(this.#node)),
        ...regionsOf(replica.lostOf(this.#node)),
      ]);
      const untilMs = context.clock.now() + keepMs;
      for (const region of suspects) marks.keep(region, untilMs);
      if (await this.#enter(suspects, { isNew: true })) return OK;
      if (this.#waits.isOver) return null;
    }
  }

  /** Takes part no more; what is still marked becomes resync work. False: given up. */
  async leave(): Promise<boolean> {
    const { keys, replica, marks } = this.#options;
    const nodeKey = keys.node(this.#node);
    this.#isLeaving = true;
    const left = new Set(marks.marked);
    if (!(await this.distrust(left))) return false;
    marks.forgetAll();
    for (;;) {
      if (!(await this.entitled())) return false;
      const plan = this.plan();
      for (const chunk of replica.chunksOf('mark', this.#node).slice(0, SYNC_CHUNKS_MAX)) {
        plan.delete(keys.marks(this.#node, chunk));
      }
      const isLast = plan.deletes.length === 0;
      if (isLast) {
        if (replica.copying?.node === this.#node) plan.delete(keys.copying);
        if (replica.writer?.node === this.#node) plan.delete(keys.writer);
        plan.put(keys.members, encodeJson({ left: this.#node }));
        plan.deletes.push(nodeKey);
      }
      await this.commit(plan);
      // Whoever saw the key go before we did may be putting it there again.
      if (isLast && this.#rejoining === null && replica.revisionOf(nodeKey) === 0) break;
    }
    this.#owner = 0;
    return true;
  }

  /** To be called whenever something is known anew. */
  lookForTheDead(): void {
    if (this.#takingOver || !this.isEntitled) return;
    const { replica } = this.#options;
    if (nextDead(replica, this.#node) === null && !hasStale(replica)) return;
    this.#takingOver = true;
    void this.settle(() => this.#planTakeOver()).finally(() => {
      this.#takingOver = false;
    });
  }

  /** These regions are no longer in sync. False: given up. */
  distrust(regions: ReadonlySet<number>): Promise<boolean> {
    return this.settle(() => this.#planDistrust(regions));
  }

  /** False: it never will be, or nobody waits any more. */
  async #leaseIsGood(): Promise<boolean> {
    const { lease } = this.#options.context;
    return lease.isGood || this.#waits.forTrue(lease.whenGood());
  }

  // --- coming -----------------------------------------------------------------------------------

  /** A good lease, and everything known. */
  async #prepare(): Promise<boolean> {
    const { context, replica } = this.#options;
    for (;;) {
      if (this.#waits.isOver || !(await this.#leaseIsGood())) return false;
      this.#generation = context.lease.generation;
      if (await replica.load()) return true;
      await this.#waits.pause(RETRY_MS);
      if (this.#waits.isOver) return false;
    }
  }

  #problemOfConfig(): string | null {
    const { replica, config, keys } = this.#options;
    if (replica.revisionOf(keys.config) === 0) return null;
    const stored = asConfig(replica.config);
    if (stored === null) return 'what the store holds under this uuid is no log of this version';
    for (const name of ['implementation', 'targetSectors', 'regionSizeSectors'] as const) {
      if (stored[name] === config[name]) continue;
      if (replica.nodes.length === 0) continue;
      return `another node uses it with ${name} ${stored[name]}, not ${config[name]}`;
    }
    return null;
  }

  /** The same node comes back: its lease had ended, or its key was replaced. */
  async #rejoin(): Promise<boolean> {
    const { replica, marks, context } = this.#options;
    for (;;) {
      if (!(await this.#prepare())) return false;
      const { isGood, generation } = context.lease;
      const key = this.#options.keys.node(this.#node);
      if (isGood && generation === this.#generation && replica.revisionOf(key) === this.#owner) {
        return true;
      }
      const suspects = new Set(regionsOf(replica.lostOf(this.#node)));
      for (const region of marks.all()) {
        if (!replica.isMarked(this.#node, region)) suspects.add(region);
      }
      marks.recheck();
      context.log.warn('shared log: coming back', { node: this.#node, suspects: suspects.size });
      if (await this.#enter(suspects, { isNew: false })) return true;
      if (this.#waits.isOver) return false;
    }
  }

  /**
   * Puts the node's key; then, before anybody is answered: the first node writes the state, what
   * must be marked is marked, and the suspects are no longer in sync.
   */
  async #enter(
    suspects: ReadonlySet<number>,
    { isNew }: { readonly isNew: boolean },
  ): Promise<boolean> {
    const { context, keys, replica, config } = this.#options;
    const nodeKey = keys.node(this.#node);
    const others = replica.nodes.filter((name) => name !== this.#node);
    const stored = asConfig(replica.config);
    const isHere = replica.revisionOf(nodeKey) !== 0;
    const isReady = stored?.ready === true;
    const isFirst = others.length === 0 && (!isReady || (isNew && !isHere));
    if (!isFirst && !isReady) {
      // Somebody is about to write the state, or has died over it and is not taken off yet.
      await this.change();
      return false;
    }
    const plan = new Plan(replica).requires(nodeKey);
    plan.put(nodeKey, encodeJson({ node: this.#node }), context.lease.id ?? '');
    plan.put(keys.members, encodeJson({ came: this.#node }));
    if (isFirst)
      plan.put(keys.config, encodeJson({ ...config, ready: false, starter: this.#node }));
    if (replica.copying?.node === this.#node) plan.delete(keys.copying);
    if (replica.writer?.node === this.#node) plan.delete(keys.writer);
    if ((await this.commit(plan)) !== 'done') return false;
    this.#owner = replica.revisionOf(nodeKey);
    return this.#settleIn(isFirst, suspects);
  }

  async #settleIn(isFirst: boolean, suspects: ReadonlySet<number>): Promise<boolean> {
    const { keys, replica, config } = this.#options;
    if (isFirst && !(await this.#writeInitialState())) return false;
    const isMarked = await this.#while(() => {
      const takenOver = this.#planTakeOver();
      return takenOver === 'done' ? this.planMarks() : takenOver;
    });
    if (!isMarked || !(await this.#while(() => this.#planDistrust(suspects)))) return false;
    return this.#while(() => {
      const plan = this.plan();
      for (const chunk of replica.chunksOf('lost', this.#node).slice(0, SYNC_CHUNKS_MAX)) {
        plan.delete(keys.lost(this.#node, chunk));
      }
      if (plan.deletes.length > 0) return plan;
      if (asConfig(replica.config)?.ready === true) return 'done';
      const value = encodeJson({ ...config, ready: true, starter: this.#node });
      return plan.put(keys.config, value);
    });
  }

  /** As `settle`, for a node that is only about to be entitled. False: begin again. */
  async #while(next: () => Step): Promise<boolean> {
    const { context, replica, keys } = this.#options;
    for (;;) {
      if (this.#waits.isOver || !context.lease.isGood) return false;
      if (context.lease.generation !== this.#generation) return false;
      if (replica.revisionOf(keys.node(this.#node)) !== this.#owner) return false;
      const step = next();
      if (step === 'done') return true;
      if (step === 'wait') await this.change();
      else await this.commitMarks(step);
    }
  }

  async #writeInitialState(): Promise<boolean> {
    const { replica, initialSync, keys } = this.#options;
    const sync = await initialSync();
    if (sync === null) return false;
    for (const name of replica.markers) subtract(sync, replica.marksOf(name));
    for (const name of replica.losers) subtract(sync, replica.lostOf(name));
    return this.#while(() => {
      const plan = this.plan();
      for (let chunk = 0; chunk < chunkCount(replica.regionCount); chunk++) {
        const bytes = chunkBytes(sync, chunk);
        const now = chunkBytes(replica.sync, chunk);
        if (bytes.every((byte, index) => byte === now[index])) continue;
        if (plan.puts.length < SYNC_CHUNKS_MAX) plan.put(keys.sync(chunk), bytes.slice());
      }
      return plan.puts.length === 0 ? 'done' : plan;
    });
  }

  // --- marks ------------------------------------------------------------------------------------

  /** What is marked and not stored. Waits while another node copies one of these regions. */
  planMarks(): Step {
    const { marks, replica, keys, context } = this.#options;
    const { copying } = replica;
    if (copying !== null && copying.node !== this.#node && marks.fresh.has(copying.region)) {
      return 'wait';
    }
    const plan = this.plan().requires(keys.copying);
    return marks.plan(plan, context.clock.now()) ? plan : 'done';
  }

  /** As `commit`, for a plan that may write marks of this node: their set is told. */
  async commitMarks(plan: Plan): Promise<void> {
    const { marks } = this.#options;
    marks.began();
    const outcome = await this.commit(plan);
    marks.ended(plan, outcome !== 'unknown');
  }

  #planDistrust(regions: ReadonlySet<number>): Step {
    const { replica } = this.#options;
    return planDistrust(replica, this.plan(), regions);
  }

  #planTakeOver(): Step {
    const { replica, context } = this.#options;
    const dead = nextDead(replica, this.#node);
    if (dead === null) return planRelease(replica, this.plan());
    context.log.warn('shared log: taking over from a dead node', { node: dead });
    return planTakeOver(replica, this.plan(), dead);
  }
}
