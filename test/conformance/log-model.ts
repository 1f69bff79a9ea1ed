/** What a dirty log of the kernel's kinds must answer, whatever it stores its bits in. */

import type { SyncWord } from '../../src/dirtylog/log-args.ts';

/** What the storage holds of a clean bit: after a clear, nobody knows before the next opening. */
export type Stored = 'clean' | 'dirty' | 'either';

/** What a log is compared with. */
export interface LogModel {
  readonly clean: readonly boolean[];
  /** What it says, be it so or not. */
  readonly sync: readonly boolean[];
  readonly stored: readonly Stored[];
  readonly syncCount: number;
  setClean(region: number, clean: boolean): void;
  setSync(region: number, inSync: boolean): void;
  nextWork(): number | null;
  /** A mirror neither marks nor clears what it copies. */
  isCopied(region: number): boolean;
  flushed(): void;
  /** Somebody asked for the count. */
  counted(): void;
  /** Suspended and resumed, with this word in its table. */
  resumed(syncWord: SyncWord): LogModel;
}

export interface LogModelOptions {
  /** What the log says of each region right after a first resume. */
  readonly inSync: readonly boolean[];
  readonly served: boolean;
  /** What is stored outlives the log. */
  readonly remembers: boolean;
}

/** The contract of the kernel's logs, as plain arrays. */
export class KernelLogModel implements LogModel {
  readonly #served: boolean;
  readonly #remembers: boolean;
  /** Of a served log: queued for the flush; the clears go first. */
  readonly #queue: { readonly region: number; readonly clean: boolean }[] = [];
  #handedOut: number | null = null;
  #allInSync = false;
  readonly clean: boolean[];
  readonly sync: boolean[];
  readonly recovering: boolean[];
  readonly stored: Stored[];
  cursor = 0;
  /** Counted as the kernel does: once more for each time that a region is said to be in sync. */
  syncCount: number;

  constructor({ inSync, served, remembers }: LogModelOptions) {
    this.#served = served;
    this.#remembers = remembers;
    // A log in memory begins with every region clean, also those that are out of sync.
    this.clean = remembers ? [...inSync] : inSync.map(() => true);
    this.sync = [...inSync];
    this.recovering = inSync.map(() => false);
    this.stored = this.clean.map((clean) => (clean ? 'clean' : 'dirty'));
    this.syncCount = inSync.filter((clean) => clean).length;
  }

  setClean(region: number, clean: boolean): void {
    if (this.#served) this.#queue.push({ region, clean });
    else this.clean[region] = clean;
  }

  /** Somebody asked for the count. */
  counted(): void {
    if (this.syncCount >= this.sync.length) this.#allInSync = this.#served;
  }

  /** A log that remembers takes its clean bits for sync bits then; another keeps what it has. */
  resumed(word: SyncWord): LogModel {
    this.cursor = 0;
    this.#allInSync = false;
    this.#handedOut = null;
    if (!this.#remembers) return this;
    const inSync = this.clean.map((bit) => (word === null ? bit : word === 'nosync'));
    const resumed = new KernelLogModel({ inSync, served: this.#served, remembers: true });
    for (const [region, bit] of this.recovering.entries()) resumed.recovering[region] = bit;
    // What no flush has sent yet outlives a suspend.
    resumed.#queue.push(...this.#queue);
    return resumed;
  }

  nextWork(): number | null {
    if (this.#allInSync) return null;
    if (this.#handedOut !== null) return this.#handedOut;
    const region = this.#search();
    if (this.#served) this.#handedOut = region;
    return region;
  }

  /** The kernel's logs take it all the same. */
  isCopied(): boolean {
    return false;
  }

  #search(): number | null {
    while (this.cursor < this.sync.length) {
      const region = this.cursor++;
      if (this.sync[region] || this.recovering[region]) continue;
      this.recovering[region] = true;
      return region;
    }
    return null;
  }

  setSync(region: number, inSync: boolean): void {
    this.recovering[region] = false;
    if (this.#handedOut === region) this.#handedOut = null;
    if (inSync && !(this.#served && this.sync[region])) this.syncCount += 1;
    else if (inSync) return;
    else if (this.sync[region]) this.syncCount -= 1;
    this.sync[region] = inSync;
  }

  flushed(): void {
    const queue = this.#queue.splice(0);
    for (const { region, clean } of [...queue.filter((one) => one.clean), ...queue]) {
      const isMarked = queue.some((one) => one.region === region && !one.clean);
      if (isMarked) this.clean[region] = false;
      else if (clean && this.sync[region]) this.clean[region] = true;
    }
    for (const [region, clean] of this.clean.entries()) {
      if (!clean) this.stored[region] = 'dirty';
      else if (this.stored[region] === 'dirty') this.stored[region] = 'either';
    }
  }
}
