/**
 * Where an export of another server has holes, as the server tells when it is asked (NBD protocol,
 * 8.2 and 8.3). Nothing is remembered: what was learnt holds while `done` runs, and what was
 * written since the question is not believed.
 */

import { SECTOR_SIZE, type Sector, type SectorCount } from '../../base/units.ts';
import { unknownAllocation } from '../../block/allocation.ts';
import type { Bio } from '../../block/bio.ts';
import type { Allocation, AllocationLearnt } from '../../block/block-device.ts';
import type { StatusExtent } from '../codec/status-codec.ts';
import { ALLOCATION, COMMANDS } from '../constants.ts';
import { ClientRequest } from './client-request.ts';

export const ALLOCATION_CONTEXT = 'base:allocation';

/** Asked about at once: lengths have 32 bits, and whole blocks. */
const QUESTION_BYTES_MAX = 2 ** 31;

interface Question {
  /** In sectors: what was asked for, which may lie inside a block of the server. */
  readonly sector: Sector;
  readonly count: SectorCount;
  readonly done: AllocationLearnt;
  /** Something in the range was written since. */
  isSpoilt: boolean;
}

/** What the server said of the bytes from `start` on. */
interface Told {
  readonly start: number;
  readonly extents: readonly StatusExtent[];
}

export class RemoteHoles {
  readonly #blockSize: number;
  readonly #sizeBytes: number;
  readonly #submit: (request: ClientRequest) => void;
  readonly #open = new Map<ClientRequest, Question>();
  #told: Told | null = null;

  constructor(options: {
    readonly blockSize: number;
    readonly sizeBytes: number;
    readonly submit: (request: ClientRequest) => void;
  }) {
    this.#blockSize = options.blockSize;
    this.#sizeBytes = options.sizeBytes;
    this.#submit = options.submit;
  }

  ask(sector: Sector, count: SectorCount, done: AllocationLearnt): void {
    const start = Math.floor((sector * SECTOR_SIZE) / this.#blockSize) * this.#blockSize;
    const end = Math.ceil(((sector + count) * SECTOR_SIZE) / this.#blockSize) * this.#blockSize;
    const request = new ClientRequest((answered) => this.#answered(answered));
    request.command = COMMANDS.BLOCK_STATUS;
    request.offset = start;
    request.length = Math.min(end, start + QUESTION_BYTES_MAX, this.#sizeBytes) - start;
    this.#open.set(request, { sector, count, done, isSpoilt: false });
    this.#submit(request);
  }

  /** A write begins. */
  writes({ sector, count }: Bio): void {
    for (const question of this.#open.values()) {
      const { sector: first, count: length } = question;
      if (sector < first + length && first < sector + count) question.isSpoilt = true;
    }
  }

  /** The connection is gone: nobody will answer. */
  abandon(): void {
    const questions = [...this.#open.values()];
    this.#open.clear();
    for (const { count, done } of questions) done(count);
  }

  at(sector: Sector, count: SectorCount): Allocation {
    let start = this.#told?.start ?? 0;
    for (const { length, status } of this.#told?.extents ?? []) {
      const end = start + length;
      if (sector * SECTOR_SIZE < start) break;
      const whole = Math.floor(end / SECTOR_SIZE) - sector;
      if (whole > 0) {
        const zero = (status & ALLOCATION.ZERO) !== 0;
        // A hole of unknown contents says nothing that could be passed on.
        const hole = zero && (status & ALLOCATION.HOLE) !== 0;
        return { count: Math.min(count, whole) as SectorCount, zero, hole };
      }
      start = end;
    }
    return unknownAllocation(count);
  }

  #answered(request: ClientRequest): void {
    const question = this.#open.get(request);
    if (question === undefined) return;
    this.#open.delete(request);
    const { sector, count, done, isSpoilt } = question;
    const extents = request.statuses[0]?.extents ?? [];
    const bytes = extents.reduce((sum, { length }) => sum + length, 0);
    const known = Math.floor((request.offset + bytes) / SECTOR_SIZE) - sector;
    if (request.error !== 0 || isSpoilt || known <= 0) {
      done(count);
      return;
    }
    this.#told = { start: request.offset, extents };
    done(Math.min(count, known) as SectorCount);
    this.#told = null;
  }
}
