/** The verbs that make, change and remove devices. */

import * as v from 'valibot';
import { EBUSY, EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { MAPPED_DEVICE_MAJOR } from '../dm/device-numbers.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import { parseTable, type TableLine } from '../dm/table-line.ts';
import { CommandError, ioctl } from './command-error.ts';
import type { Control } from './control.ts';
import { numberOf } from './device-description.ts';
import { checkNoLoop } from './device-loop.ts';
import { allDevices, changeDevice, findDevice, subjectOf } from './select-device.ts';
import { type Answer, defineVerb, deviceEntries, flagSchema, wordSchema } from './verb.ts';

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
      minor: v.optional(
        v.pipe(
          v.number('must be a number'),
          v.integer('must be a whole number'),
          v.minValue(0, 'must be 0 or more'),
          v.maxValue(MINOR_MAX, `must be at most ${MINOR_MAX}`),
        ),
      ),
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
    checkNoLoop(control.host.devices, device);
  } catch (error) {
    await device.clear();
    throw error;
  }
}

export const removeVerb = defineVerb({
  name: 'remove',
  usage: '[--force] <device>...',
  summary: 'take a device down in good order, and away',
  readsOnly: false,
  input: v.strictObject({ ...deviceEntries, force: flagSchema }, 'must be an object'),
  run: ({ control, input }) =>
    changeDevice(control, input, 'remove', (device) => removeDevice(control, device, input.force)),
});

async function removeDevice(
  control: Control,
  device: MappedDevice,
  force: boolean,
): Promise<Answer> {
  const answer = done(device);
  if (force) await failRequests(control, device);
  refuseWhileUsed(control, device);
  // Neither a client nor another device can come between: both are shut out in this moment.
  const removing = control.host.devices.remove(device);
  const hiding = control.host.exports.hide(device);
  await Promise.all([removing, hiding]);
  control.events.publish('removed', device.name);
  return answer;
}

/** As the kernel does it: over and over, until nothing that is left can be removed. */
export const removeAllVerb = defineVerb({
  name: 'remove_all',
  usage: '[--force]',
  summary: 'remove all devices that nobody uses',
  readsOnly: false,
  input: v.strictObject({ force: flagSchema }, 'must be an object'),
  run: async ({ control, input }) => {
    const removed: string[] = [];
    for (let isOver = false; !isOver; ) {
      isOver = true;
      for (const device of allDevices(control)) {
        // With force each fails its requests once; those below others go when these have gone.
        if (device.openCount > 0 && !(input.force && isOverAll(control, device))) continue;
        const { name } = device;
        const answer = await control.turns.run(device, async () => {
          const isThere = control.host.devices.find(name) === device;
          const isFree = device.openCount === 0 || input.force;
          return isThere && isFree ? removeDevice(control, device, input.force) : null;
        });
        if (answer === null) continue;
        removed.push(name);
        isOver = false;
      }
    }
    const left = allDevices(control).map(({ name }) => name);
    return { json: { removed, left }, text: '' };
  },
});

/** No other device stands on it. */
function isOverAll(control: Control, device: MappedDevice): boolean {
  return device.openCount === control.host.exports.clientsOf(device);
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

async function replaceByErrors(
  device: MappedDevice,
  length: number,
  noflush: boolean,
): Promise<void> {
  const options = { readOnly: device.readOnly };
  await device.load([{ start: 0, length, type: 'error', args: [] }], options);
  await device.suspend({ noflush });
  await device.resume();
}

function refuseWhileUsed(control: Control, device: MappedDevice): void {
  if (device.openCount === 0) return;
  const clients = control.host.exports.clientsOf(device);
  const above = device.openCount - clients;
  const users = [
    ...(clients > 0 ? [`${clients} client${clients === 1 ? '' : 's'}`] : []),
    ...(above > 0 ? [`${above} other device${above === 1 ? '' : 's'}`] : []),
  ].join(' and ');
  throw new UserError(
    'device-busy',
    `Cannot remove device "${device.name}": it is in use by ${users}, must be in use by nobody`,
    {
      errno: EBUSY,
      hint:
        above > 0
          ? 'Remove the devices above it first.'
          : 'Disconnect the clients; or with --force their requests fail and they are cut off.',
    },
  );
}

/** Clients lose their connection; a table of errors answers what is held back or still comes. */
async function failRequests(control: Control, device: MappedDevice): Promise<void> {
  const { exports } = control.host;
  const isBelowOthers = device.openCount > exports.clientsOf(device);
  const hiding = isBelowOthers ? null : exports.hide(device);
  const length = device.liveTable?.sizeSectors ?? 0;
  if (length > 0) {
    await replaceByErrors(device, length, true);
  }
  await hiding;
  // Somebody was quicker, and stays.
  if (device.openCount > 0) exports.show(device);
}

export const suspendVerb = defineVerb({
  name: 'suspend',
  usage: '[--noflush] [--nolockfs] <device>...',
  summary: 'let requests end, and keep new ones waiting',
  readsOnly: false,
  input: v.strictObject({ ...deviceEntries, noflush: flagSchema }, 'must be an object'),
  run: ({ control, input }) =>
    changeDevice(control, input, 'suspend', async (device) => {
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
    changeDevice(control, input, 'resume', async (device) => {
      const swaps = device.inactiveTable !== null;
      await device.resume();
      if (device.liveTable !== null) control.host.exports.show(device);
      control.events.publish('resumed', device.name, { swapped: swaps });
      return done(device);
    }),
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
    changeDevice(control, input, 'reload', async (device) => {
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
    changeDevice(control, input, 'clear', async (device) => {
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
    return changeDevice(control, choice, 'rename', async (device) => {
      const { devices, exports } = control.host;
      const before = device.name;
      if (newName !== undefined) {
        devices.rename(device, newName);
        exports.renamed(device);
      } else {
        devices.setUuid(device, newUuid!);
      }
      control.events.publish('renamed', before, { name: device.name, uuid: device.uuid });
      return done(device);
    });
  },
});
