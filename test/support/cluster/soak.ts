/**
 * A soak of a cluster: two nodes over shared legs, three etcd members, writes from both sides into
 * the same regions, and one mishap after the other. From time to time all is repaired: then
 * everything comes into sync, the legs are equal, and what was acknowledged is read from both
 * nodes.
 *
 * The seed decides what goes wrong, in which order and for how long; what happens meanwhile is up
 * to the machine.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Prng } from '../../../src/base/prng.ts';
import { isLost } from '../plain-nbd-client.ts';
import type { TestScope } from '../test-scope.ts';
import { waitUntil } from '../wait-until.ts';
import { ClusterBed } from './cluster-bed.ts';
import { LogObserver } from './log-observer.ts';
import { etcdMishap, type Mishap, nodeMishap, type Scene } from './soak-mishaps.ts';
import { PARTS, SoakNode } from './soak-node.ts';

export interface SoakOptions {
  readonly seed: string;
  readonly durationMs: number;
  /** Between two repairs. */
  readonly roundMs: number;
  readonly leaseSeconds: number;
  readonly say: (line: string) => void;
}

export interface SoakReport {
  readonly violations: readonly string[];
  readonly mishaps: number;
  readonly rounds: number;
  readonly acknowledged: number;
  /** Regions copied, nodes taken over, revisions, samples of the legs; writes that landed late. */
  readonly copies: number;
  readonly takeOvers: number;
  readonly revisions: number;
  readonly samples: number;
  readonly differing: number;
  readonly late: number;
}

const SIZE = 16 * 1024 * 1024;
const REGION_SECTORS = 128;
const HEALED_MS_MAX = 120_000;

export async function runSoak(scope: TestScope, options: SoakOptions): Promise<SoakReport> {
  const bed = await ClusterBed.start(scope, {
    members: 3,
    sizeBytes: SIZE,
    regionSectors: REGION_SECTORS,
    leaseSeconds: options.leaseSeconds,
    features: '1 handle_errors',
  });
  const soak = new Soak(bed, options, await LogObserver.start(bed));
  return soak.run();
}

class Soak {
  readonly #bed: ClusterBed;
  readonly #options: SoakOptions;
  readonly #observer: LogObserver;
  readonly #nodes: readonly SoakNode[];
  readonly #violations: string[] = [];
  readonly #beganAt = performance.now();
  #mishaps = 0;

  constructor(bed: ClusterBed, options: SoakOptions, observer: LogObserver) {
    this.#bed = bed;
    this.#options = options;
    this.#observer = observer;
    this.#nodes = (['a', 'b'] as const).map((name, index) => {
      return new SoakNode({
        bed,
        name,
        share: index as 0 | 1,
        prng: new Prng(`${options.seed}/${name}`),
        fail: (what) => this.#fail(what),
      });
    });
  }

  async run(): Promise<SoakReport> {
    const { durationMs, seed } = this.#options;
    const scene: Omit<Scene, 'prng'> = {
      nodes: this.#nodes,
      members: this.#bed.members,
      leaseMs: this.#bed.leaseMs,
    };
    const drawNode = (): Mishap => nodeMishap({ ...scene, prng: ofNodes });
    const ofNodes = new Prng(`${seed}/nodes`);
    const ofEtcd = new Prng(`${seed}/etcd`);
    const drawEtcd = (): Mishap => etcdMishap({ ...scene, prng: ofEtcd });
    await Promise.all(this.#nodes.map((node) => node.bringUp()));
    let rounds = 0;
    while (performance.now() - this.#beganAt < durationMs && this.#isFine) {
      for (const node of this.#nodes) node.startWriting();
      const endsAt = Math.min(this.#options.roundMs + this.#elapsedMs, durationMs);
      await Promise.all([
        this.#mishapsUntil(endsAt, drawNode, { prng: ofNodes, gapMsMax: 2500 }),
        this.#mishapsUntil(endsAt, drawEtcd, { prng: ofEtcd, gapMsMax: 8000 }),
      ]);
      await this.#heal();
      rounds += 1;
    }
    await this.#finish();
    return this.#report(rounds);
  }

  get #elapsedMs(): number {
    return performance.now() - this.#beganAt;
  }

  get #isFine(): boolean {
    return this.#violations.length + this.#observer.violations.length === 0;
  }

  async #mishapsUntil(
    endsAtMs: number,
    draw: () => Mishap,
    { prng, gapMsMax }: { readonly prng: Prng; readonly gapMsMax: number },
  ): Promise<void> {
    while (this.#elapsedMs < endsAtMs && this.#isFine) {
      await sleep(prng.between(200, gapMsMax));
      const { name, happen } = draw();
      this.#say(name);
      this.#mishaps += 1;
      await happen();
    }
  }

  /** Everything runs; then all comes into sync, and is as promised. */
  async #heal(): Promise<void> {
    for (const member of this.#bed.members) if (!member.isRunning) member.start();
    await Promise.all(this.#nodes.map((node) => node.bringUp()));
    await Promise.all(this.#nodes.map((node) => node.stopWriting()));
    const { history } = this.#observer;
    const isClean = (): boolean => {
      const { revision } = history;
      return history.uncleanDuring(revision, revision) === 0n && history.nodes.length === 2;
    };
    try {
      await waitUntil('all in sync and unmarked', isClean, HEALED_MS_MAX);
    } catch (error) {
      this.#fail(`${(error as Error).message}: ${history.describe()}`);
      return;
    }
    const differing = this.#bed.differingRegions();
    if (differing.length > 0) this.#fail(`all is clean, and regions ${differing} differ`);
    for (const node of this.#nodes) await this.#verifyOn(node);
    this.#say(`all is well: ${this.#acknowledged} writes acknowledged`);
  }

  /** What both have written is read from one. */
  async #verifyOn(node: SoakNode): Promise<void> {
    try {
      const client = await this.#bed.client(node.name);
      for (const writer of this.#nodes) await writer.verify(client);
      await client.close();
    } catch (error) {
      if (!isLost(error)) throw error;
      this.#fail(`${node.name}: a mirror in good health hangs up`);
    }
  }

  /** All stop in good order; the log's device is that of a single node. */
  async #finish(): Promise<void> {
    for (const node of this.#nodes) for (const part of PARTS.toReversed()) await node.stop(part);
    await this.#observer.stop();
    const status = await this.#bed.compare();
    if (status !== 0) this.#fail(`compare of the legs with the log ends with ${status}`);
  }

  get #acknowledged(): number {
    return this.#nodes.reduce((sum, { writes }) => sum + writes.acknowledged, 0);
  }

  #report(rounds: number): SoakReport {
    return {
      violations: [...this.#violations, ...this.#observer.violations],
      mishaps: this.#mishaps,
      rounds,
      acknowledged: this.#acknowledged,
      ...this.#observer.history.counts,
      ...this.#observer.counts,
    };
  }

  #fail(what: string): void {
    this.#violations.push(`${Math.round(this.#elapsedMs)} ms: ${what}`);
    this.#say(`VIOLATION ${what}`);
    if (this.#violations.length > 1) return;
    // Nobody can look at the processes once the test has ended.
    for (const node of this.#nodes) {
      void node.tell().then((told) => this.#say(`${node.name} was then:\n${told}`));
    }
  }

  #say(line: string): void {
    this.#options.say(`${(this.#elapsedMs / 1000).toFixed(1).padStart(7)} s  ${line}`);
  }
}
