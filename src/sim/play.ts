/** What a scenario's script can do: requests, faults, time, and the operator's commands. */

import { Prng } from '../base/prng.ts';
import type { ErrorAction, ErrorRule } from '../fault/error-filter.ts';
import type { FaultMatch } from '../fault/fault-rule.ts';
import type { MirrorTable } from './machine/machine-setup.ts';
import type { SimMachine } from './machine/sim-machine.ts';
import { parseMirrorStatus } from './mirror-status-line.ts';
import type { ReadOptions, ReadOutcome, SimClient, WriteOptions } from './sim-client.ts';

/** Long enough for everything that was woken to have been done. */
const IDLE_MS = 20;
const POLL_MS = 5;
const POLLS_MAX = 400;

export class Play {
  readonly machine: SimMachine;
  readonly client: SimClient;
  readonly prng: Prng;

  constructor(machine: SimMachine, client: SimClient, seed: string) {
    this.machine = machine;
    this.client = client;
    this.prng = new Prng(seed);
  }

  write(sector: number, count: number, options?: WriteOptions): Promise<number> {
    return this.client.write(sector, count, options);
  }

  read(sector: number, count: number, options?: ReadOptions): Promise<ReadOutcome> {
    return this.client.read(sector, count, options);
  }

  flush(options?: WriteOptions): Promise<number> {
    return this.client.flush(options);
  }

  discard(sector: number, count: number, options?: WriteOptions): Promise<number> {
    return this.client.discard(sector, count, options);
  }

  /** Arms an error on a leg, or on the log with -1. */
  fail(leg: number, match: FaultMatch, action: ErrorAction): ErrorRule {
    return this.#device(leg).errors.arm(match, action);
  }

  /** Every armed error is taken back. */
  heal(): void {
    for (const device of this.machine.devices) {
      for (const rule of device.errors.rules) rule.disarm();
    }
  }

  /** Makes matching requests of a leg, or of the log with -1, slow. */
  slow(leg: number, match: FaultMatch, delayMs: number): void {
    this.#device(leg).delays.arm(match, { delayMs });
  }

  /** The leg hangs: it answers nothing that is sent from now on, until `proceed`. */
  hang(leg: number): void {
    void this.#device(leg).pauses.pause();
  }

  proceed(leg: number): void {
    this.#device(leg).pauses.continue();
  }

  suspend(options: { noflush: boolean }): Promise<void> {
    this.machine.event(`suspend${options.noflush ? ' noflush' : ''}`);
    return this.machine.stack.suspend(options);
  }

  resume(): Promise<void> {
    this.machine.event('resume');
    return this.machine.stack.resume();
  }

  reload(table: MirrorTable, options: { noflush: boolean }): Promise<void> {
    return this.machine.reload(table, options);
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.machine.clock.after(delayMs, resolve));
  }

  /** The letters of the legs, worst error first, as the status line shows them now. */
  async expectHealth(health: string): Promise<void> {
    const line = await this.machine.stack.status();
    const found = parseMirrorStatus(line).health;
    if (found === health) return;
    const message = `status says health ${found}, must be ${health}: "${line}"`;
    this.machine.find({ checker: 'status-agrees', message });
  }

  /** Ends when the worker has had time to settle everything. */
  idle(): Promise<void> {
    return this.sleep(IDLE_MS);
  }

  /** Ends when the status line says that every region is in sync; a finding when it never does. */
  async inSync(): Promise<void> {
    for (let polls = 0; polls < POLLS_MAX; polls++) {
      const status = parseMirrorStatus(await this.machine.stack.status());
      if (status.inSyncRegions >= status.regions) return;
      await this.sleep(POLL_MS);
    }
    const status = await this.machine.stack.status();
    const message = `the mirror is not in sync after ${POLLS_MAX * POLL_MS} ms: ${status}`;
    this.machine.find({ checker: 'resync-ends', message });
  }

  /** Reads every sector of the table, a region at a time. */
  async readAll(options?: ReadOptions): Promise<ReadOutcome[]> {
    const { sectors, regionSizeSectors } = this.machine.table;
    const outcomes: ReadOutcome[] = [];
    for (let sector = 0; sector < sectors; sector += regionSizeSectors) {
      const count = Math.min(regionSizeSectors, sectors - sector);
      outcomes.push(await this.client.read(sector, count, options));
    }
    return outcomes;
  }

  #device(leg: number) {
    return leg < 0 ? this.machine.log : this.machine.legs[leg]!;
  }
}
