/**
 * The `error` target: every request fails. Counterpart: dm-target's io_err. Arguments are ignored.
 */

import { EIO } from '../../base/errno.ts';
import { statelessLife } from '../stateless-target.ts';
import type { TargetType } from '../target.ts';

export const errorTargetType: TargetType = {
  name: 'error',
  version: [1, 5, 0],
  async create() {
    return {
      ...statelessLife('error'),
      maxIoSectors: null,
      // It has no devices that could discard, so a device above it offers no discards.
      discardSupported: false,
      flushSupported: false,
      writeZeroesSupported: true,
      devices: [],
      map: (bio) => bio.fail(EIO, 'Target error fails every request'),
      status: () => '',
      async destroy() {},
    };
  },
};
