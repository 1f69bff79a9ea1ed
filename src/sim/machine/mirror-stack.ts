/** The program under test as it ships: a mapped device with a mirror over the machine's devices. */

import { EINVAL } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { silentLogger } from '../../base/log.ts';
import { LOG_TYPES } from '../../dirtylog/log-types.ts';
import { MappedDevice } from '../../dm/mapped-device.ts';
import { parseTable } from '../../dm/table-line.ts';
import type { TargetType } from '../../dm/target.ts';
import { TargetTypes } from '../../dm/target-types.ts';
import { UnderlyingDevices } from '../../dm/underlying-devices.ts';
import { createMirrorTargetType } from '../../mirror/mirror-target.ts';
import { type MirrorTable, tableLine } from './machine-setup.ts';
import type { SimStack, StackEnvironment, StackFactory } from './sim-stack.ts';

/** A factory for stacks whose mirror target is `mirrorType`, and whose table is put so. */
export function mirrorStackWith(
  mirrorType: TargetType,
  lineOf: (table: MirrorTable) => string = tableLine,
): StackFactory {
  const targetTypes = new TargetTypes([mirrorType]);
  return async (environment) => {
    const mapped = new MappedDevice({
      name: 'mirror',
      clock: environment.clock,
      log: silentLogger,
      probe: environment.probe,
      targetTypes,
      devices: underlyingDevices(environment),
    });
    await mapped.load(parseTable(lineOf(environment.table)));
    await mapped.resume();
    return stackOver(mapped, lineOf);
  };
}

export const mirrorStack: StackFactory = (environment) => {
  const { clearDelayMs = 0 } = environment.table;
  return mirrorStackWith(createMirrorTargetType({ logTypes: LOG_TYPES, clearDelayMs }))(
    environment,
  );
};

function underlyingDevices({ devices }: StackEnvironment): UnderlyingDevices {
  return new UnderlyingDevices({
    identify: async (name) => name,
    open: async (name) => {
      const device = devices.get(name);
      if (device !== undefined) return device;
      throw new UserError(
        'no-such-device',
        `Cannot open "${name}": the machine has no such device`,
        {
          errno: EINVAL,
        },
      );
    },
  });
}

function stackOver(mapped: MappedDevice, lineOf: (table: MirrorTable) => string): SimStack {
  return {
    device: mapped,
    get eventNumber() {
      return mapped.eventNumber;
    },
    suspend: (options) => mapped.suspend(options),
    resume: () => mapped.resume(),
    reload: async (table, options) => {
      await mapped.load(parseTable(lineOf(table)));
      await mapped.suspend(options);
      await mapped.resume();
    },
    status: async () => (await mapped.liveTable?.status('info'))?.join('\n') ?? '',
    stop: () => mapped.close(),
  };
}
