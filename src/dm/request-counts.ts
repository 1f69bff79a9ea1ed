/** Counts requests, for those who look at a device: its rates are the differences. */

import type { Bio } from '../block/bio.ts';

/** What clients and other devices have asked of a device since it was made. */
export class RequestCounts {
  reads = 0;
  readSectors = 0;
  writes = 0;
  writtenSectors = 0;

  count({ op, count }: Bio): void {
    if (op === 'read') {
      this.reads += 1;
      this.readSectors += count;
    } else if (op === 'write') {
      this.writes += 1;
      this.writtenSectors += count;
    }
  }
}
