/**
 * A transaction in the making: whatever it writes or rests on is compared with what this node
 * knows, so that it happens only if that is still so.
 */

import type { Put, Transaction } from './engine.ts';
import type { LogReplica } from './log-replica.ts';

export class Plan implements Transaction {
  readonly compares = new Map<string, number>();
  readonly puts: Put[] = [];
  readonly deletes: string[] = [];
  readonly #replica: LogReplica;

  constructor(replica: LogReplica) {
    this.#replica = replica;
  }

  /** The key is as this node knows it. */
  requires(key: string): this {
    this.compares.set(key, this.#replica.revisionOf(key));
    return this;
  }

  put(key: string, value: Uint8Array, lease?: string): this {
    this.requires(key);
    this.puts.push(lease === undefined ? { key, value } : { key, value, lease });
    return this;
  }

  /** Does nothing where the key is not there. */
  delete(key: string): this {
    this.requires(key);
    if (this.#replica.revisionOf(key) !== 0) this.deletes.push(key);
    return this;
  }

  get size(): number {
    return Math.max(this.compares.size, this.puts.length + this.deletes.length);
  }
}
