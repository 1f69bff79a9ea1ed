/**
 * One request to a block device. Counterpart: `struct bio`.
 *
 * Ownership: from `submit` until `onEnd` the bio and its buffer belong to the device, which writes
 * to `data` only for a read; the submitter neither changes nor reads them meanwhile. Whoever made
 * the bio gets it back in `onEnd`, exactly once, and may then use it again.
 */

import { assert } from '../base/assert.ts';
import type { IoResult } from '../base/errno.ts';
import type { Sector, SectorCount } from '../base/units.ts';

export type BioOp = 'read' | 'write' | 'flush' | 'discard' | 'write-zeroes';

export type BioEnd = (bio: Bio, result: IoResult) => void;

export interface BioRequest {
  readonly op: BioOp;
  /** First sector; 0 for a flush. */
  readonly sector: Sector;
  /** Length in sectors; 0 for a flush, else positive. */
  readonly count: SectorCount;
  /** Exactly `count` sectors for a read (to be filled) or a write; null for every other op. */
  readonly data: Uint8Array | null;
  /** Force unit access: the write, discard or zeroing is durable before it ends. */
  readonly fua: boolean;
  readonly onEnd: BioEnd;
  /** A hint: `data` were filled just now, and a copy made at once finds them in the cache. */
  readonly isHot?: boolean;
  /** The submitter's own, untouched by devices. */
  readonly context?: unknown;
}

export class Bio {
  op: BioOp;
  sector: Sector;
  count: SectorCount;
  data: Uint8Array | null;
  fua: boolean;
  onEnd: BioEnd;
  readonly isHot: boolean;
  context: unknown;
  /** Why it failed, for people, where the device knows more than an errno. */
  detail: string | null = null;

  constructor(request: BioRequest) {
    this.op = request.op;
    this.sector = request.sector;
    this.count = request.count;
    this.data = request.data;
    this.fua = request.fua;
    this.onEnd = request.onEnd;
    this.isHot = request.isHot ?? false;
    this.context = request.context;
  }

  /** Gives the bio back to its submitter, who may submit more at once: end it last. */
  end(result: IoResult): void {
    this.onEnd(this, result);
  }

  fail(result: IoResult, detail: string): void {
    assert(result !== 0, 'A bio fails with result 0');
    this.detail = detail;
    this.onEnd(this, result);
  }
}

/** True for operations that change the contents of a device. */
export function isWriteOp(op: BioOp): boolean {
  return op === 'write' || op === 'discard' || op === 'write-zeroes';
}
