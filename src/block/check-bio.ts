/**
 * What a device may rely on when it is given a bio. A bio that breaks it is a bug of the submitter,
 * not an I/O error: it would read or overwrite what it must not.
 */

import { unreachable } from '../base/assert.ts';
import { SECTOR_SIZE } from '../base/units.ts';
import type { Bio } from './bio.ts';
import type { BlockDevice } from './block-device.ts';

/** Asserts that `bio` is well-formed and lies inside `device`. Cheap: it is on the hot path. */
export function checkBio(device: BlockDevice, bio: Bio): void {
  if (bio.op === 'flush') {
    if (bio.sector !== 0 || bio.count !== 0 || bio.data !== null) {
      unreachable(`${describeBio(bio)} of "${device.name}": a flush has neither position nor data`);
    }
    return;
  }
  if (!(bio.count > 0) || !(bio.sector >= 0) || bio.sector + bio.count > device.sizeSectors) {
    unreachable(
      `${describeBio(bio)} of "${device.name}": ` +
        `range must lie inside ${device.sizeSectors} sectors`,
    );
  }
  const hasData = bio.op === 'read' || bio.op === 'write';
  if (hasData ? bio.data?.length !== bio.count * SECTOR_SIZE : bio.data !== null) {
    unreachable(
      `${describeBio(bio)} of "${device.name}": data has ${bio.data?.length ?? 'no'} bytes`,
    );
  }
}

/** For messages: "Write of 8 sectors at 128". */
export function describeBio(bio: Bio): string {
  const op = bio.op.charAt(0).toUpperCase() + bio.op.slice(1);
  return bio.op === 'flush' ? op : `${op} of ${bio.count} sectors at ${bio.sector}`;
}
