/** What a target, and its dirty log, may ask of the mapped device they serve. */

import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Probe } from '../base/probe.ts';
import type { SectorCount } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';

export interface DeviceUse {
  /** It is shown in lists and never read or written here: somebody else may have it locked. */
  readonly listedOnly?: boolean;
  /** Other nodes write it, too: it is locked against all but those who say the same. */
  readonly shared?: boolean;
}

export interface TargetContext {
  /** Length of the target, in sectors. */
  readonly length: SectorCount;
  /** Name of the mapped device, for messages. */
  readonly deviceName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly probe: Probe;
  /**
   * Opens an underlying device by the name in the table; the same name gives the same device,
   * counted.
   *
   * @throws UserError saying why it cannot be opened.
   */
  getDevice(name: string, options?: DeviceUse): Promise<BlockDevice>;
  /** Gives back what `getDevice` gave, once for each time. */
  putDevice(device: BlockDevice): Promise<void>;
  /** Raises a device-mapper event: the event number rises and waiters wake. */
  event(): void;
  /** A suspend is under way that wants held requests put back instead of failed. */
  noflushSuspending(): boolean;
}
