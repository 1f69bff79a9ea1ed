/**
 * Watches a shared log from outside while it is in use: every revision that etcd had of it, and the
 * legs and the log's device as they are meanwhile. Legs may differ only in regions that are marked,
 * out of sync, or being copied, and that the log's device does not call clean.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdMember } from '../etcd.ts';
import { type ClusterBed, UUID } from './cluster-bed.ts';
import {
  bitsOf,
  LogHistory,
  regionsOf,
  type StoredChanges,
  type StoredValue,
} from './log-history.ts';

const PREFIX = `nbd-mirror/1/log/${UUID}/`;
const BITS_AT = 1024;
/** A watch that is silent for so long is given up: its member may stand still. */
const SILENCE_MS = 2000;
const SAMPLE_EVERY_MS = 100;
/** The device of a log calls clean again what was dirty this long ago at the earliest. */
const SAMPLE_MS_MAX = 2000;

interface KeyValue {
  readonly key: string;
  readonly value?: string;
  readonly mod_revision: string;
}

interface WatchMessage {
  readonly result?: {
    readonly header?: { readonly revision: string };
    readonly events?: readonly { readonly type?: 'DELETE'; readonly kv: KeyValue }[];
    readonly canceled?: boolean;
  };
}

interface Snapshot {
  readonly revision: number;
  readonly values: ReadonlyMap<string, StoredValue>;
}

export class LogObserver {
  readonly history: LogHistory;
  readonly #bed: ClusterBed;
  readonly #violations: string[] = [];
  /** Samples taken of the legs, and of these, regions that a node wrote too late. */
  readonly counts = { samples: 0, differing: 0, late: 0 };
  readonly #stopping = new AbortController();
  readonly #work: Promise<unknown>[] = [];

  private constructor(bed: ClusterBed) {
    this.#bed = bed;
    this.history = new LogHistory(bed.regionCount);
  }

  static async start(bed: ClusterBed): Promise<LogObserver> {
    const observer = new LogObserver(bed);
    const snapshot = await observer.#read();
    if (snapshot === null) throw new Error('etcd does not answer');
    observer.history.begin(snapshot.values, snapshot.revision);
    observer.#work.push(observer.#follow(), observer.#sampleOften());
    bed.scope.teardown(() => observer.stop());
    return observer;
  }

  get violations(): readonly string[] {
    return [...this.history.violations, ...this.#violations];
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#work);
  }

  get #isOver(): boolean {
    return this.#stopping.signal.aborted;
  }

  // --- etcd --------------------------------------------------------------------------------------

  /** From member to member, always from the revision that comes next. */
  async #follow(): Promise<void> {
    for (let turn = 0; !this.#isOver; turn++) {
      const member = this.#bed.members[turn % this.#bed.members.length]!;
      await this.#watch(member).catch(() => undefined);
      await this.#pause(20);
    }
  }

  async #watch(member: EtcdMember): Promise<void> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const signal = AbortSignal.any([silence.signal, this.#stopping.signal]);
    try {
      const response = await fetch(`${member.url}/v3/watch`, {
        method: 'POST',
        body: JSON.stringify({
          create_request: { ...ALL_KEYS, start_revision: this.history.revision + 1 },
        }),
        signal,
      });
      let text = '';
      for await (const part of response.body!) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        text += Buffer.from(part).toString();
        const lines = text.split('\n');
        text = lines.pop()!;
        for (const line of lines) this.#take(JSON.parse(line) as WatchMessage);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take({ result }: WatchMessage): void {
    const byRevision = new Map<number, Map<string, StoredValue | null>>();
    for (const { type, kv } of result?.events ?? []) {
      const revision = Number(kv.mod_revision);
      const changes = byRevision.get(revision) ?? new Map<string, StoredValue | null>();
      byRevision.set(revision, changes);
      const key = keyOf(kv);
      if (key !== null) changes.set(key, type === 'DELETE' ? null : storedOf(kv));
    }
    for (const [revision, changes] of byRevision) this.#add(changes, revision);
  }

  #add(changes: StoredChanges, revision: number): void {
    if (revision > this.history.revision) this.history.add(changes, revision);
  }

  async #read(): Promise<Snapshot | null> {
    for (const member of this.#bed.members) {
      const found = await member.ask<{
        header: { revision: string };
        kvs?: KeyValue[];
      }>('kv/range', RANGE);
      if (found === null) continue;
      const values = new Map((found.kvs ?? []).map((kv) => [keyOf(kv)!, storedOf(kv)]));
      return { revision: Number(found.header.revision), values };
    }
    return null;
  }

  // --- legs and device ---------------------------------------------------------------------------

  async #sampleOften(): Promise<void> {
    while (!this.#isOver) {
      await this.#sample();
      await this.#pause(SAMPLE_EVERY_MS);
    }
  }

  async #sample(): Promise<void> {
    const beganAt = performance.now();
    const first = await this.#read();
    if (first === null) return;
    const deviceBefore = this.#cleanOnDevice();
    const differing = this.#bed.differingRegions();
    const deviceAfter = this.#cleanOnDevice();
    const last = await this.#read();
    if (last === null || !(await this.#hears(last.revision))) return;
    const took = performance.now() - beganAt;
    this.counts.samples += 1;
    this.counts.differing += differing.length;
    const unclean = this.history.uncleanDuring(first.revision, last.revision);
    // A node that comes back has them copied, and then they are not lost any more.
    const lost = this.#historyOf(first).lost | this.history.lost;
    for (const region of differing) {
      const bit = 1n << BigInt(region);
      if ((lost & bit) !== 0n) {
        this.counts.late += (unclean & bit) === 0n ? 1 : 0;
        continue;
      }
      const at = `revision ${last.revision}: region ${region} differs`;
      if ((unclean & bit) === 0n) this.#fail(`${at} and counts as clean`);
      if (took > SAMPLE_MS_MAX) continue;
      if ((deviceBefore & deviceAfter & bit) !== 0n) this.#fail(`${at}, clean on the device`);
    }
    this.#checkDevice(first, last, deviceBefore & deviceAfter);
  }

  /** What was marked when the device was said to hold it is not clean there. */
  #checkDevice(first: Snapshot, last: Snapshot, clean: bigint): void {
    const before = this.#historyOf(first);
    if (before.nodes.length < 2 || before.written < before.markedAt) return;
    const after = this.#historyOf(last);
    if (before.markedAt !== after.markedAt) return;
    // The marks of a node that has none any more are gone without a revision of their own.
    const wrong = clean & before.marked & after.marked;
    if (wrong === 0n) return;
    this.#fail(`regions ${regionsOf(wrong)} are marked, written, and clean: ${before.describe()}`);
  }

  /** False: the watch does not get there; nothing is judged then. */
  async #hears(revision: number): Promise<boolean> {
    for (let tries = 0; tries < 200 && !this.#isOver; tries++) {
      if (this.history.revision >= revision) return true;
      await this.#pause(10);
    }
    return false;
  }

  #historyOf({ values, revision }: Snapshot): LogHistory {
    const history = new LogHistory(this.#bed.regionCount);
    history.begin(values, revision);
    return history;
  }

  #cleanOnDevice(): bigint {
    const bytes = Math.ceil(this.#bed.regionCount / 8);
    const image = readFileSync(join(this.#bed.directory, 'log'));
    return bitsOf(image.subarray(BITS_AT, BITS_AT + bytes));
  }

  #fail(what: string): void {
    this.#violations.push(`${what}: ${this.history.describe()}`);
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }
}

/** Also of the nodes' leases: so that no revision is missing. */
const ALL_KEYS = { key: base64('\0'), range_end: base64('\0') };
const RANGE = { key: base64(PREFIX), range_end: base64(`${PREFIX.slice(0, -1)}0`) };

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** Behind the prefix; null for what is not of the log. */
function keyOf({ key }: KeyValue): string | null {
  const whole = Buffer.from(key, 'base64').toString();
  return whole.startsWith(PREFIX) ? whole.slice(PREFIX.length) : null;
}

function storedOf({ value, mod_revision }: KeyValue): StoredValue {
  return { value: Buffer.from(value ?? '', 'base64'), revision: Number(mod_revision) };
}
