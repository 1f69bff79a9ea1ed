/** The verb that shows which devices stand on which. Counterpart: `dmsetup ls --tree`. */

import * as v from 'valibot';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { MappedDeviceHandle } from '../../dm/mapped-device-handle.ts';
import type { Control } from '../control.ts';
import { defineVerb, flagSchema } from '../verb.ts';
import { numberOf } from './device-description.ts';
import { formatTree, type TreeNode } from './format-tree.ts';
import { NO_DEVICES } from './output.ts';
import { allDevices } from './select-device.ts';

/** A device of the tree; one that others stand on is in it once, whatever it is drawn. */
interface Stacked {
  readonly mapped: MappedDevice | null;
  readonly name: string;
  /** `major:minor` */
  readonly number: string;
  readonly below: Stacked[];
  readonly above: Stacked[];
}

const treeEntries = {
  symbols: v.optional(
    v.picklist(['ascii', 'utf', 'vt100'], 'must be ascii, utf or vt100'),
    'ascii',
  ),
  compact: flagSchema,
  inverted: flagSchema,
  noDevice: flagSchema,
  blkdevname: flagSchema,
  active: flagSchema,
  rw: flagSchema,
  open: flagSchema,
  uuid: flagSchema,
};

type TreeInput = v.InferOutput<ReturnType<typeof treeSchema>>;

function treeSchema() {
  return v.strictObject(treeEntries, 'must be an object');
}

export const treeVerb = defineVerb({
  name: 'tree',
  usage: '[compact] [inverted] [ascii|utf|vt100] [blkdevname] [active] [open] [rw] [uuid]',
  summary: 'show which devices stand on which',
  readsOnly: true,
  input: treeSchema(),
  run: async ({ control, input }) => {
    const all = stackedDevices(control);
    const next = (one: Stacked): Stacked[] => (input.inverted ? one.above : one.below);
    const roots = all.filter((one) => (input.inverted ? one.below : one.above).length === 0);
    const isShown = (one: Stacked): boolean =>
      one.mapped !== null || !input.noDevice || input.blkdevname;
    const draw = (one: Stacked): TreeNode => ({
      text: label(one, input),
      children: next(one).filter(isShown).map(draw),
    });
    const json = (one: Stacked): object => ({
      name: one.name,
      number: one.number,
      [input.inverted ? 'above' : 'below']: next(one).map(json),
    });
    return {
      json: { devices: roots.map(json) },
      text: all.length === 0 ? NO_DEVICES : formatTree(roots.filter(isShown).map(draw), input),
    };
  },
});

/** In the order in which they are met, devices by name and each with those below it. */
function stackedDevices(control: Control): Stacked[] {
  const { byNumber } = control.host.devices;
  const met = new Map<string, Stacked>();
  const meet = (number: string, name: string, mapped: MappedDevice | null): Stacked => {
    const known = met.get(number);
    if (known !== undefined) return known;
    const one: Stacked = { mapped, name, number, below: [], above: [] };
    met.set(number, one);
    // The kernel lists last what was opened first.
    for (const device of [...(mapped?.liveTable?.devices ?? [])].reverse()) {
      const under = device instanceof MappedDeviceHandle ? device.mapped : null;
      const child = meet(byNumber(device), under?.name ?? device.name, under);
      one.below.push(child);
      child.above.push(one);
    }
    return one;
  };
  for (const device of allDevices(control)) meet(numberOf(device), device.name, device);
  return [...met.values()];
}

function label({ mapped, name, number }: Stacked, input: TreeInput): string {
  const words = [mapped === null ? '' : name];
  const block = mapped === null ? name : mapped.liveTable === null ? null : `dm-${mapped.minor}`;
  if (input.blkdevname && block !== null) words.push(`<${block}>`);
  if (!input.noDevice) words.push(`(${number})`);
  if (mapped === null) return words.join(' ');
  const states = [
    ...(input.active ? [mapped.suspended ? 'SUSPENDED' : 'ACTIVE'] : []),
    ...(input.rw ? [mapped.readOnly ? 'RO' : 'RW'] : []),
    ...(input.open ? [`${mapped.openCount}`] : []),
    ...(input.uuid ? [mapped.uuid] : []),
  ];
  if (states.length > 0) words.push(`[${states.join(', ')}]`);
  return words.join(' ');
}
