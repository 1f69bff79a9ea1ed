/** After an orderly stop without failures every clean bit is 1 (specification 12, invariant 11). */

import type { Finding } from '../findings.ts';
import { dirtyRegions } from '../machine/log-image.ts';
import type { MachineImages, MirrorTable } from '../machine/machine-setup.ts';

export function checkCleanAfterStop(images: MachineImages, table: MirrorTable): Finding[] {
  if (table.log !== 'disk') return [];
  const dirty = dirtyRegions(images.log, table);
  if (dirty.length === 0) return [];
  const message = `regions ${dirty.join(', ')} are dirty in the log after an orderly stop`;
  return [{ checker: 'clean-after-stop', message, region: dirty[0]! }];
}
