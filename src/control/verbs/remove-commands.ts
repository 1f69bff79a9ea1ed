/** The verbs that remove devices: in good order, by force, or when their last user has gone. */

import * as v from 'valibot';
import { EBUSY } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import type { Control } from '../control.ts';
import { type Answer, defineVerb, deviceEntries, flagSchema } from '../verb.ts';
import { numberOf } from './device-description.ts';
import { allDevices, changeDevice } from './select-device.ts';

const removalEntries = {
  /** Requests fail, and clients are cut off. */
  force: flagSchema,
  /** While somebody uses it, it stays until the last one has gone. */
  deferred: flagSchema,
};

interface Removal {
  readonly force: boolean;
  readonly deferred: boolean;
}

export const removeVerb = defineVerb({
  name: 'remove',
  usage: '[--force] [--deferred] <device>...',
  summary: 'take a device down in good order, and away',
  readsOnly: false,
  input: v.strictObject({ ...deviceEntries, ...removalEntries }, 'must be an object'),
  run: ({ control, input }) =>
    control.removals.during(() =>
      changeDevice(control, input, 'remove', (device) => removeDevice(control, device, input)),
    ),
});

/** In the device's turn. */
async function removeDevice(
  control: Control,
  device: MappedDevice,
  { force, deferred }: Removal,
): Promise<Answer> {
  const answer = { json: { name: device.name, number: numberOf(device) }, text: '' };
  if (force) await failRequests(control, device);
  if (deferred && device.openCount > 0) {
    removeWhenUnused(control, device);
    return answer;
  }
  refuseWhileUsed(control, device);
  // Neither a client nor another device can come between: both are shut out in this moment.
  const removing = control.host.devices.remove(device);
  const hiding = control.host.exports.hide(device);
  await Promise.all([removing, hiding]);
  control.events.publish('removed', device.name);
  return answer;
}

/** Others may come before the last one has gone: it is looked at again each time. */
function removeWhenUnused(control: Control, device: MappedDevice): void {
  const remove = async (): Promise<void> => {
    const isThere = control.host.devices.list().includes(device);
    if (!isThere || device.openCount > 0 || !device.removesWhenUnused) return;
    await removeDevice(control, device, { force: false, deferred: true });
  };
  device.whenUnused(() => {
    const { log } = control.host;
    const removal = control.turns.run(device, remove).catch((error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      log.warn(`Device "${device.name}" is not removed: ${error.message}`);
    });
    control.removals.add(removal);
  });
}

/** As the kernel does it: over and over, until nothing that is left can be removed. */
export const removeAllVerb = defineVerb({
  name: 'remove_all',
  usage: '[--force] [--deferred]',
  summary: 'remove all devices that nobody uses',
  readsOnly: false,
  input: v.strictObject(removalEntries, 'must be an object'),
  run: ({ control, input }) => control.removals.during(() => removeAll(control, input)),
});

async function removeAll(control: Control, input: Removal): Promise<Answer> {
  const removed: string[] = [];
  if (input.deferred) {
    for (const device of allDevices(control)) removeWhenUnused(control, device);
  }
  for (let isOver = false; !isOver; ) {
    isOver = true;
    for (const device of allDevices(control)) {
      // With force each fails its requests once; those below others go when these have gone.
      if (device.openCount > 0 && !(input.force && isOverAll(control, device))) continue;
      const { name } = device;
      const isRemoved = await control.turns.run(device, async () => {
        const isThere = control.host.devices.list().includes(device);
        return isThere && tryToRemove(control, device, input.force);
      });
      if (!isRemoved) continue;
      removed.push(name);
      isOver = false;
    }
  }
  const left = allDevices(control).map(({ name }) => name);
  return { json: { removed, left }, text: '' };
}

/** False where somebody uses it: with force, where a user came while requests were made to fail. */
async function tryToRemove(
  control: Control,
  device: MappedDevice,
  force: boolean,
): Promise<boolean> {
  if (device.openCount > 0 && !force) return false;
  try {
    await removeDevice(control, device, { force, deferred: false });
    return true;
  } catch (error) {
    if (!(error instanceof UserError) || error.code !== 'device-busy') throw error;
    return false;
  }
}

/** No other device stands on it. */
function isOverAll(control: Control, device: MappedDevice): boolean {
  return device.openCount === control.host.exports.clientsOf(device);
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

/** Puts a table of errors, of that length, in the place of the live one. */
export async function replaceByErrors(
  device: MappedDevice,
  length: number,
  noflush: boolean,
): Promise<void> {
  // As dmsetup does it: of a device that was read-only, too.
  await device.load([{ start: 0, length, type: 'error', args: [] }], { readOnly: false });
  await device.suspend({ noflush });
  await device.resume();
}
