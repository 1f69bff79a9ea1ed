/** Sends a target's bio on to a device below, shifted, and ends it as that ends. */

import type { IoResult } from '../../base/errno.ts';
import { sectorAfter } from '../../base/units.ts';
import { Bio, type BioEnd } from '../../block/bio.ts';
import type { BlockDevice } from '../../block/block-device.ts';

/** Where a target's sectors lie. */
export interface Stretch {
  readonly device: BlockDevice;
  /** First sector on the device. */
  readonly offset: number;
}

/** Ends the target's bio, which is the context of the one below, the same way. */
const endParent: BioEnd = (below, result) => {
  const bio = below.context as Bio;
  bio.detail = below.detail;
  bio.end(result);
};

/** `data` replaces the bio's own where the device shall see something else. */
export function forwardBio(bio: Bio, to: Stretch, data: Uint8Array | null = bio.data): void {
  to.device.submit(belowOf(bio, to, data, endParent));
}

/** The same, but `onEnd` decides how the target's bio ends. */
export function forwardBioThen(
  bio: Bio,
  to: Stretch,
  onEnd: (result: IoResult, detail: string | null) => void,
): void {
  to.device.submit(belowOf(bio, to, bio.data, (below, result) => onEnd(result, below.detail)));
}

function belowOf(bio: Bio, to: Stretch, data: Uint8Array | null, onEnd: BioEnd): Bio {
  const { op, count, fua } = bio;
  const sector = op === 'flush' ? bio.sector : sectorAfter(bio.sector, to.offset);
  return new Bio({ op, sector, count, data, fua, onEnd, context: bio });
}
