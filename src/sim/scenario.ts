/**
 * A named crash story: a machine, what happens to it, how it is started again, and what may be
 * lost.
 */

import {
  encodeLogHeader,
  LOG_BITSET_OFFSET,
  LOG_MAGIC,
  LOG_VERSION,
} from '../dirtylog/log-header.ts';
import type { ExpectedLoss } from './findings.ts';
import type { MachineImages, MachineSetup, MirrorTable } from './machine/machine-setup.ts';
import { regionCountOf } from './machine/machine-setup.ts';
import { INITIAL_WRITE, STALE_BASE, sectorPayload } from './machine/sector-payload.ts';
import { emptyImage } from './machine/sim-machine.ts';
import type { Play } from './play.ts';

export interface Scenario {
  /** Short, for command lines: `single-write`. */
  readonly name: string;
  /** Subject, area, situation, parameters. */
  readonly title: string;
  readonly setup: MachineSetup;
  /** What the log holds at first: nothing at all, or a log with these regions dirty. */
  readonly log: 'blank' | { readonly dirty: readonly number[] };
  /** The first life, from the moment the mirror is up. */
  readonly play: (play: Play) => Promise<void>;
  /**
   * The table of the second life, the third, and so on, the last for all others; the first's if
   * none.
   */
  readonly restarts?: readonly MirrorTable[];
  /** How many more times the power is cut, during the start and the recovery. */
  readonly nested?: number;
  /** One in so many states, drawn by seed, is cut again; all when absent. */
  readonly nestedShare?: number;
  /** The machine is healthy and in sync when the play ends: it is checked as a restarted one is. */
  readonly endsHealthy?: boolean;
  readonly expectedLosses?: readonly ExpectedLoss[];
}

const LOG_DEVICE_SECTORS = 4;

/** Two legs of four regions of eight sectors, and a disk log. */
export const ORDINARY_TABLE: MirrorTable = {
  sectors: 32,
  legs: [0, 1],
  log: 'disk',
  regionSizeSectors: 8,
  features: [],
};

export function machineWith(
  table: Partial<MirrorTable> = {},
  setup: Partial<Omit<MachineSetup, 'table'>> = {},
): MachineSetup {
  const whole = { ...ORDINARY_TABLE, ...table };
  return {
    table: whole,
    legCount: whole.legs.length,
    legSectors: whole.sectors,
    legProfile: 'volatile-cache',
    logProfile: 'volatile-cache',
    discards: whole.legs.map((leg) => (leg === 0 ? 'zeroes' : 'keeps')),
    ...setup,
  };
}

/**
 * What the devices hold before the first life: other legs are stale wherever the log does not
 * vouch.
 */
export function initialImages(scenario: Pick<Scenario, 'setup' | 'log'>): MachineImages {
  const { setup, log } = scenario;
  const { table, legCount, legSectors } = setup;
  const logImage = emptyImage(LOG_DEVICE_SECTORS);
  const clean = new Set<number>();
  if (log !== 'blank') {
    const regionCount = regionCountOf(table);
    const header = { magic: LOG_MAGIC, version: LOG_VERSION, regionCount: BigInt(regionCount) };
    encodeLogHeader(header, logImage);
    for (let region = 0; region < regionCount; region++) {
      if (log.dirty.includes(region)) continue;
      clean.add(region);
      const byte = LOG_BITSET_OFFSET + (region >> 3);
      logImage[byte] = logImage[byte]! | (1 << (region & 7));
    }
  }
  if (table.log === 'core' && table.syncWord === 'nosync') {
    for (let region = 0; region < regionCountOf(table); region++) clean.add(region);
  }
  const legs = Array.from({ length: legCount }, (_, leg) => {
    const image = sectorPayload(INITIAL_WRITE, 0, legSectors);
    for (let sector = 0; leg > 0 && sector < legSectors; sector++) {
      const vouched =
        sector < table.sectors && clean.has(Math.floor(sector / table.regionSizeSectors));
      if (!vouched) image.set(sectorPayload(STALE_BASE + leg, sector, 1), sector * 512);
    }
    return image;
  });
  return { legs, log: logImage };
}

/**
 * The table of life number `life`, 0 being the first, if `recorded` was on record when power went.
 */
export function tableOfLife(scenario: Scenario, life: number, recorded: MirrorTable): MirrorTable {
  const { restarts } = scenario;
  if (life === 0) return scenario.setup.table;
  if (restarts === undefined) return recorded;
  return restarts[Math.min(life, restarts.length) - 1]!;
}
