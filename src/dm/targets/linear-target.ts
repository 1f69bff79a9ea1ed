/** The `linear` target: a stretch of one device. Counterpart: dm-linear. */

import { toSector } from '../../base/units.ts';
import { allocationOf, learnAllocation } from '../../block/allocation.ts';
import { statelessLife } from '../stateless-target.ts';
import type { TargetType } from '../target.ts';
import { forwardBio } from './forward-bio.ts';
import { openStretch, targetError } from './stretch-args.ts';

export const linearTargetType: TargetType = {
  name: 'linear',
  version: [1, 4, 0],
  async create(context, args) {
    const [device, offset] = args;
    if (args.length !== 2 || device === undefined || offset === undefined) {
      throw targetError(
        'linear',
        `it has ${args.length} arguments, must have 2: DEVICE OFFSET`,
        'Invalid argument count',
      );
    }
    const stretch = await openStretch(context, 'linear', { device, offset });
    return {
      ...statelessLife('linear'),
      maxIoSectors: null,
      get discardSupported(): boolean {
        return stretch.device.capabilities.discard;
      },
      flushSupported: true,
      get writeZeroesSupported(): boolean {
        return stretch.device.capabilities.writeZeroes;
      },
      devices: [{ device: stretch.device, start: stretch.offset, length: context.length }],
      map: (bio) => forwardBio(bio, stretch),
      allocation: (sector, count) =>
        allocationOf(stretch.device, toSector(stretch.offset + sector), count),
      learnAllocation: (sector, count, done) =>
        learnAllocation(stretch.device, toSector(stretch.offset + sector), count, done),
      status: (kind, nameOf) =>
        kind === 'table' ? `${nameOf(stretch.device)} ${stretch.offset}` : '',
      measure: (nameOf) => `device_name=${nameOf(stretch.device)},start=${stretch.offset}`,
      destroy: () => context.putDevice(stretch.device),
    };
  },
};
