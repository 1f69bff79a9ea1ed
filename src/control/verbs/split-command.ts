/**
 * The verb that makes a leg of a mirror an image of its own. Counterpart: `lvconvert
 * --splitmirrors`.
 */

import * as v from 'valibot';
import { LEGS_MAX } from '../../base/limits.ts';
import { defineVerb, deviceEntries, wholeNumberSchema, wordSchema } from '../verb.ts';
import { changeDevice } from './select-device.ts';

export const splitVerb = defineVerb({
  name: 'split',
  usage: '<device> --leg <N> [--to <path>]',
  summary: 'take a leg out as a consistent image, or copy it',
  readsOnly: false,
  input: v.strictObject(
    {
      ...deviceEntries,
      leg: wholeNumberSchema(LEGS_MAX - 1),
      to: v.optional(wordSchema),
    },
    'must be an object',
  ),
  run: ({ control, input, signal }) =>
    changeDevice(control, input, null, async (device) => {
      const options = { copyTo: input.to ?? null, signal };
      const image = await control.host.splitLeg(device, input.leg, options);
      const { device: path, offsetSectors, lengthSectors, table } = image;
      control.events.publish('split', device.name, {
        ...{ leg: input.leg, image: path, offsetSectors, lengthSectors, table },
      });
      return {
        json: { name: device.name, leg: input.leg, ...image },
        text: `${image.device} ${offsetSectors} ${lengthSectors}\n`,
      };
    }),
});
