/**
 * What the simulator asks of the program under test, whatever it is: the mirror as it ships, the
 * mirror with a planted bug, or a toy.
 */

import type { Clock } from '../../base/clock.ts';
import type { Probe } from '../../base/probe.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import type { MirrorTable } from './machine-setup.ts';

export interface StackEnvironment {
  readonly clock: Clock;
  readonly probe: Probe;
  readonly table: MirrorTable;
  /** By name: `leg0`, `leg1`, …, `log`. */
  readonly devices: ReadonlyMap<string, BlockDevice>;
}

export interface SimStack {
  /** Where clients send their requests. */
  readonly device: BlockDevice;
  /** How many events were raised so far. */
  readonly eventNumber: number;
  suspend(options: { noflush: boolean }): Promise<void>;
  resume(): Promise<void>;
  /** Loads a table and makes it live; what is held back goes to it where `noflush` says so. */
  reload(table: MirrorTable, options: { noflush: boolean }): Promise<void>;
  /** The status line of the live table, e.g. `0 32 mirror 2 leg0 leg1 4/4 1 AA 3 disk log A`. */
  status(): Promise<string>;
  /** An orderly end. */
  stop(): Promise<void>;
}

/**
 * Starts the program over the devices of a machine that was just switched on; resolves when
 * resumed.
 */
export type StackFactory = (environment: StackEnvironment) => Promise<SimStack>;
