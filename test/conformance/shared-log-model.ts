/**
 * What a log that nodes share must answer to the only node that uses it (specification 11.3, and
 * docs/internals/cluster-log.md): a region is clean when it is in sync and not marked; only what
 * this node was given to copy can come into sync.
 */

import type { SyncWord } from '../../src/dirtylog/log-args.ts';
import type { LogModel, LogModelOptions, Stored } from './log-model.ts';

export class SharedLogModel implements LogModel {
  readonly #remembers: boolean;
  readonly #inSync: boolean[];
  readonly #marked: boolean[];
  readonly stored: Stored[];
  /** Queued for the flush; the clears go first. */
  readonly #queue: { readonly region: number; readonly clean: boolean }[] = [];
  readonly #failed = new Set<number>();
  #handedOut: number | null = null;
  /** Its mark is that of the copy alone. */
  #markedForCopy: number | null = null;
  /** The mirror was told that all is in sync, and is told so until a resume. */
  #isToldAll = false;

  constructor({ inSync, remembers }: LogModelOptions) {
    this.#remembers = remembers;
    this.#inSync = [...inSync];
    this.#marked = inSync.map(() => false);
    this.stored = inSync.map((bit) => (bit ? 'clean' : 'dirty'));
  }

  get clean(): readonly boolean[] {
    return this.#inSync.map((bit, region) => bit && !this.#marked[region]);
  }

  get sync(): readonly boolean[] {
    return this.#inSync.map((bit) => bit || this.#isToldAll);
  }

  get syncCount(): number {
    return this.#inSync.filter(Boolean).length;
  }

  counted(): void {
    if (this.syncCount === this.#inSync.length) this.#isToldAll = true;
  }

  setClean(region: number, clean: boolean): void {
    this.#queue.push({ region, clean });
  }

  flushed(): void {
    const queue = this.#queue.splice(0);
    for (const { region } of queue.filter((one) => one.clean)) {
      this.#marked[region] = false;
      if (this.#inSync[region]) this.stored[region] = 'either';
    }
    for (const { region } of queue.filter((one) => !one.clean)) {
      this.#marked[region] = true;
      this.stored[region] = 'dirty';
    }
  }

  nextWork(): number | null {
    this.#handedOut ??= this.#search();
    const region = this.#handedOut;
    if (region === null) return null;
    if (!this.#marked[region]) this.#markedForCopy = region;
    this.#marked[region] = true;
    return region;
  }

  isCopied(region: number): boolean {
    return this.#handedOut === region;
  }

  #search(): number | null {
    const isWork = (bit: boolean, region: number): boolean => !bit && !this.#failed.has(region);
    const found = this.#inSync.findIndex(isWork);
    return found < 0 ? null : found;
  }

  setSync(region: number, inSync: boolean): void {
    const isOurs = this.#handedOut === region;
    if (inSync && !isOurs) return;
    if (isOurs) this.#handedOut = null;
    if (!inSync && isOurs) this.#failed.add(region);
    if (!inSync && !isOurs) this.#marked[region] = true;
    if (this.#inSync[region] !== inSync) this.stored[region] = 'either';
    this.#inSync[region] = inSync;
    if (this.#markedForCopy !== region) return;
    this.#markedForCopy = null;
    if (!inSync) this.#marked[region] = false;
  }

  /** What was marked is not in sync any more; a log without a device begins anew. */
  resumed(word: SyncWord): LogModel {
    const kept = this.#remembers ? this.clean : this.clean.map(() => word === 'nosync');
    const resumed = new SharedLogModel({
      inSync: kept,
      served: true,
      remembers: this.#remembers,
    });
    resumed.#queue.push(...this.#queue);
    return resumed;
  }
}
