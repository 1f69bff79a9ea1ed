/**
 * Which regions are out of sync, and which copies a leg may still lose, as seen from outside: from
 * what the log demanded at the start, the points at which regions come into sync, and the flushes
 * of legs.
 */

import type { IoResult } from '../base/errno.ts';
import { OK } from '../base/errno.ts';
import type { PointName } from '../base/probe.ts';
import type { Bio } from '../block/bio.ts';
import { demandedRegions } from './machine/log-image.ts';
import type { MirrorTable } from './machine/machine-setup.ts';
import type { MachineListener, SimMachine } from './machine/sim-machine.ts';

export class RegionTracker implements MachineListener {
  readonly #outOfSync: Set<number>;
  /** Per leg: regions whose copy on it is not surely durable. */
  readonly #unsettled = new Map<number, Set<number>>();
  /** What each flush in flight will have covered. */
  readonly #flushing = new Map<Bio, readonly number[]>();

  constructor(log: Uint8Array, table: MirrorTable) {
    this.#outOfSync = demandedRegions(log, table);
    for (const leg of table.legs.slice(1)) this.#unsettled.set(leg, new Set(this.#outOfSync));
  }

  isOutOfSync(region: number): boolean {
    return this.#outOfSync.has(region);
  }

  /** The leg holds the region's contents, and a power cut takes nothing of a copy away. */
  isSettled(leg: number, region: number): boolean {
    return this.#unsettled.get(leg)?.has(region) !== true;
  }

  pointReached(_machine: SimMachine, point: PointName, _leg: number, region: number): void {
    if (point === 'R4') this.#outOfSync.delete(region);
  }

  legSubmitted(_machine: SimMachine, leg: number, bio: Bio): void {
    if (bio.op !== 'flush') return;
    const unsettled = [...(this.#unsettled.get(leg) ?? [])];
    this.#flushing.set(
      bio,
      unsettled.filter((region) => !this.#outOfSync.has(region)),
    );
  }

  legEnded(_machine: SimMachine, leg: number, bio: Bio, result: IoResult): void {
    const covered = this.#flushing.get(bio) ?? [];
    this.#flushing.delete(bio);
    if (result !== OK) return;
    for (const region of covered) this.#unsettled.get(leg)?.delete(region);
  }
}
