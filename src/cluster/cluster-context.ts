/** What all shared logs of one node have in common. */

import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Engine } from './engine.ts';
import type { NodeLease } from './node-lease.ts';

export interface ClusterContext {
  readonly engine: Engine;
  readonly lease: NodeLease;
  readonly clock: Clock;
  readonly log: Logger;
  /** Transactions so far, for figures. */
  readonly counters: { transactions: number; conflicts: number; unknown: number };
}

/** A mark that the mirror cleared is kept for so long, so that the next write finds it. */
export const CLEAR_DELAY_MS = 3000;
/** Between tries where the store does not answer, or refuses. */
export const RETRY_MS = 200;

export interface SharedLogConfig {
  readonly version: 1;
  readonly implementation: string;
  readonly targetSectors: number;
  readonly regionSizeSectors: number;
  /** Its state was written in full; else the node `starter` is about to. */
  readonly ready: boolean;
  readonly starter: string;
}

/** Null for what is not ours, or of another version. */
export function asConfig(value: unknown): SharedLogConfig | null {
  const config = (value ?? {}) as Partial<SharedLogConfig>;
  if (config.version !== 1 || typeof config.implementation !== 'string') return null;
  const { targetSectors, regionSizeSectors, ready, starter } = config;
  if (!Number.isSafeInteger(targetSectors) || !Number.isSafeInteger(regionSizeSectors)) return null;
  if (typeof ready !== 'boolean' || typeof starter !== 'string') return null;
  return config as SharedLogConfig;
}
