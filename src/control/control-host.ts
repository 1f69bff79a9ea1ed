/**
 * What the verbs need of whoever composed the devices: all that `control` may not know itself, such
 * as NBD and the mirror, is handed in through this.
 */

import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { DeviceMap } from '../dm/device-map.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import type { Target } from '../dm/target.ts';
import type { FaultBoard } from '../fault/fault-board.ts';

/** How clients reach devices. */
export interface DeviceExports {
  /**
   * The device has a live table: clients may come. Shown before: nothing changes for its clients.
   */
  show(device: MappedDevice): void;
  /**
   * No client may come any more, from this call on; those that are there are answered with EIO and
   * lose their connection. Ends when the device has given back all their requests.
   */
  hide(device: MappedDevice): Promise<void>;
  /** The device has another name now; its clients stay. */
  renamed(device: MappedDevice): void;
  /** Connections to the device; each counts in its open count too. */
  clientsOf(device: MappedDevice): number;
}

/** More of a target than its status line says, for live displays. */
export interface TargetDetails {
  readonly regionSectors: number;
  readonly regionCount: number;
  /** How many regions are in each state; together they are all. */
  readonly regions: Readonly<Record<string, number>>;
  readonly legs: readonly {
    readonly name: string;
    /** The letter of the status line. */
    readonly health: string;
    readonly errors: number;
    readonly isDefault: boolean;
  }[];
  /** Writes that wait until somebody repairs the mirror. */
  readonly heldWrites: number;
  /** What was done as the kernel does it, at a loss. */
  readonly losses: Readonly<Record<string, number>>;
}

/** An image that was a leg of a mirror. */
export interface SplitImage {
  /** The device, as the table named it, or the copy that was asked for. */
  readonly device: string;
  readonly offsetSectors: number;
  readonly lengthSectors: number;
  /** The table that goes on. */
  readonly table: string;
}

export interface ControlHost {
  readonly devices: DeviceMap;
  readonly exports: DeviceExports;
  readonly faults: FaultBoard;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the product. */
  readonly version: string;
  /** Another one in each life of the daemon; part of the numbers of events. */
  readonly instance: string;
  /** Null for a target of which no more is known. */
  detailsOf(target: Target): Promise<TargetDetails | null>;
  /**
   * Makes one leg of a mirror an image of its own, as it is at one instant; or a copy of it, where
   * `copyTo` says so, and the leg stays. In the device's turn. A copy ends when `signal` says so.
   *
   * @throws UserError
   */
  splitLeg(
    device: MappedDevice,
    leg: number,
    options: { readonly copyTo: string | null; readonly signal: AbortSignal },
  ): Promise<SplitImage>;
}
