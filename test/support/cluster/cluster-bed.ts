/**
 * Nodes that share a mirror over a real etcd: on each a log server and a mirror as processes, over
 * the same files, or over legs that are exports of a server.
 */

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  askLogServer,
  type LogServerStatus,
  type LogStatus,
} from '../../../src/daemon/logd/logd-status.ts';
import { type RunningCommand, runCommand, startCommand } from '../command.ts';
import { type EtcdMember, startEtcd } from '../etcd.ts';
import { PlainNbdClient } from '../plain-nbd-client.ts';
import { tempDir } from '../temp-dir.ts';
import type { TestScope } from '../test-scope.ts';
import { waitUntil } from '../wait-until.ts';

export const UUID = 'shared';

export interface ClusterBedOptions {
  readonly members?: number;
  /** More words for every etcd member. */
  readonly etcdArgs?: readonly string[];
  readonly sizeBytes?: number;
  readonly regionSectors?: number;
  readonly leaseSeconds?: number;
  /** As a table names them, given the bed's directory; the files `leg0` and `leg1` by default. */
  readonly legs?: (directory: string) => readonly string[];
  /** Words behind the legs. */
  readonly features?: string;
}

const HEALED_MS_MAX = 120_000;

export class ClusterBed {
  readonly scope: TestScope;
  readonly directory: string;
  readonly members: readonly EtcdMember[];
  readonly sizeBytes: number;
  readonly regionSectors: number;
  readonly leaseMs: number;
  readonly #legs: readonly string[];
  readonly #features: string;

  private constructor(
    scope: TestScope,
    directory: string,
    members: readonly EtcdMember[],
    options: ClusterBedOptions,
  ) {
    this.scope = scope;
    this.directory = directory;
    this.members = members;
    this.sizeBytes = options.sizeBytes ?? 4 * 1024 * 1024;
    this.regionSectors = options.regionSectors ?? 128;
    this.leaseMs = (options.leaseSeconds ?? 4) * 1000;
    this.#legs = options.legs?.(directory) ?? ['leg0', 'leg1'];
    this.#features = options.features ?? '';
  }

  /** etcd runs, and the files are there; no node is started yet. */
  static async start(scope: TestScope, options: ClusterBedOptions = {}): Promise<ClusterBed> {
    const directory = tempDir(scope);
    const etcd = { members: options.members ?? 1, args: options.etcdArgs ?? [] };
    const bed = new ClusterBed(scope, directory, await startEtcd(scope, directory, etcd), options);
    for (const name of ['leg0', 'leg1']) bed.makeFile(name, bed.sizeBytes);
    bed.makeFile('log', 65_536);
    return bed;
  }

  makeFile(name: string, bytes: number): string {
    const path = join(this.directory, name);
    writeFileSync(path, '');
    truncateSync(path, bytes);
    return path;
  }

  get etcd(): string {
    return this.members.map(({ url }) => url).join(',');
  }

  get regionCount(): number {
    return this.sizeBytes / 512 / this.regionSectors;
  }

  get table(): string {
    const log = `userspace 5 ${UUID} clustered-disk log ${this.regionSectors} nosync`;
    const legs = this.#legs.map((leg) => `${leg} 0`).join(' ');
    const features = this.#features === '' ? '' : ` ${this.#features}`;
    return `0 ${this.sizeBytes / 512} mirror ${log} ${this.#legs.length} ${legs}${features}`;
  }

  /** Ends when it is ready. */
  async logd(node: string): Promise<RunningCommand> {
    const logd = this.startLogd(node);
    await logd.says(/^ready:/m);
    return logd;
  }

  startLogd(node: string): RunningCommand {
    const lease = String(this.leaseMs / 1000);
    const args = ['--etcd', this.etcd, '--node', node, '--lease', lease];
    const words = ['logd', '--socket', `${node}.logd`, ...args];
    return startCommand(this.scope, words, { cwd: this.directory });
  }

  serve(node: string, words: readonly string[] = []): RunningCommand {
    const args = ['--log-server', `${node}.logd`, '--socket', `${node}.nbd`, ...words];
    return startCommand(this.scope, ['serve', ...args, '--table', this.table], {
      cwd: this.directory,
    });
  }

  client(node: string): Promise<PlainNbdClient> {
    return PlainNbdClient.connect({ path: join(this.directory, `${node}.nbd`) });
  }

  /** What the node's log server knows of the log; undefined where it is not in use there. */
  async show(node: string): Promise<LogStatus | undefined> {
    const { logs } = (await this.status(node)) ?? { logs: [] };
    return logs.find(({ uuid, state }) => uuid === UUID && state === 'resumed');
  }

  /** Null where no log server answers. */
  async status(node: string): Promise<LogServerStatus | null> {
    return askLogServer(join(this.directory, `${node}.logd`)).catch(() => null);
  }

  async isClean(node: string): Promise<boolean> {
    const log = (await this.show(node))?.log;
    if (log === undefined || log.syncCount < log.regionCount) return false;
    return log.nodes.every(({ markedCount }) => markedCount === 0);
  }

  untilClean(node: string): Promise<void> {
    return waitUntil('all in sync and unmarked', () => this.isClean(node), HEALED_MS_MAX);
  }

  /** Regions in which the files `leg0` and `leg1` differ. */
  differingRegions(): number[] {
    const [one, other] = ['leg0', 'leg1'].map((leg) => readFileSync(join(this.directory, leg)));
    const bytes = this.regionSectors * 512;
    return Array.from({ length: this.regionCount }, (_, region) => region).filter((region) => {
      const [from, to] = [region * bytes, (region + 1) * bytes];
      return !one!.subarray(from, to).equals(other!.subarray(from, to));
    });
  }

  /** What the log calls clean is equal on both legs: the status of `compare`. */
  async compare(): Promise<number | null> {
    const words = ['compare', ...this.#legs, '--log', 'log'];
    return (await runCommand(words, { cwd: this.directory })).status;
  }
}
