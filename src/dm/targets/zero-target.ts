/** The `zero` target: reads give zeros, writes vanish. Counterpart: dm-zero. */

import { EINVAL, OK } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { statelessLife } from '../stateless-target.ts';
import type { TargetType } from '../target.ts';

export const zeroTargetType: TargetType = {
  name: 'zero',
  version: [1, 1, 0],
  async create(_context, args) {
    if (args.length !== 0) {
      throw new UserError(
        'bad-zero-table',
        `Cannot create zero target: it has ${args.length} arguments, must have none`,
        { kernelMessage: 'No arguments required', errno: EINVAL },
      );
    }
    return {
      ...statelessLife('zero'),
      maxIoSectors: null,
      discardSupported: true,
      flushSupported: false,
      writeZeroesSupported: true,
      devices: [],
      map(bio) {
        if (bio.op === 'read') bio.data?.fill(0);
        bio.end(OK);
      },
      // A write finds as much space as it needs: none.
      allocation: (_sector, count) => ({ count, zero: true, hole: false }),
      status: () => '',
      async destroy() {},
    };
  },
};
