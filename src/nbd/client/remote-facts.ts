/** What a server has promised, as facts of a device. */

import { NBD_PAYLOAD_BYTES_ADVERTISED } from '../../base/limits.ts';
import { bytesToSectors, SECTOR_SIZE, type SectorCount } from '../../base/units.ts';
import type { DeviceCapabilities } from '../../block/block-device.ts';
import { TRANSMISSION_FLAGS } from '../constants.ts';
import type { ClientNegotiated } from './negotiation.ts';
import type { RemoteAbilities } from './remote-job.ts';

export function abilitiesOf({ transmissionFlags, blockSizes }: ClientNegotiated): RemoteAbilities {
  const { maximum, minimum } = blockSizes;
  const unit = Math.max(minimum, SECTOR_SIZE);
  const transferMax = Math.min(maximum, NBD_PAYLOAD_BYTES_ADVERTISED);
  return {
    flush: (transmissionFlags & TRANSMISSION_FLAGS.SEND_FLUSH) !== 0,
    fua: (transmissionFlags & TRANSMISSION_FLAGS.SEND_FUA) !== 0,
    transferMax: Math.max(unit, Math.floor(transferMax / unit) * unit),
  };
}

export function blockSizeOf({ blockSizes }: ClientNegotiated): number {
  return Math.max(SECTOR_SIZE, blockSizes.minimum);
}

/** Whole blocks: a rest is dropped, as the kernel does. */
export function sizeOf(negotiated: ClientNegotiated): SectorCount {
  const block = blockSizeOf(negotiated);
  return bytesToSectors(Math.floor(negotiated.size / block) * block);
}

export function capabilitiesOf(
  negotiated: ClientNegotiated,
  readOnly: boolean,
): DeviceCapabilities {
  const has = (flag: keyof typeof TRANSMISSION_FLAGS): boolean =>
    (negotiated.transmissionFlags & TRANSMISSION_FLAGS[flag]) !== 0;
  const isReadOnly = readOnly || has('READ_ONLY');
  return {
    readOnly: isReadOnly,
    discard: has('SEND_TRIM') && !isReadOnly,
    writeZeroes: has('SEND_WRITE_ZEROES') && !isReadOnly,
    rotational: has('ROTATIONAL'),
    flush: has('SEND_FLUSH'),
  };
}
