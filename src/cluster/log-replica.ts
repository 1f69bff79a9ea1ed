/**
 * What this node knows of a shared log: every key under its prefix with its revision, and the sets
 * and records that follow from them. It may be behind the store, never ahead of it, and never goes
 * back: of two values of a key the one with the higher revision counts.
 *
 * What it knows is good enough to answer questions; whoever changes something compares the
 * revisions that the decision rests on.
 */

import { assert } from '../base/assert.ts';
import { Bitset } from '../base/bitset.ts';
import type { Logger } from '../base/log.ts';
import {
  chunkBytes,
  chunkCount,
  decodeJson,
  type LogKeys,
  type ParsedKey,
} from './cluster-keys.ts';
import type { Absence, Changes, Engine, Entry, Transaction, Watch } from './engine.ts';

export interface Copying {
  readonly region: number;
  readonly node: string;
  /** Of its node key: another life of the same node has not begun this copy. */
  readonly owner: number;
}

export interface Writer {
  readonly node: string;
  readonly owner: number;
}

export interface Written {
  /** The device holds what was stored up to here. */
  readonly revision: number;
  readonly failed: boolean;
}

const WATCH_RETRY_MS = 200;

export class LogReplica {
  readonly keys: LogKeys;
  readonly regionCount: number;
  readonly sync: Bitset;
  readonly #engine: Engine;
  readonly #log: Logger;
  readonly #retryAfter: (delayMs: number, task: () => void) => void;
  readonly #known = new Map<string, Entry | Absence>();
  readonly #marks = new Map<string, Bitset>();
  readonly #lost = new Map<string, Bitset>();
  readonly #nodes = new Set<string>();
  readonly #changed = new Set<() => void>();
  #watch: Watch | null = null;
  #isClosed = false;
  #syncCount = 0;
  /** Everything up to here is known. */
  #revision = 0;
  /** A sync bit was cleared, or a node came or went, so often. */
  #epoch = 0;
  #marksRevision = 0;
  copying: Copying | null = null;
  wanted: readonly number[] = [];
  writer: Writer | null = null;
  written: Written = { revision: 0, failed: false };
  config: unknown = null;

  constructor(options: {
    keys: LogKeys;
    regionCount: number;
    engine: Engine;
    log: Logger;
    /** Runs a task later. */
    after: (delayMs: number, task: () => void) => void;
  }) {
    this.keys = options.keys;
    this.regionCount = options.regionCount;
    this.#engine = options.engine;
    this.#log = options.log;
    this.#retryAfter = options.after;
    this.sync = new Bitset(options.regionCount);
  }

  get revision(): number {
    return this.#revision;
  }

  /** When any mark changed last, as far as is known: not before that, but maybe after it. */
  get marksRevision(): number {
    return this.#marksRevision;
  }

  /**
   * With which revision the last of a node's marks was stored. Exact, and seen by every node: what
   * one waits for until the log's device holds it, another one knows to write.
   */
  markedAt(node: string): number {
    const keys = this.chunksOf('mark', node).map((chunk) => this.keys.marks(node, chunk));
    return keys.reduce((latest, key) => Math.max(latest, this.revisionOf(key)), 0);
  }

  get epoch(): number {
    return this.#epoch;
  }

  get syncCount(): number {
    return this.#syncCount;
  }

  /** Nodes that have the log in use, in order. */
  get nodes(): readonly string[] {
    return [...this.#nodes].sort();
  }

  /** Nodes with marks, whether they live or not. */
  get markers(): readonly string[] {
    return [...this.#marks.keys()].sort();
  }

  /** Nodes that were taken over, and have not come back. */
  get losers(): readonly string[] {
    return [...this.#lost.keys()].sort();
  }

  /** The chunks that are stored of a node. */
  chunksOf(kind: 'mark' | 'lost', node: string): number[] {
    const chunks: number[] = [];
    for (let chunk = 0; chunk < chunkCount(this.regionCount); chunk++) {
      const key = kind === 'mark' ? this.keys.marks(node, chunk) : this.keys.lost(node, chunk);
      if (this.revisionOf(key) !== 0) chunks.push(chunk);
    }
    return chunks;
  }

  marksOf(node: string): Bitset | null {
    return this.#marks.get(node) ?? null;
  }

  lostOf(node: string): Bitset | null {
    return this.#lost.get(node) ?? null;
  }

  isMarked(node: string, region: number): boolean {
    return this.#marks.get(node)?.test(region) ?? false;
  }

  /** A node other than this one has the region marked. */
  isMarkedByAnother(node: string, region: number): boolean {
    for (const [marker, bits] of this.#marks) if (marker !== node && bits.test(region)) return true;
    return false;
  }

  /** In sync, and nobody has it marked: what a disk log calls clean. */
  isClean(region: number): boolean {
    if (!this.sync.test(region)) return false;
    for (const bits of this.#marks.values()) if (bits.test(region)) return false;
    return true;
  }

  /** All of these, in a set of its own. */
  cleanBits(): Bitset {
    const clean = new Bitset(this.regionCount);
    clean.copyFrom(this.sync);
    for (const bits of this.#marks.values()) {
      const marked = bits.bytes;
      for (let index = 0; index < marked.length; index++) {
        if (marked[index] !== 0) clean.bytes[index] = clean.bytes[index]! & ~marked[index]!;
      }
    }
    return clean;
  }

  revisionOf(key: string): number {
    const known = this.#known.get(key);
    return known === undefined || known.value === null ? 0 : known.revision;
  }

  /** Reads everything anew, and follows from there. False where the store does not answer. */
  async load(): Promise<boolean> {
    const snapshot = await this.#engine.read(this.keys.prefix);
    if (snapshot === null || this.#isClosed) return false;
    const { revision } = snapshot;
    const changes = new Map<string, Entry | Absence>(snapshot.entries);
    for (const [key, known] of this.#known) {
      if (known.value !== null && !changes.has(key)) changes.set(key, { value: null, revision });
    }
    this.#apply(changes, revision);
    this.#watch?.close();
    this.#watch = this.#engine.watch(this.keys.prefix, revision, {
      changed: (seen, at) => this.adopt(seen, at),
      lost: () => this.#follow(),
    });
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#watch?.close();
    this.#watch = null;
    this.#notify();
    this.#changed.clear();
  }

  onChange(listener: () => void): { close(): void } {
    this.#changed.add(listener);
    return { close: () => void this.#changed.delete(listener) };
  }

  /** What our own transaction did. */
  committed(transaction: Transaction, revision: number): void {
    const changes = new Map<string, Entry | Absence>();
    for (const { key, value } of transaction.puts) changes.set(key, { value, revision });
    for (const key of transaction.deletes) changes.set(key, { value: null, revision });
    this.#apply(changes, null);
  }

  /**
   * What a transaction that was refused found. False: a node has come or gone of which not all is
   * known. Whoever compares `members` relies on knowing all nodes, so that it is not adopted ahead
   * of them: `load` is needed.
   */
  found(current: Changes): boolean {
    const changes = new Map(current);
    const { members } = this.keys;
    const isComplete = (changes.get(members)?.revision ?? 0) <= this.revisionOf(members);
    if (!isComplete) changes.delete(members);
    this.#apply(changes, null);
    return isComplete;
  }

  /** What somebody else has seen change. */
  adopt(changes: Changes, revision: number): void {
    this.#apply(changes, revision);
  }

  #follow(): void {
    if (this.#isClosed) return;
    void this.load().then((isLoaded) => {
      if (isLoaded || this.#isClosed) return;
      this.#retryAfter(WATCH_RETRY_MS, () => this.#follow());
    });
  }

  /** `completeTo`: there was nothing else up to this revision. Null: there may have been. */
  #apply(changes: Changes, completeTo: number | null): void {
    if (this.#isClosed) return;
    const epochBefore = this.#epoch;
    let isNews = false;
    for (const [key, change] of changes) {
      const known = this.#known.get(key);
      // An answer that is late tells of a key what a watch has told better meanwhile.
      if (known !== undefined && known.revision >= change.revision) continue;
      this.#known.set(key, change);
      const wasThere = known !== undefined && known.value !== null;
      if (change.value === null && !wasThere) continue;
      this.#adopt(key, change.value, change.revision);
      if (key.startsWith(`${this.keys.prefix}mark/`)) {
        this.#marksRevision = Math.max(this.#marksRevision, change.revision);
      }
      isNews = true;
    }
    if (completeTo !== null && completeTo > this.#revision) {
      this.#revision = completeTo;
      isNews = true;
    }
    if (isNews || this.#epoch !== epochBefore) this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#changed]) listener();
  }

  #adopt(key: string, value: Uint8Array | null, revision: number): void {
    const parsed = this.keys.parse(key);
    if (parsed === null) {
      this.#complain(key);
      return;
    }
    switch (parsed.kind) {
      case 'config':
        this.config = value === null ? null : decodeJson(value);
        return;
      case 'copying':
        this.copying =
          value === null ? null : (this.#asCopying(decodeJson(value)) ?? this.#complain(key));
        this.#mayHaveWork();
        return;
      case 'writer':
        this.writer = value === null ? null : (asWriter(decodeJson(value)) ?? this.#complain(key));
        return;
      case 'written':
        this.written = asWritten(value === null ? null : decodeJson(value), revision);
        return;
      case 'wanted':
        this.wanted = asRegions(value === null ? [] : decodeJson(value), this.regionCount);
        return;
      case 'node':
        if (value === null) this.#nodes.delete(parsed.node);
        else this.#nodes.add(parsed.node);
        this.#epoch += 1;
        return;
      case 'sync':
        this.#adoptSync(parsed.chunk, value);
        return;
      case 'mark':
        this.#adoptBits(this.#marks, parsed, value);
        this.#mayHaveWork();
        return;
      case 'lost':
        this.#adoptBits(this.#lost, parsed, value);
        return;
      case 'members':
        return;
    }
  }

  #adoptSync(chunk: number, value: Uint8Array | null): void {
    if (chunk >= chunkCount(this.regionCount)) return;
    const bytes = chunkBytes(this.sync, chunk);
    const before = bytes.slice();
    this.#setBytes(bytes, value, 0, this.keys.sync(chunk));
    this.sync.clearTail();
    if (bytes.some((byte, index) => (before[index]! & ~byte) !== 0)) this.#epoch += 1;
    const countBefore = this.#syncCount;
    this.#syncCount = this.sync.weight();
    if (this.#syncCount === this.regionCount && countBefore !== this.regionCount) this.#epoch += 1;
  }

  /** A region that could not be copied may be free for it now. */
  #mayHaveWork(): void {
    if (this.#syncCount < this.regionCount) this.#epoch += 1;
  }

  #adoptBits(
    sets: Map<string, Bitset>,
    { node, chunk }: ParsedKey,
    value: Uint8Array | null,
  ): void {
    if (chunk >= chunkCount(this.regionCount)) return;
    let bits = sets.get(node);
    if (bits === undefined) {
      if (value === null) return;
      bits = new Bitset(this.regionCount);
      sets.set(node, bits);
    }
    this.#setBytes(chunkBytes(bits, chunk), value, 0xff, this.keys.marks(node, chunk));
    bits.clearTail();
    const kind = sets === this.#marks ? 'mark' : 'lost';
    if (this.chunksOf(kind, node).length === 0) sets.delete(node);
  }

  /** A value of the wrong length is not ours: its regions are not in sync, and marked. */
  #setBytes(bytes: Uint8Array, value: Uint8Array | null, distrusted: number, key: string): void {
    assert(bytes.length > 0, 'A chunk behind the end');
    if (value === null) bytes.fill(0);
    else if (value.length === bytes.length) bytes.set(value);
    else {
      bytes.fill(distrusted);
      this.#complain(key);
    }
  }

  #asCopying(value: unknown): Copying | null {
    const { region, node, owner } = (value ?? {}) as Partial<Copying>;
    const isRegion = Number.isSafeInteger(region) && region! >= 0 && region! < this.regionCount;
    if (!isRegion || typeof node !== 'string' || typeof owner !== 'number') return null;
    return { region: region!, node, owner };
  }

  #complain(key: string): null {
    this.#log.warn('shared log: a value in the store is not ours, and is not believed', { key });
    return null;
  }
}

function asWriter(value: unknown): Writer | null {
  const { node, owner } = (value ?? {}) as Partial<Writer>;
  return typeof node === 'string' && typeof owner === 'number' ? { node, owner } : null;
}

/** Nobody can have written what came later than the word of it. */
function asWritten(value: unknown, storedAt: number): Written {
  const { revision, failed } = (value ?? {}) as Partial<Written>;
  const isPossible = typeof revision === 'number' && revision < storedAt;
  return { revision: isPossible ? revision : 0, failed: failed === true };
}

function asRegions(value: unknown, regionCount: number): readonly number[] {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (region) => Number.isSafeInteger(region) && region >= 0 && region < regionCount,
  );
}
