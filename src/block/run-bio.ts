/** Submits one bio and waits for it: at once where the device answers at once. */

import type { Awaitable } from '../base/awaitable.ts';
import type { IoResult } from '../base/errno.ts';
import type { Sector, SectorCount } from '../base/units.ts';
import { Bio, type BioOp } from './bio.ts';
import type { BlockDevice } from './block-device.ts';

export interface RunBioOptions {
  readonly op: BioOp;
  readonly sector?: Sector;
  readonly count?: SectorCount;
  readonly data?: Uint8Array | null;
  readonly fua?: boolean;
}

export function runBio(device: BlockDevice, options: RunBioOptions): Awaitable<IoResult> {
  let result: IoResult | undefined;
  let resolve: ((result: IoResult) => void) | undefined;
  const bio = new Bio({
    op: options.op,
    sector: options.sector ?? (0 as Sector),
    count: options.count ?? (0 as SectorCount),
    data: options.data ?? null,
    fua: options.fua ?? false,
    onEnd: (_bio, outcome) => {
      result = outcome;
      resolve?.(outcome);
    },
  });
  device.submit(bio);
  if (result !== undefined) return result;
  return new Promise((resolved) => {
    resolve = resolved;
  });
}
