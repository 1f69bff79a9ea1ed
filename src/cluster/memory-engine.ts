/**
 * The engine in one process: for a single node, for tests, and for the simulator, which decides
 * when messages arrive and who is cut off.
 *
 * `MemoryStore` is what all nodes share; each has an engine of its own over it. Between an engine
 * and the store every message takes the time that `Link` says, or is lost; a store never fails.
 */

import { assert } from '../base/assert.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type {
  Absence,
  Changes,
  CommitOutcome,
  Engine,
  Entry,
  KeepAliveOutcome,
  Snapshot,
  Transaction,
  Watch,
  WatchListener,
} from './engine.ts';

/** What happens to one message: it arrives after so many milliseconds, or, null, never. */
export interface Link {
  delayMs(direction: 'to-store' | 'to-node'): number | null;
  /** How long a node waits for an answer. */
  readonly deadlineMs: number;
}

/** Everything arrives, in the next turn of the clock. */
const DIRECT_LINK: Link = { delayMs: () => 0, deadlineMs: 1000 };

interface Watcher {
  readonly prefix: string;
  readonly notify: (changes: Changes, revision: number) => void;
}

interface Lease {
  readonly lastsMs: number;
  timer: Timer;
}

export class MemoryStore {
  readonly clock: Clock;
  readonly #entries = new Map<string, Entry & { readonly lease: string | null }>();
  readonly #leases = new Map<string, Lease>();
  readonly #watchers = new Set<Watcher>();
  #revision = 1;
  #leasesGranted = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** For a check from outside: what is stored. */
  read(prefix: string): Snapshot {
    const entries = new Map<string, Entry>();
    for (const [key, { value, revision }] of this.#entries) {
      if (key.startsWith(prefix)) entries.set(key, { value, revision });
    }
    return { revision: this.#revision, entries };
  }

  commit({ compares, puts, deletes }: Transaction): CommitOutcome {
    const isMet = [...compares].every(([key, revision]) => this.#revisionOf(key) === revision);
    if (!isMet) {
      const current = new Map([...compares.keys()].map((key) => [key, this.#stateOf(key)]));
      return { kind: 'conflict', current };
    }
    if (puts.some(({ lease }) => lease !== undefined && !this.#leases.has(lease))) {
      return { kind: 'refused', reason: 'lease has ended' };
    }
    const revision = this.#revision + 1;
    const changes = new Map<string, Entry | Absence>();
    for (const { key, value, lease } of puts) {
      this.#entries.set(key, { value: value.slice(), revision, lease: lease ?? null });
      changes.set(key, this.#stateOf(key));
    }
    for (const key of deletes) {
      assert(!changes.has(key), `Key "${key}" is put and deleted at once`);
      if (this.#entries.delete(key)) changes.set(key, { value: null, revision });
    }
    if (changes.size > 0) this.#publish(changes, revision);
    return { kind: 'done', revision: this.#revision };
  }

  watch(watcher: Watcher): Watch {
    this.#watchers.add(watcher);
    return { close: () => void this.#watchers.delete(watcher) };
  }

  grant(lastsMs: number): string {
    this.#leasesGranted += 1;
    const id = String(this.#leasesGranted);
    this.#leases.set(id, { lastsMs, timer: this.#endAfter(id, lastsMs) });
    return id;
  }

  keepAlive(id: string): KeepAliveOutcome {
    const lease = this.#leases.get(id);
    if (lease === undefined) return 'gone';
    lease.timer.cancel();
    lease.timer = this.#endAfter(id, lease.lastsMs);
    return 'alive';
  }

  revoke(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.timer.cancel();
    this.#leases.delete(id);
    const revision = this.#revision + 1;
    const changes = new Map<string, Absence>();
    for (const [key, entry] of this.#entries) {
      if (entry.lease === id) changes.set(key, { value: null, revision });
    }
    for (const key of changes.keys()) this.#entries.delete(key);
    if (changes.size > 0) this.#publish(changes, revision);
  }

  #endAfter(id: string, lastsMs: number): Timer {
    return this.clock.after(lastsMs, () => this.revoke(id));
  }

  #revisionOf(key: string): number {
    return this.#entries.get(key)?.revision ?? 0;
  }

  #stateOf(key: string): Entry | Absence {
    const entry = this.#entries.get(key);
    if (entry === undefined) return { value: null, revision: this.#revision };
    return { value: entry.value, revision: entry.revision };
  }

  #publish(changes: Changes, revision: number): void {
    this.#revision = revision;
    for (const { prefix, notify } of this.#watchers) {
      const seen = [...changes].filter(([key]) => key.startsWith(prefix));
      if (seen.length > 0) notify(new Map(seen), revision);
    }
  }
}

export class MemoryEngine implements Engine {
  readonly problem = null;
  readonly #store: MemoryStore;
  readonly #clock: Clock;
  readonly #link: Link;
  /** Of the store: what is on its way to it arrives although the node may stand still. */
  readonly #network: Clock;
  #isOpen = true;

  constructor(store: MemoryStore, clock: Clock, link: Link = DIRECT_LINK) {
    this.#store = store;
    this.#clock = clock;
    this.#network = store.clock;
    this.#link = link;
  }

  read(prefix: string): Promise<Snapshot | null> {
    return this.#ask(() => this.#store.read(prefix), null);
  }

  commit(transaction: Transaction): Promise<CommitOutcome> {
    return this.#ask(() => this.#store.commit(transaction), {
      kind: 'unknown',
      reason: 'no answer in time',
    });
  }

  /** Changes arrive in order; where one is lost, so is the watch. */
  watch(prefix: string, afterRevision: number, listener: WatchListener): Watch {
    let isClosed = false;
    let lastAtMs = 0;
    const deliver = (work: () => void): void => {
      const delayMs = this.#link.delayMs('to-node');
      const atMs = Math.max(lastAtMs, this.#clock.now() + (delayMs ?? this.#link.deadlineMs));
      lastAtMs = atMs;
      this.#clock.after(atMs - this.#clock.now(), () => {
        if (isClosed || !this.#isOpen) return;
        if (delayMs === null) {
          isClosed = true;
          watch.close();
          listener.lost();
        } else {
          work();
        }
      });
    };
    const { revision, entries } = this.#store.read(prefix);
    const watch = this.#store.watch({
      prefix,
      notify: (changes, at) => deliver(() => listener.changed(changes, at)),
    });
    if (revision > afterRevision) {
      // The store keeps no history: what is there now, of which some may be known already.
      const missed = [...entries].filter(([, entry]) => entry.revision > afterRevision);
      deliver(() => listener.changed(new Map(missed), revision));
      deliver(() => listener.lost());
    }
    return {
      close: () => {
        isClosed = true;
        watch.close();
      },
    };
  }

  grant(lastsMs: number): Promise<string | null> {
    return this.#ask(() => this.#store.grant(lastsMs), null);
  }

  keepAlive(lease: string): Promise<KeepAliveOutcome> {
    return this.#ask(() => this.#store.keepAlive(lease), 'unknown');
  }

  async revoke(lease: string): Promise<void> {
    await this.#ask(() => this.#store.revoke(lease), undefined);
  }

  async close(): Promise<void> {
    this.#isOpen = false;
  }

  /** To the store and back; `unanswered` where either way is lost or takes too long. */
  #ask<T>(work: () => T, unanswered: T): Promise<T> {
    return new Promise((resolve) => {
      const deadline = this.#clock.after(this.#link.deadlineMs, () => resolve(unanswered));
      const there = this.#link.delayMs('to-store');
      if (there === null) return;
      this.#network.after(there, () => {
        const answer = work();
        const back = this.#link.delayMs('to-node');
        if (back === null) return;
        this.#clock.after(back, () => {
          deadline.cancel();
          if (this.#isOpen) resolve(answer);
        });
      });
    });
  }
}
