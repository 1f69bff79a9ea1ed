/** The `linear` target: a stretch of one device. Counterpart: dm-linear. */

import { EINVAL } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { sectorAfter } from '../../base/units.ts';
import { Bio, type BioEnd } from '../../block/bio.ts';
import { parseUnsigned, SECTOR_MAX } from '../parse-number.ts';
import { statelessLife } from '../stateless-target.ts';
import type { TargetType } from '../target.ts';

/** Ends the target's bio, which is the context of the one below, the same way. */
const endParent: BioEnd = (below, result) => {
  const bio = below.context as Bio;
  bio.detail = below.detail;
  bio.end(result);
};

export const linearTargetType: TargetType = {
  name: 'linear',
  version: [1, 4, 0],
  async create(context, args) {
    const [deviceName, offsetWord] = args;
    if (args.length !== 2 || deviceName === undefined) {
      throw new UserError(
        'bad-linear-table',
        `Cannot create linear target: it has ${args.length} arguments, must have 2: DEVICE OFFSET`,
        { kernelMessage: 'Invalid argument count', errno: EINVAL },
      );
    }
    const offset = parseUnsigned(offsetWord, SECTOR_MAX);
    if (offset === null) {
      throw new UserError(
        'bad-linear-table',
        `Cannot create linear target: offset is "${offsetWord}", must be a number of sectors`,
        { kernelMessage: 'Invalid device sector', errno: EINVAL },
      );
    }
    const device = await context.getDevice(deviceName);
    return {
      ...statelessLife('linear'),
      maxIoSectors: null,
      discardSupported: device.capabilities.discard,
      writeZeroesSupported: device.capabilities.writeZeroes,
      devices: [{ device, start: offset, length: context.length }],
      map(bio) {
        const { op, count, data, fua } = bio;
        const sector = op === 'flush' ? bio.sector : sectorAfter(bio.sector, offset);
        device.submit(new Bio({ op, sector, count, data, fua, onEnd: endParent, context: bio }));
      },
      status: (kind, nameOf) => (kind === 'table' ? `${nameOf(device)} ${offset}` : ''),
      destroy: () => context.putDevice(device),
    };
  },
};
