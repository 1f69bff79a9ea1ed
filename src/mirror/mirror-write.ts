/** A write, flush or discard on its way through the mirror. */

import type { Region } from '../base/units.ts';
import type { Bio } from '../block/bio.ts';
import type { RegionWrite } from './region-hash.ts';

/** Flushes and discards belong to no region (specification 2.8, 2.9). */
export const NO_REGION = -1 as Region;

export class MirrorWrite implements RegionWrite {
  readonly bio: Bio;
  readonly region: Region;
  /** Its region's pending count includes it. */
  counted = false;

  constructor(bio: Bio, region: Region) {
    this.bio = bio;
    this.region = region;
  }
}
