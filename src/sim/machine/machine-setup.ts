/**
 * What a simulated machine is made of: devices, and the mirror's table as the operator wrote it.
 */

import type { DeviceProfileName } from '../../fault/device-profile.ts';

export type MirrorFeature = 'handle_errors' | 'keep_log';

/** The one mirror of the machine, as a table line says it. */
export interface MirrorTable {
  readonly sectors: number;
  /** Which of the machine's legs, in table order. */
  readonly legs: readonly number[];
  readonly log: 'core' | 'disk';
  readonly regionSizeSectors: number;
  readonly syncWord?: 'sync' | 'nosync';
  readonly features: readonly MirrorFeature[];
  /** No word of the table: the server puts off clears by so much; 0 if absent. */
  readonly clearDelayMs?: number;
}

export interface MachineSetup {
  readonly table: MirrorTable;
  /** How many leg devices there are; the table may use fewer. */
  readonly legCount: number;
  /** Every leg device has this size, at least that of the table. */
  readonly legSectors: number;
  readonly legProfile: DeviceProfileName;
  readonly logProfile: DeviceProfileName;
  /** What discarded sectors hold, per leg; legs may differ. */
  readonly discards: readonly ('zeroes' | 'keeps')[];
}

/** The durable contents of every device of a machine that is off. */
export interface MachineImages {
  readonly legs: readonly Uint8Array[];
  readonly log: Uint8Array;
}

export const LOG_DEVICE = 'log';

export function legDevice(leg: number): string {
  return `leg${leg}`;
}

export function regionCountOf(table: MirrorTable): number {
  return Math.ceil(table.sectors / table.regionSizeSectors);
}

export function tableLine(table: MirrorTable): string {
  const sync = table.syncWord === undefined ? [] : [table.syncWord];
  const logArgs =
    table.log === 'core'
      ? [table.regionSizeSectors, ...sync]
      : [LOG_DEVICE, table.regionSizeSectors, ...sync];
  const legs = table.legs.flatMap((leg) => [legDevice(leg), 0]);
  const features = table.features.length === 0 ? [] : [table.features.length, ...table.features];
  const words = ['mirror', table.log, logArgs.length, ...logArgs, table.legs.length, ...legs];
  return [0, table.sectors, ...words, ...features].join(' ');
}
