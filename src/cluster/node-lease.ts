/**
 * This node's lease on its name: as long as it lasts, others leave alone what is marked here.
 *
 * Whether it lasts is decided by our own clock, from when the last renewal that was confirmed had
 * been *sent*: the store counts from later, so that we stop before it lets others begin. A margin
 * on top is for what was already under way. The store's own word comes too late: a watch of ours
 * may hang together with us (docs/decisions/0006).
 *
 * A name belongs to one log server. Its key says which process that is, so that one that was killed
 * can be followed at once by the next on the same host; any other is waited for until its lease
 * ends.
 */

import type { Clock, Timer } from '../base/clock.ts';
import { UserError } from '../base/failure.ts';
import type { Logger } from '../base/log.ts';
import { serverKey } from './cluster-keys.ts';
import type { Engine, Entry } from './engine.ts';

export interface NodeLeaseOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Logger;
  readonly node: string;
  /** How long the store keeps the lease after the last renewal that it heard of. */
  readonly lastsMs: number;
  /** So long before that nothing is promised any more. */
  readonly marginMs: number;
  /** Tells this process from all others, e.g. host, boot and process id. */
  readonly identity: string;
  /** The process of this identity has surely ended. */
  readonly hasEnded: (identity: string) => boolean;
}

/** Renewals in the life of a lease: two may be lost. */
const RENEWALS = 4;
const RETRY_MS = 250;
/** At a start, beyond the life of a lease that somebody else may have left. */
const START_PATIENCE_MS = 10_000;

export class NodeLease {
  readonly #options: NodeLeaseOptions;
  readonly #waiters = new Set<(isGood: boolean) => void>();
  #id: string | null = null;
  #goodUntilMs = Number.NEGATIVE_INFINITY;
  #generation = 0;
  #timer: Timer | null = null;
  #isStopped = false;
  /** It is over, and that was said. */
  #isEndTold = false;
  /** By somebody else, while this one had no lease. */
  #isNameTaken = false;
  #renewal: Promise<void> = Promise.resolve();

  constructor(options: NodeLeaseOptions) {
    this.#options = options;
  }

  get node(): string {
    return this.#options.node;
  }

  get lastsMs(): number {
    return this.#options.lastsMs;
  }

  /** Null while there is none. */
  get id(): string | null {
    return this.#id;
  }

  /** Another one with every lease; what was put under an earlier one may be gone. */
  get generation(): number {
    return this.#generation;
  }

  get isGood(): boolean {
    return this.#options.clock.now() < this.#goodUntilMs;
  }

  get remainingMs(): number {
    return Math.max(0, this.#goodUntilMs - this.#options.clock.now());
  }

  /**
   * Takes the name. @throws UserError where the store does not answer, or somebody else has the
   * name and keeps it, until the patience, or `stop`, ends it.
   */
  async start(): Promise<void> {
    const { clock, node, lastsMs } = this.#options;
    const giveUpAtMs = clock.now() + lastsMs + START_PATIENCE_MS;
    for (;;) {
      const holder = await this.#acquire();
      if (holder === null) break;
      if (clock.now() >= giveUpAtMs || this.#isStopped) {
        await this.stop({ giveBack: true });
        throw this.#notStarted(node, holder);
      }
      await this.#sleep(RETRY_MS);
    }
    this.#schedule();
  }

  #notStarted(node: string, holder: string): UserError {
    if (holder !== '') {
      return new UserError(
        'node-name',
        `Cannot take node name "${node}": it is that of "${holder}"`,
        {
          hint: 'Each log server needs a name of its own, given with --node.',
        },
      );
    }
    const reason = this.#options.engine.problem ?? 'no answer in time';
    const problem = `the store does not give a lease: ${reason}`;
    return new UserError('store-unreachable', `Cannot take node name "${node}": ${problem}`, {
      hint:
        'Is --etcd the address of a running etcd, does it want https, a certificate or a user, ' +
        'and is there an alarm?',
    });
  }

  /** Ends with true once the lease is good; with false when there will be none any more. */
  whenGood(): Promise<boolean> {
    if (this.#isStopped) return Promise.resolve(false);
    if (this.isGood) return Promise.resolve(true);
    return new Promise((resolve) => this.#waiters.add(resolve));
  }

  /** Given back, others need not wait for the lease to end. */
  async stop({ giveBack }: { readonly giveBack: boolean }): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#goodUntilMs = Number.NEGATIVE_INFINITY;
    this.#tellWaiters(false);
    await this.#renewal;
    if (this.#id !== null && giveBack) await this.#options.engine.revoke(this.#id);
    this.#id = null;
  }

  #schedule(): void {
    if (this.#isStopped) return;
    const delayMs = this.isGood ? this.#options.lastsMs / RENEWALS : RETRY_MS;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#renewal = this.#renew().then(() => this.#schedule());
    });
  }

  async #renew(): Promise<void> {
    const { engine, clock, log, node } = this.#options;
    if (this.#id === null) {
      const holder = await this.#acquire();
      const isOthers = holder !== null && holder !== '';
      if (isOthers && !this.#isNameTaken) log.error(`lease: name is that of "${holder}"`, { node });
      this.#isNameTaken = isOthers;
      return;
    }
    this.#noticeEnd();
    const sentAtMs = clock.now();
    const outcome = await engine.keepAlive(this.#id);
    if (this.#isStopped) return;
    if (outcome === 'alive') {
      this.#confirm(sentAtMs);
      if (this.#isEndTold && this.isGood) {
        this.#isEndTold = false;
        log.warn('lease regained in time: nobody has taken over', { node });
      }
    } else if (outcome === 'gone') {
      log.error('lease lost: no mirror is answered until there is another one', { node });
      this.#id = null;
      this.#goodUntilMs = Number.NEGATIVE_INFINITY;
      this.#isEndTold = false;
      await this.#acquire();
    } else {
      this.#noticeEnd();
    }
  }

  /** The lease may end while a renewal is under way, or between two of them. */
  #noticeEnd(): void {
    if (this.isGood || this.#isEndTold) return;
    this.#isEndTold = true;
    this.#options.log.error('lease not renewed in time: no mirror is answered', {
      node: this.#options.node,
    });
  }

  /** Null: we have it; else who has it, "" where nobody answers. */
  async #acquire(): Promise<string | null> {
    const { engine, clock, log, node, lastsMs, identity, hasEnded } = this.#options;
    const key = serverKey(node);
    const askedAtMs = clock.now();
    const id = await engine.grant(lastsMs);
    if (id === null) return '';
    const found = await engine.read(key);
    if (found === null) return '';
    const holder: Entry | undefined = found.entries.get(key);
    const name = holder === undefined ? '' : new TextDecoder().decode(holder.value);
    if (holder !== undefined && name !== identity && !hasEnded(name)) {
      await engine.revoke(id);
      return name;
    }
    const outcome = await engine.commit({
      compares: new Map([[key, holder?.revision ?? 0]]),
      puts: [{ key, value: new TextEncoder().encode(identity), lease: id }],
      deletes: [],
    });
    if (outcome.kind !== 'done') {
      // One that has happened all the same is ours, and found at the next try.
      await engine.revoke(id);
      return '';
    }
    if (this.#isStopped) {
      await engine.revoke(id);
      return '';
    }
    this.#id = id;
    this.#generation += 1;
    if (this.#generation > 1) log.warn('lease: another one', { node });
    this.#confirm(askedAtMs);
    return null;
  }

  #confirm(sentAtMs: number): void {
    const { lastsMs, marginMs } = this.#options;
    this.#goodUntilMs = sentAtMs + lastsMs - marginMs;
    if (this.isGood) this.#tellWaiters(true);
  }

  #tellWaiters(isGood: boolean): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter(isGood);
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(delayMs, resolve);
    });
  }
}
