/**
 * One node of a soak: its two processes, started again as often as it takes, and a client that
 * writes to blocks of its own in regions that the other node writes to as well.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Prng } from '../../../src/base/prng.ts';
import { AcknowledgedWrites } from '../acknowledged-writes.ts';
import type { RunningCommand } from '../command.ts';
import { isLost, type PlainNbdClient } from '../plain-nbd-client.ts';
import type { ClusterBed } from './cluster-bed.ts';

export type Part = 'logd' | 'serve';
export const PARTS: readonly Part[] = ['logd', 'serve'];

const BLOCK_BYTES = 4096;
const IN_FLIGHT = 4;
const THINK_MS_MAX = 60;
const RETRY_MS = 300;
const RETURN_MS_MAX = 90_000;

export interface SoakNodeOptions {
  readonly bed: ClusterBed;
  readonly name: string;
  /** Which share of every region is this node's: 0 or 1. */
  readonly share: 0 | 1;
  readonly prng: Prng;
  readonly fail: (what: string) => void;
}

export class SoakNode {
  readonly name: string;
  readonly writes: AcknowledgedWrites;
  readonly #options: SoakNodeOptions;
  readonly #running = new Map<Part, RunningCommand>();
  /** Ends that were asked for. */
  readonly #expected = new WeakSet<RunningCommand>();
  #client: PlainNbdClient | null = null;
  #load: Promise<void> = Promise.resolve();
  #isWriting = false;

  constructor(options: SoakNodeOptions) {
    const { bed, name, share, prng } = options;
    this.#options = options;
    this.name = name;
    const regionBlocks = (bed.regionSectors * 512) / BLOCK_BYTES;
    const owns = (block: number): boolean =>
      Math.floor((block % regionBlocks) / (regionBlocks / 2)) === share;
    this.writes = new AcknowledgedWrites({ sizeBytes: bed.sizeBytes, prng, owns });
  }

  isRunning(part: Part): boolean {
    return this.#running.has(part);
  }

  // --- processes ---------------------------------------------------------------------------------

  /** Starts what is not running, until it does. One whose log server or etcd is away does not. */
  async bringUp(): Promise<void> {
    const giveUpAt = performance.now() + RETURN_MS_MAX;
    for (const part of PARTS) {
      while (!(await this.#start(part))) {
        if (performance.now() < giveUpAt) {
          await sleep(RETRY_MS);
          continue;
        }
        this.#options.fail(`${this.name}: ${part} does not come back`);
        return;
      }
    }
  }

  /** What its processes know and said last, for people. */
  async tell(): Promise<string> {
    const { bed } = this.#options;
    const status = JSON.stringify(await bed.status(this.name));
    const said = [...this.#running].map(([part, { stderr }]) => `${part}: ${stderr.slice(-4000)}`);
    return [status, ...said].join('\n');
  }

  async kill(part: Part): Promise<void> {
    await this.#end(part, 'SIGKILL');
  }

  /** In good order. */
  async stop(part: Part): Promise<void> {
    const ended = await this.#end(part, 'SIGTERM');
    if (ended === null || ended.status === 0) return;
    this.#options.fail(`${this.name}: ${part} ends with ${ended.status}:\n${ended.stderr}`);
  }

  /** Stands still, until told to go on. */
  freeze(part: Part): void {
    this.#running.get(part)?.child.kill('SIGSTOP');
  }

  thaw(part: Part): void {
    this.#running.get(part)?.child.kill('SIGCONT');
  }

  async #start(part: Part): Promise<boolean> {
    if (this.#running.has(part)) return true;
    const { bed } = this.#options;
    const command = part === 'logd' ? bed.startLogd(this.name) : bed.serve(this.name);
    try {
      await command.says(/^ready:/m);
    } catch {
      const { status, signal, stderr } = await command.ended;
      if (status !== 2) this.#options.fail(`${this.name}: ${part} ${status ?? signal}:\n${stderr}`);
      return false;
    }
    this.#running.set(part, command);
    void command.ended.then(({ status, signal, stderr }) => {
      if (this.#expected.has(command)) return;
      const tail = stderr.slice(-2000);
      this.#running.delete(part);
      this.#options.fail(`${this.name}: ${part} ended by itself, ${status ?? signal}:\n${tail}`);
    });
    return true;
  }

  async #end(part: Part, signal: 'SIGKILL' | 'SIGTERM') {
    const command = this.#running.get(part);
    if (command === undefined) return null;
    this.#expected.add(command);
    this.#running.delete(part);
    return this.#within(`the end of ${part}`, command.stop(signal));
  }

  /** Null, and a complaint, where it takes too long. */
  async #within<T>(what: string, work: Promise<T>): Promise<T | null> {
    const giveUp = new AbortController();
    const tooLong = sleep(RETURN_MS_MAX, null, { signal: giveUp.signal }).then(
      () => {
        this.#options.fail(`${this.name}: waited in vain for ${what}`);
        return null;
      },
      () => null,
    );
    const ended = await Promise.race([work, tooLong]);
    giveUp.abort();
    return ended;
  }

  // --- client ------------------------------------------------------------------------------------

  /** Writes from now on, whenever there is a mirror to write to. */
  startWriting(): void {
    this.#isWriting = true;
    this.#load = this.#writeOn().catch((error: Error) => {
      this.#options.fail(`${this.name}: a client fails: ${error.message}`);
    });
  }

  /** Ends when every write is acknowledged or lost; one that waits for its log is waited for. */
  async stopWriting(): Promise<void> {
    this.#isWriting = false;
    await this.#within('its last writes', this.#load);
  }

  async #writeOn(): Promise<void> {
    const { prng } = this.#options;
    while (this.#isWriting) {
      const client = await this.#connect();
      if (client === null) {
        await sleep(RETRY_MS);
        continue;
      }
      // Of what was on its way when the mirror died, either may be there, but always the same.
      if (!(await this.verify(client))) continue;
      const pause = (): Promise<void> => sleep(prng.between(0, THINK_MS_MAX));
      await this.writes.writeUntilLost(client, {
        inFlight: IN_FLIGHT,
        onEnd: pause,
        isOver: () => !this.#isWriting,
      });
      client.vanish();
    }
  }

  async #connect(): Promise<PlainNbdClient | null> {
    if (!this.#running.has('serve')) return null;
    try {
      this.#client = await this.#options.bed.client(this.name);
      return this.#client;
    } catch {
      return null;
    }
  }

  /** What was acknowledged is there. False: the connection was lost over it. */
  async verify(client: PlainNbdClient): Promise<boolean> {
    try {
      for (const broken of await this.writes.broken(client)) {
        this.#options.fail(`${this.name}: ${broken}`);
      }
      return true;
    } catch (error) {
      if (isLost(error)) return false;
      throw error;
    }
  }
}
