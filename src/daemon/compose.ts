/**
 * Names every target type, log type and device of a real run, and wires them: the only such place.
 */

import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { silentProbe } from '../base/probe.ts';
import type { AioPolicy } from '../block/file/lane.ts';
import { identifyDevice, openDevice } from '../block/open-device.ts';
import { coreLogType } from '../dirtylog/core-log.ts';
import type { DirtyLogType } from '../dirtylog/dirty-log.ts';
import { diskLogType } from '../dirtylog/disk-log.ts';
import type { LogChannel } from '../dirtylog/userspace/log-channel.ts';
import { createUserspaceLogType } from '../dirtylog/userspace/userspace-log.ts';
import { DeviceMap } from '../dm/device-map.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import { TargetTypes } from '../dm/target-types.ts';
import { PLAIN_TARGET_TYPES } from '../dm/targets/all-target-types.ts';
import type { FaultBoard } from '../fault/fault-board.ts';
import { CopyThrottle } from '../mirror/copy-throttle.ts';
import { createMirrorTargetType } from '../mirror/mirror-target.ts';
import { isRemoteName } from '../nbd/client/remote-name.ts';
import { identifyAnyDevice } from './devices/any-device.ts';
import type { RemoteDevices } from './devices/remote-devices.ts';
import { openLogCopy } from './repair/log-copy.ts';

export interface MachineOptions {
  readonly readOnly: boolean;
  /** How much there is of each log, by its name in the table. */
  readonly logBytes: ReadonlyMap<string, number>;
  readonly aio: AioPolicy;
  readonly throttlePercent: number;
  /** The way to the log server, for userspace logs. */
  readonly logChannel: LogChannel;
  readonly clearDelayMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Every device below can be made to misbehave. */
  readonly faults: FaultBoard;
  readonly onEvent: (device: MappedDevice) => void;
  readonly remote: RemoteDevices;
}

/** The machine's device mapper, without a device yet, over files and block devices. */
export function composeDeviceMap(options: MachineOptions): DeviceMap {
  const { clock, log, readOnly, aio, faults, remote, onEvent } = options;
  const now = (): number => clock.now();
  const logTypes = [coreLogType, diskLogType, createUserspaceLogType(options.logChannel)];
  return new DeviceMap({
    readOnly,
    clock,
    log,
    onEvent,
    probe: silentProbe,
    targetTypes: new TargetTypes([
      createMirrorTargetType({
        logTypes: readOnly ? logTypes.map(withoutRecovery) : logTypes,
        throttle: new CopyThrottle(clock, options.throttlePercent),
        clearDelayMs: options.clearDelayMs,
      }),
      ...PLAIN_TARGET_TYPES,
    ]),
    opener: {
      identify: async (name) => (isRemoteName(name) ? remote.identify(name) : identifyDevice(name)),
      open: async (name, use) => {
        if (use?.listedOnly === true) {
          return isRemoteName(name)
            ? remote.open(name, true)
            : openDevice(name, { readOnly: true, lock: false });
        }
        const logBytes = options.logBytes.get(name);
        const open = isRemoteName(name)
          ? () => remote.open(name, readOnly)
          : () => openDevice(name, { readOnly, aio, now, shared: use?.shared ?? false });
        const isLogCopied = readOnly && logBytes !== undefined;
        const device = isLogCopied ? await openLogCopy(name, logBytes) : await open();
        return faults.wrap(await identifyAnyDevice(name), device);
      },
    },
  });
}

/**
 * The same log, which never has anything to copy: on a machine that must not write, copies only
 * fail.
 */
function withoutRecovery(type: DirtyLogType): DirtyLogType {
  return {
    name: type.name,
    create: async (creation) =>
      Object.assign(await type.create(creation), { getResyncWork: () => null }),
  };
}
