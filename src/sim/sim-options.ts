/**
 * Everything about a random run, drawn from its seed: each run is another kind of machine
 * ("swarm").
 */

import { Prng } from '../base/prng.ts';
import type { DeviceProfileName } from '../fault/device-profile.ts';
import type { MachineSetup, MirrorTable } from './machine/machine-setup.ts';

export interface WorkloadOptions {
  /** Requests sent one after the other by each client. */
  readonly requestsPerClient: number;
  readonly clients: number;
  /** Pause after each request, 0 to this many milliseconds. */
  readonly pauseMsMax: number;
  /** Shares of the operations. */
  readonly weights: Readonly<Record<'write' | 'fua' | 'read' | 'flush' | 'discard', number>>;
  /** How often the operator suspends and resumes. */
  readonly suspends: number;
  /** How many errors are armed, each striking once; with `handle_errors` only. */
  readonly errors: number;
}

export interface SimOptions {
  readonly setup: MachineSetup;
  /** Regions dirty in the log at first; null: no log yet. */
  readonly dirty: readonly number[] | null;
  readonly workload: WorkloadOptions;
  /** The power is cut this many times, each at an event up to `cutAtMax`. */
  readonly cuts: number;
  readonly cutAtMax: number;
}

export function drawSimOptions(seed: string): SimOptions {
  const prng = new Prng(`${seed}/options`);
  const table = drawTable(prng);
  const regionCount = Math.ceil(table.sectors / table.regionSizeSectors);
  const regions = Array.from({ length: regionCount }, (_, region) => region);
  return {
    setup: {
      table,
      legCount: table.legs.length,
      legSectors: table.sectors + prng.between(0, 4),
      legProfile: prng.pick<DeviceProfileName>(['volatile-cache', 'no-cache', 'atomic-4k']),
      logProfile: prng.pick<DeviceProfileName>(['volatile-cache', 'no-cache']),
      discards: table.legs.map(() => prng.pick(['zeroes', 'keeps'] as const)),
    },
    dirty: prng.chance(1, 4) ? null : regions.filter(() => prng.chance(1, 3)),
    workload: drawWorkload(prng, table.features.includes('handle_errors')),
    cuts: prng.between(1, 3),
    cutAtMax: prng.between(20, 500),
  };
}

function drawTable(prng: Prng): MirrorTable {
  const regionSizeSectors = prng.pick([2, 4, 8]);
  const legCount = prng.pick([2, 2, 2, 3]);
  return {
    sectors: regionSizeSectors * prng.between(2, 6) - prng.between(0, 1),
    legs: Array.from({ length: legCount }, (_, leg) => leg),
    log: prng.chance(1, 8) ? 'core' : 'disk',
    regionSizeSectors,
    features: prng.chance(1, 3) ? ['handle_errors'] : [],
    clearDelayMs: prng.pick([0, 0, 0, 2, 10]),
  };
}

function drawWorkload(prng: Prng, handlesErrors: boolean): WorkloadOptions {
  const weight = (): number => prng.pick([0, 1, 2, 4]);
  return {
    requestsPerClient: prng.between(2, 12),
    clients: prng.between(1, 5),
    pauseMsMax: prng.pick([0, 1, 5]),
    weights: {
      write: 4,
      fua: weight(),
      read: weight(),
      flush: weight(),
      discard: prng.chance(1, 4) ? weight() : 0,
    },
    suspends: prng.chance(1, 2) ? prng.between(1, 3) : 0,
    errors: handlesErrors ? prng.between(0, 3) : 0,
  };
}
