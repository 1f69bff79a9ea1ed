/**
 * A bio on its way to another server: one request or several, and a flush behind them where the
 * server has no FUA. It can be begun anew at any moment, as nobody but its device knows of it.
 */

import { type IoResult, OK } from '../../base/errno.ts';
import { SECTOR_SIZE } from '../../base/units.ts';
import { type Bio, isWriteOp } from '../../block/bio.ts';
import { COMMAND_FLAGS, COMMANDS } from '../constants.ts';
import type { ClientRequest } from './client-request.ts';

/** What a server can do, and how much at once. */
export interface RemoteAbilities {
  readonly flush: boolean;
  readonly fua: boolean;
  /** Bytes of one READ or WRITE. */
  readonly transferMax: number;
}

/** Commands without payload go in pieces of this size: none keeps a server busy for long. */
const DISCARD_BYTES_MAX = 2 ** 30;
const ZERO_BYTES_MAX = 2 ** 28;

const COMMAND_OF = {
  read: COMMANDS.READ,
  write: COMMANDS.WRITE,
  flush: COMMANDS.FLUSH,
  discard: COMMANDS.TRIM,
  'write-zeroes': COMMANDS.WRITE_ZEROES,
} as const;

export class RemoteJob {
  /** Null for a flush of the device's own. */
  bio: Bio | null = null;
  /** Of the bio, in bytes. */
  offset = 0;
  length = 0;
  isWrite = false;
  stage: 'requests' | 'flush' = 'requests';
  /** Requests without an answer. */
  left = 0;
  /** Bytes that have been asked for. */
  asked = 0;
  result: IoResult = OK;
  detail = '';
  /** How often it has begun anew because a connection was lost under it. */
  restarts = 0;
  /** Of unflushed writes: what its flush covers. */
  covers = 0;

  set(bio: Bio | null): void {
    this.bio = bio;
    this.offset = bio === null ? 0 : bio.sector * SECTOR_SIZE;
    this.length = bio === null ? 0 : bio.count * SECTOR_SIZE;
    this.isWrite = bio !== null && isWriteOp(bio.op);
    this.restarts = 0;
    this.#begin();
  }

  restart(): void {
    this.restarts += 1;
    this.#begin();
  }

  #begin(): void {
    this.stage = 'requests';
    this.left = 0;
    this.asked = 0;
    this.result = OK;
    this.detail = '';
  }

  get isFlush(): boolean {
    return this.bio === null || this.bio.op === 'flush';
  }

  overlaps(other: RemoteJob): boolean {
    return this.offset < other.offset + other.length && other.offset < this.offset + this.length;
  }

  /** Makes `request` the next one of this job; false when there is none left. */
  next(request: ClientRequest, abilities: RemoteAbilities): boolean {
    request.context = this;
    request.flags = 0;
    if (this.isFlush || this.stage === 'flush') {
      if (this.left > 0) return false;
      setRange(request, COMMANDS.FLUSH, 0, 0, null);
      return true;
    }
    const bio = this.bio!;
    const size = Math.min(this.length - this.asked, sizeMax(bio.op, abilities));
    if (size === 0) return false;
    const isWhole = size === this.length;
    const data = isWhole || bio.data === null ? bio.data : pieceOf(bio.data, this.asked, size);
    setRange(request, COMMAND_OF[bio.op], this.offset + this.asked, size, data);
    // A server that can FUA but not flush is given no chance to keep anything.
    const isDurable = this.isWrite && abilities.fua && (bio.fua || !abilities.flush);
    if (isDurable) request.flags = COMMAND_FLAGS.FUA;
    this.asked += size;
    return true;
  }
}

function sizeMax(op: Bio['op'], { transferMax }: RemoteAbilities): number {
  if (op === 'discard') return DISCARD_BYTES_MAX;
  return op === 'write-zeroes' ? ZERO_BYTES_MAX : transferMax;
}

function pieceOf(data: Uint8Array, at: number, size: number): Uint8Array {
  return data.subarray(at, at + size);
}

export function setRange(
  request: ClientRequest,
  command: number,
  offset: number,
  length: number,
  data: Uint8Array | null,
): void {
  request.command = command;
  request.offset = offset;
  request.length = length;
  request.data = data;
}
