/** The verbs that make and change devices. */

import * as v from 'valibot';
import { EINVAL } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { MAPPED_DEVICE_MAJOR } from '../../dm/device-numbers.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { parseTable, type TableLine } from '../../dm/table-line.ts';
import { CommandError, ioctl } from '../command-error.ts';
import type { Control } from '../control.ts';
import {
  type Answer,
  defineVerb,
  deviceEntries,
  flagSchema,
  wholeNumberSchema,
  wordSchema,
} from '../verb.ts';
import { numberOf } from './device-description.ts';
import { checkStack } from './device-stack.ts';
import { replaceByErrors } from './remove-commands.ts';
import {
  changeBeside,
  changeDevice,
  changeForLong,
  findDevice,
  subjectOf,
} from './select-device.ts';

/** Minor numbers have 20 bits. */
const MINOR_MAX = 2 ** 20 - 1;

/** Its size and lines are judged by whoever reads tables. */
const tableSchema = v.string('must be a string');

function done(device: MappedDevice): Answer {
  return { json: { name: device.name, number: numberOf(device) }, text: '' };
}

export const createVerb = defineVerb({
  name: 'create',
  usage: '<name> [-u <uuid>] [--readonly] [--notable | --table <table> | <table file>]',
  summary: 'make a device, with a table',
  readsOnly: false,
  input: v.strictObject(
    {
      device: v.string('must be a string'),
      uuid: v.optional(wordSchema),
      readOnly: flagSchema,
      /** The N of 253:N; the lowest free one where it is not given. */
      minor: v.optional(wholeNumberSchema(MINOR_MAX)),
      /** None: the device gets its first table later. */
      table: v.optional(tableSchema),
    },
    'must be an object',
  ),
  run: async ({ control, input }) => {
    const { device: name, uuid = '', readOnly, minor } = input;
    const lines = input.table === undefined ? null : parseTable(input.table);
    const { devices } = control.host;
    const number = minor === undefined ? null : `${MAPPED_DEVICE_MAJOR}:${minor}`;
    const subject = subjectOf({ device: name, uuid: number === null ? uuid : `(${number})` });
    control.turns.checkOpen();
    const identity = { uuid, readOnly, ...(minor === undefined ? {} : { minor }) };
    const device = await ioctl('create', subject, () => devices.create(name, identity));
    return control.turns.run(device, async () => {
      try {
        if (lines !== null) await startDevice(control, device, lines);
      } catch (error) {
        await device.clear();
        // Whoever has opened it meanwhile keeps it, without a table.
        if (device.openCount === 0) await devices.remove(device);
        throw error;
      }
      control.events.publish('created', name, { number: numberOf(device) });
      return done(device);
    });
  },
});

async function startDevice(
  control: Control,
  device: MappedDevice,
  lines: readonly TableLine[],
): Promise<void> {
  const subject = `${device.name} (${numberOf(device)})`;
  await ioctl('reload', subject, () => loadTable(control, device, lines, device.readOnly));
  await ioctl('resume', subject, () => device.resume());
  control.host.exports.show(device);
}

async function loadTable(
  control: Control,
  device: MappedDevice,
  lines: readonly TableLine[],
  readOnly: boolean,
): Promise<void> {
  await device.load(lines, { readOnly });
  try {
    checkStack(control.host.devices, device);
  } catch (error) {
    await device.clear();
    throw error;
  }
}

export const wipeTableVerb = defineVerb({
  name: 'wipe_table',
  usage: '[--noflush] [--nolockfs] <device>...',
  summary: 'put a table of errors in the place of the live one',
  readsOnly: false,
  input: v.strictObject({ ...deviceEntries, noflush: flagSchema }, 'must be an object'),
  run: async ({ control, input }) => {
    const { noflush, ...choice } = input;
    // dmsetup looks for the size first, and then goes on without it.
    await ioctl('table', subjectOf(choice), () => findDevice(control, choice)).catch((error) => {
      if (!(error instanceof CommandError) || error.code !== 'no-device') throw error;
      const { dmsetupLine } = error;
      throw new CommandError(error, `${dmsetupLine}\n${dmsetupLine.replace('table', 'reload')}`);
    });
    return changeDevice(control, choice, 'reload', async (device) => {
      const length = device.liveTable?.sizeSectors ?? 0;
      if (length === 0) {
        throw new UserError('no-table', `Cannot wipe device "${device.name}": it has no table`, {
          errno: EINVAL,
        });
      }
      await replaceByErrors(device, length, noflush);
      control.events.publish('wiped', device.name);
      return done(device);
    });
  },
});

export const suspendVerb = defineVerb({
  name: 'suspend',
  usage: '[--noflush] [--nolockfs] <device>...',
  summary: 'let requests end, and keep new ones waiting',
  readsOnly: false,
  input: v.strictObject({ ...deviceEntries, noflush: flagSchema }, 'must be an object'),
  run: ({ control, input }) =>
    changeForLong(control, input, 'suspend', async (device) => {
      await device.suspend({ noflush: input.noflush });
      control.events.publish('suspended', device.name, { noflush: input.noflush });
      return done(device);
    }),
});

export const resumeVerb = defineVerb({
  name: 'resume',
  usage: '<device>...',
  summary: 'make an inactive table live, and let requests go on',
  readsOnly: false,
  input: v.strictObject(deviceEntries, 'must be an object'),
  run: ({ control, input }) =>
    // Not in the device's turn: it may be the device itself whose removal begins and waits for one.
    control.removals.during(() =>
      changeDevice(control, input, 'resume', async (device) => {
        const swaps = device.inactiveTable !== null;
        await device.resume();
        if (device.liveTable !== null) control.host.exports.show(device);
        control.events.publish('resumed', device.name, { swapped: swaps });
        return done(device);
      }),
    ),
});

export const loadVerb = defineVerb({
  name: 'load',
  aliases: ['reload'],
  usage: '<device> [--readonly] [--table <table> | <table file>]',
  summary: 'put a table into the inactive slot',
  readsOnly: false,
  input: v.strictObject(
    { ...deviceEntries, table: tableSchema, readOnly: flagSchema },
    'must be an object',
  ),
  run: ({ control, input }) =>
    changeBeside(control, input, 'reload', async (device) => {
      await loadTable(control, device, parseTable(input.table), input.readOnly);
      control.events.publish('loaded', device.name);
      return done(device);
    }),
});

export const clearVerb = defineVerb({
  name: 'clear',
  usage: '<device>',
  summary: 'drop the inactive table',
  readsOnly: false,
  input: v.strictObject(deviceEntries, 'must be an object'),
  run: ({ control, input }) =>
    changeBeside(control, input, 'clear', async (device) => {
      await device.clear();
      control.events.publish('cleared', device.name);
      return done(device);
    }),
});

export const renameVerb = defineVerb({
  name: 'rename',
  usage: '<device> <new name>, or <device> --setuuid <uuid>',
  summary: 'give a device another name, or its uuid',
  readsOnly: false,
  input: v.strictObject(
    { ...deviceEntries, newName: v.optional(wordSchema), newUuid: v.optional(wordSchema) },
    'must be an object',
  ),
  run: ({ control, input }) => {
    const { newName, newUuid, ...choice } = input;
    if ((newName === undefined) === (newUuid === undefined)) {
      const error = new UserError(
        'bad-input',
        'Cannot rename: either a new name or a new uuid must be given',
      );
      throw new CommandError(error, 'No device specified.');
    }
    return changeBeside(control, choice, 'rename', async (device) => {
      const { devices, exports, faults } = control.host;
      const before = device.name;
      if (newName !== undefined) {
        devices.rename(device, newName);
        exports.renamed(device);
        faults.renamed(before, device.name);
      } else {
        devices.setUuid(device, newUuid!);
      }
      control.events.publish('renamed', before, { name: device.name, uuid: device.uuid });
      return done(device);
    });
  },
});
