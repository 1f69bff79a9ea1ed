/**
 * What etcd held of a shared log, revision after revision, and what must have been true of it all
 * the time: an observer that shares no code with the log.
 *
 * - a region is copied by one node, which takes part, and has nobody else's mark;
 * - nobody copies while somebody else does;
 * - a region comes into sync only by being copied;
 * - a node marks only while it takes part, and what is taken from a dead one is out of sync.
 */

export interface StoredValue {
  readonly value: Buffer;
  readonly revision: number;
}

export type StoredChanges = ReadonlyMap<string, StoredValue | null>;

interface Copying {
  readonly region: number;
  readonly node: string;
  readonly owner: number;
}

/** Moments kept for `uncleanDuring`. */
const HISTORY_MAX = 20_000;

export class LogHistory {
  readonly violations: string[] = [];
  /** Regions begun to be copied, and nodes taken over. */
  readonly counts = { revisions: 0, copies: 0, takeOvers: 0 };
  readonly #all: bigint;
  readonly #values = new Map<string, StoredValue>();
  readonly #moments: { readonly revision: number; readonly unclean: bigint }[] = [];
  #revision = 0;

  constructor(regionCount: number) {
    this.#all = (1n << BigInt(regionCount)) - 1n;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Everything at once, as it was at a revision. */
  begin(values: ReadonlyMap<string, StoredValue>, revision: number): void {
    for (const [key, value] of values) this.#values.set(key, value);
    this.#note(revision);
  }

  /** What one transaction changed. */
  add(changes: StoredChanges, revision: number): void {
    const before = this.#summary();
    for (const [key, value] of changes) {
      if (value === null) this.#values.delete(key);
      else this.#values.set(key, value);
    }
    this.counts.revisions += 1;
    this.#check(before, this.#summary(), revision);
    this.#note(revision);
  }

  /** Regions that were not clean at some moment from one revision to another. */
  uncleanDuring(from: number, to: number): bigint {
    let unclean = 0n;
    for (let index = this.#moments.length - 1; index >= 0; index--) {
      const { revision, unclean: then } = this.#moments[index]!;
      if (revision <= to) unclean |= then;
      if (revision <= from) return unclean;
    }
    // Forgotten: nothing can be said.
    return this.#all;
  }

  /** What dead or absent nodes may still write late. */
  get lost(): bigint {
    return this.#union('lost/');
  }

  get marked(): bigint {
    return this.#union('mark/');
  }

  /** The log's device holds everything up to this revision; 0 where nobody says so. */
  get written(): number {
    const written = this.#json<{ revision: number; failed: boolean }>('written');
    return written === null || written.failed ? 0 : written.revision;
  }

  /** When any mark was last changed. */
  get markedAt(): number {
    return Math.max(0, ...[...this.#under('mark/')].map(([, { revision }]) => revision));
  }

  get nodes(): readonly string[] {
    return [...this.#under('node/')].map(([key]) => key.slice('node/'.length));
  }

  describe(): string {
    const shown = ['copying', 'writer', 'written', 'wanted'].map((key) => {
      return `${key} ${this.#values.get(key)?.value.toString() ?? '-'}`;
    });
    const bits = ['mark/', 'lost/', 'sync/'].flatMap((prefix) =>
      [...this.#under(prefix)].map(([key, { value }]) => `${key} ${value.toString('hex')}`),
    );
    return [`nodes ${this.nodes}`, ...shown, ...bits].join('; ');
  }

  #note(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    const unclean = (~this.#union('sync/') & this.#all) | this.#union('mark/');
    if (this.#moments.at(-1)?.unclean === unclean) return;
    this.#moments.push({ revision, unclean });
    if (this.#moments.length > HISTORY_MAX) this.#moments.splice(0, HISTORY_MAX / 2);
  }

  #summary() {
    const marks = new Map<string, bigint>();
    for (const [key, { value }] of this.#under('mark/')) {
      const node = key.split('/')[1]!;
      marks.set(node, bitsOf(value));
    }
    return {
      marks,
      sync: this.#union('sync/'),
      nodes: new Set(this.nodes),
      copying: this.#json<Copying>('copying'),
      isReady: this.#json<{ ready: boolean }>('config')?.ready === true,
    };
  }

  #check(before: Summary, after: Summary, revision: number): void {
    const fail = (what: string): void => {
      this.violations.push(`revision ${revision}: ${what}: ${this.describe()}`);
    };
    const { copying } = after;
    const isNewCopy = copying !== null && !isSame(copying, before.copying);
    if (isNewCopy) {
      this.counts.copies += 1;
      if (before.copying !== null) fail(`copy of ${before.copying.region} replaced by another`);
      const owner = this.#values.get(`node/${copying.node}`)?.revision;
      if (owner !== copying.owner) fail(`${copying.node} copies and takes no part`);
    }
    if (copying !== null) {
      const bit = 1n << BigInt(copying.region);
      for (const [node, marked] of after.marks) {
        if (node === copying.node || (marked & bit) === 0n) continue;
        fail(`region ${copying.region} is copied by ${copying.node} and marked by ${node}`);
      }
    }
    const synced = after.sync & ~before.sync;
    const allowed = before.copying === null ? 0n : 1n << BigInt(before.copying.region);
    if (before.isReady && (synced & ~allowed) !== 0n) {
      fail(`regions ${regionsOf(synced)} come into sync uncopied`);
    }
    for (const node of new Set([...before.marks.keys(), ...after.marks.keys()])) {
      const was = before.marks.get(node) ?? 0n;
      const is = after.marks.get(node) ?? 0n;
      if ((is & ~was) !== 0n && !after.nodes.has(node)) fail(`${node} marks and takes no part`);
      const taken = was & ~is;
      if (taken === 0n || before.nodes.has(node)) continue;
      this.counts.takeOvers += 1;
      if ((after.sync & taken) !== 0n) fail(`marks of ${node} are dropped, and it is dead`);
    }
  }

  *#under(prefix: string): Generator<[string, StoredValue]> {
    for (const entry of this.#values) if (entry[0].startsWith(prefix)) yield entry;
  }

  #union(prefix: string): bigint {
    let union = 0n;
    for (const [, { value }] of this.#under(prefix)) union |= bitsOf(value);
    return union;
  }

  #json<T>(key: string): T | null {
    const stored = this.#values.get(key);
    return stored === undefined ? null : (JSON.parse(stored.value.toString()) as T);
  }
}

type Summary = ReturnType<LogHistorySummary>;
type LogHistorySummary = () => {
  readonly marks: ReadonlyMap<string, bigint>;
  readonly sync: bigint;
  readonly nodes: ReadonlySet<string>;
  readonly copying: Copying | null;
  readonly isReady: boolean;
};

/** Bit n is region n; the whole log is in one chunk. */
export function bitsOf(value: Uint8Array): bigint {
  return BigInt(`0x00${Buffer.from(value).reverse().toString('hex')}`);
}

export function regionsOf(bits: bigint): number[] {
  const regions: number[] = [];
  for (let region = 0, rest = bits; rest !== 0n; region++, rest >>= 1n) {
    if ((rest & 1n) === 1n) regions.push(region);
  }
  return regions;
}

function isSame(one: Copying, other: Copying | null): boolean {
  return one.region === other?.region && one.node === other.node && one.owner === other.owner;
}
