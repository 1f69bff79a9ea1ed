/**
 * What logs shared by nodes need of a distributed store: transactions that compare before they
 * write, leases that end when their owner falls silent, and changes in order.
 *
 * A revision is a number that rises with every transaction that wrote; that of a key is the one
 * that last wrote it, and 0 where there is none. An engine never repeats a transaction by itself:
 * whether one whose answer did not come has happened is `unknown`, it may happen even later, and
 * only its comparisons protect what was decided meanwhile. Counterpart: etcd's KV, Lease and Watch.
 */

export interface Entry {
  readonly value: Uint8Array;
  readonly revision: number;
}

/** There is no such key, as of this revision: it may have been there before, and come later. */
export interface Absence {
  readonly value: null;
  readonly revision: number;
}

/** Keys after a change. Answers and watches overtake each other: revisions say what came last. */
export type Changes = ReadonlyMap<string, Entry | Absence>;

export interface Put {
  readonly key: string;
  readonly value: Uint8Array;
  /** The key ends with this lease. */
  readonly lease?: string;
}

export interface Transaction {
  /** The revision that each key must have, 0: that it must not be there. */
  readonly compares: ReadonlyMap<string, number>;
  readonly puts: readonly Put[];
  readonly deletes: readonly string[];
}

export type CommitOutcome =
  | { readonly kind: 'done'; readonly revision: number }
  /** A comparison failed. The keys that were compared, as they are. */
  | { readonly kind: 'conflict'; readonly current: Changes }
  /** It may have happened, or may happen still. */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** It has not happened and will not. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface Snapshot {
  readonly revision: number;
  readonly entries: ReadonlyMap<string, Entry>;
}

export interface WatchListener {
  /** What one or more transactions changed, in order, up to and with `revision`. */
  changed(changes: Changes, revision: number): void;
  /** Something may have been missed: read again, and watch from there. */
  lost(): void;
}

export interface Watch {
  close(): void;
}

/** `gone`: the lease has ended; `unknown`: nobody answered. */
export type KeepAliveOutcome = 'alive' | 'gone' | 'unknown';

export interface Engine {
  /** For people: why the store does not do what it is asked; null while it does. */
  readonly problem: string | null;
  /** All keys that begin so, as they are now, nowhere cached. Null where nobody answers. */
  read(prefix: string): Promise<Snapshot | null>;
  commit(transaction: Transaction): Promise<CommitOutcome>;
  /** Changes after a revision. */
  watch(prefix: string, afterRevision: number, listener: WatchListener): Watch;
  /** A new lease, lasting at least so long from when it was asked; null: nobody answers. */
  grant(lastsMs: number): Promise<string | null>;
  keepAlive(lease: string): Promise<KeepAliveOutcome>;
  /** Ends a lease and its keys; whether it was heard is not told. */
  revoke(lease: string): Promise<void>;
  close(): Promise<void>;
}
