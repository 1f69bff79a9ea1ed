/** The verbs that arm, list and remove faults. */

import * as v from 'valibot';
import { EIO, ENXIO, errnoName } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import type { ArmedFault } from '../../fault/armed-fault.ts';
import { formatFaultSpec, parseFaultSpec } from '../../fault/fault-spec.ts';
import { defineVerb, deviceEntries, flagSchema, wordSchema } from '../verb.ts';
import { findFaultPlace } from './fault-place.ts';
import { formatRows } from './format-rows.ts';
import { findDevice } from './select-device.ts';

const FAULT_TEXT_LENGTH_MAX = 1000;

export const faultVerb = defineVerb({
  name: 'fault',
  usage: '<device> leg0|...|log|<name> error|delay|hang|offline [<option>...]',
  summary: 'make a device below a mirror misbehave',
  readsOnly: false,
  input: v.strictObject(
    {
      ...deviceEntries,
      target: wordSchema,
      /** `error --op write --count 3`: the words of the command line. */
      fault: v.pipe(
        v.string('must be a string'),
        v.maxLength(FAULT_TEXT_LENGTH_MAX, 'is too long'),
      ),
    },
    'must be an object',
  ),
  run: async ({ control, input }) => {
    // What hangs from then on would hang for ever.
    control.turns.checkOpen();
    const device = findDevice(control, input);
    const spec = parseFaultSpec(input.fault.split(/\s+/).filter((word) => word !== ''));
    const place = findFaultPlace(control, device, input.target);
    const fault = control.host.faults.arm(place, spec);
    control.events.publish('fault-armed', device.name, fieldsOf(fault));
    return { json: describe(fault), text: `${fault.id}\n` };
  },
});

export const faultListVerb = defineVerb({
  name: 'fault-list',
  usage: '[<device>]',
  summary: 'list the faults that were armed, and how often each fired',
  readsOnly: true,
  input: v.strictObject(deviceEntries, 'must be an object'),
  run: async ({ control, input }) => {
    const isAboutOne = input.device !== undefined || input.uuid !== undefined;
    const device = isAboutOne ? findDevice(control, input).name : undefined;
    const faults = control.host.faults.list(device);
    return { json: { faults: faults.map(describe) }, text: formatFaults(faults) };
  },
});

export const faultRemoveVerb = defineVerb({
  name: 'fault-remove',
  usage: '<id>... | --all [<device>] [--fail]',
  summary: 'remove faults; what hangs or waits goes on, or fails',
  readsOnly: false,
  input: v.strictObject(
    {
      ...deviceEntries,
      ids: v.optional(
        v.pipe(
          v.array(v.number('must be a number'), 'must be a list of numbers'),
          v.maxLength(FAULT_TEXT_LENGTH_MAX, 'is too long'),
        ),
        [],
      ),
      all: flagSchema,
      /** What hangs or waits fails with EIO instead of going on. */
      fail: flagSchema,
    },
    'must be an object',
  ),
  run: async ({ control, input }) => {
    const { ids, all, fail } = input;
    if (all === ids.length > 0) {
      throw new UserError('bad-input', 'Cannot remove a fault: either ids or --all must be given', {
        hint: '"nbd-mirror fault list" shows the ids.',
      });
    }
    const isAboutOne = input.device !== undefined || input.uuid !== undefined;
    const device = isAboutOne ? findDevice(control, input).name : undefined;
    const { faults } = control.host;
    const known = faults.list(device);
    // All of them or none.
    const chosen = all ? known : ids.map((id) => findFault(known, id));
    for (const fault of new Set(chosen)) {
      const fields = fieldsOf(fault);
      faults.remove(fault, fail ? EIO : 'proceed');
      control.events.publish('fault-removed', fault.device, fields);
    }
    return { json: { removed: chosen.map(describe) }, text: '' };
  },
});

function findFault(known: readonly ArmedFault[], id: number): ArmedFault {
  const found = known.find((fault) => fault.id === id);
  if (found !== undefined) return found;
  throw new UserError('no-fault', `Cannot remove fault ${id}: there is none`, {
    errno: ENXIO,
    hint: '"nbd-mirror fault list" shows the ids.',
  });
}

function describe(fault: ArmedFault) {
  const { id, device, target, underlying, spec, armed, matched, fired, held } = fault;
  const { kind, op, count, after, sectors, millionths, seed, errno, delayMs } = spec;
  const fails = kind === 'error' || kind === 'offline';
  return {
    id,
    device,
    target,
    underlying,
    fault: formatFaultSpec(spec),
    kind,
    op,
    count,
    after,
    sectors,
    probability: millionths === null ? null : millionths / 1e6,
    seed: millionths === null ? null : seed,
    errno: fails ? errnoName(errno) : null,
    delayMs: kind === 'delay' ? delayMs : null,
    armed,
    matched,
    fired,
    held,
  };
}

function fieldsOf(fault: ArmedFault): Record<string, string | number> {
  const { id, target, underlying, spec, fired } = fault;
  return { id, target, underlying, fault: formatFaultSpec(spec), fired };
}

function formatFaults(faults: readonly ArmedFault[]): string {
  if (faults.length === 0) return 'No faults\n';
  const state = ({ armed, held, spec }: ArmedFault): string => {
    if (held > 0) return `${held} ${spec.kind === 'hang' ? 'hanging' : 'waiting'}`;
    return armed ? 'armed' : 'spent';
  };
  return formatRows(
    [
      { heading: 'Id', align: 'right' },
      { heading: 'Device', align: 'left' },
      { heading: 'Target', align: 'left' },
      { heading: 'On', align: 'left' },
      { heading: 'Fault', align: 'left' },
      { heading: 'Fired', align: 'right' },
      { heading: 'State', align: 'left' },
    ],
    faults.map((fault) => [
      `${fault.id}`,
      fault.device,
      fault.target,
      fault.underlying,
      formatFaultSpec(fault.spec),
      `${fault.fired}`,
      state(fault),
    ]),
  );
}
