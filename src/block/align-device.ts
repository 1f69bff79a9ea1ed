/**
 * Makes a device byte-addressed, for clients that ignore its block size.
 *
 * An aligned request is handed to the device as it is. An unaligned read goes through a buffer of
 * whole blocks. An unaligned write becomes read, modify, write: alone on the blocks that it
 * touches, from its first read to the end of its write, or a neighbour in the same block would be
 * undone.
 *
 * Invariants:
 * - no request starts while an unaligned or an abandoned one runs on the same blocks;
 * - a waiting request overlaps an exclusive one that runs, or waits in front of it;
 * - requests that overlap nothing exclusive never wait, however long a device holds others.
 */

import { assert } from '../base/assert.ts';
import { EIO, type IoResult, OK } from '../base/errno.ts';
import { bytesToSectors, SECTOR_SIZE, type Sector, sectorsToBytes } from '../base/units.ts';
import type { Bio, BioOp } from './bio.ts';
import type { BlockDevice } from './block-device.ts';
import type { ByteRequest } from './byte-request.ts';

export class AlignDevice {
  readonly device: BlockDevice;
  readonly #blockSize: number;
  /** Requests that change something, in the order of their start. */
  readonly #running = new RequestList();
  /** Those that may not start yet, in the order of their arrival. */
  readonly #waiting = new RequestList();
  /** Exclusive requests in both lists: while it is 0, nothing is compared with anything. */
  #exclusiveCount = 0;
  #inFlight = 0;
  #startingWaiters = false;

  readonly #bioEnded = (bio: Bio, result: IoResult): void => {
    const request = bio.context as ByteRequest;
    request.detail = bio.detail;
    this.#finish(request, result);
  };
  readonly #bounceRead = (bio: Bio, result: IoResult): void => this.#readEnded(bio, result);
  readonly #headRead = (bio: Bio, result: IoResult): void => this.#headEnded(bio, result);
  readonly #tailRead = (bio: Bio, result: IoResult): void => this.#tailEnded(bio, result);

  constructor(device: BlockDevice) {
    this.device = device;
    this.#blockSize = device.logicalBlockSize;
    assert(this.#blockSize % SECTOR_SIZE === 0, `Block size of "${device.name}" is no sectors`);
  }

  /** Size of the device at this moment, in bytes. */
  get size(): number {
    return sectorsToBytes(this.device.sizeSectors);
  }

  get blockSize(): number {
    return this.#blockSize;
  }

  /** Requests taken and not ended yet. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Takes a request; it may end before this returns. */
  submit(request: ByteRequest): void {
    assert(request.state === 'idle', 'A request was submitted that has not ended');
    this.#inFlight += 1;
    request.detail = null;
    request.state = 'running';
    const { op, offset, length } = request;
    if (op === 'flush') {
      this.#send(request, request.bio, op, 0, 0, null, this.#bioEnded);
      return;
    }
    assert(length > 0, 'A request of no bytes was submitted');
    if (offset + length > this.size) {
      // A table swap may shrink a device under a client that keeps the size it was told.
      request.detail = `${op} beyond the end of ${this.device.name}`;
      this.#finish(request, EIO);
      return;
    }
    const mask = this.#blockSize - 1;
    const aligned = (offset & mask) === 0 && (length & mask) === 0;
    if (op === 'read') {
      if (aligned)
        this.#send(request, request.bio, op, offset, length, request.data, this.#bioEnded);
      else this.#readUnaligned(request);
      return;
    }
    if (op === 'discard' && !aligned && !this.#shrinkDiscard(request)) return;
    request.firstByte = aligned ? offset : this.#roundDown(request.offset);
    request.endByte = aligned ? offset + length : this.#blockEnd(request.offset + request.length);
    request.exclusive = !aligned && op !== 'discard';
    this.#startOrWait(request);
  }

  /**
   * The submitter is gone. A request that has not started never will, and ends at once with EIO;
   * for one that runs, newer writes to the same place wait, so that it cannot land on top of them.
   */
  abandon(request: ByteRequest): void {
    if (request.state === 'waiting') {
      this.#waiting.remove(request);
      if (request.exclusive) this.#exclusiveCount -= 1;
      request.exclusive = false;
      request.state = 'running';
      this.#finish(request, EIO);
      this.#startWaiters();
    } else if (request.state === 'running' && this.#isListed(request) && !request.exclusive) {
      request.exclusive = true;
      this.#exclusiveCount += 1;
    }
  }

  #startOrWait(request: ByteRequest): void {
    if (request.exclusive) this.#exclusiveCount += 1;
    if (this.#exclusiveCount > 0 && this.#mustWait(request, this.#waiting.last)) {
      request.state = 'waiting';
      this.#waiting.append(request);
      return;
    }
    this.#start(request);
  }

  /** `lastEarlier` is the last waiting request that came before this one. */
  #mustWait(request: ByteRequest, lastEarlier: ByteRequest | null): boolean {
    for (let other = this.#running.first; other !== null; other = other.next) {
      if (conflict(request, other)) return true;
    }
    for (let other = lastEarlier; other !== null; other = other.previous) {
      if (conflict(request, other)) return true;
    }
    return false;
  }

  #start(request: ByteRequest): void {
    request.state = 'running';
    this.#running.append(request);
    const { op, offset, length, data } = request;
    if (request.firstByte === offset && request.endByte === offset + length) {
      this.#send(request, request.bio, op, offset, length, data, this.#bioEnded);
    } else {
      this.#modify(request);
    }
  }

  /** Read, modify, write: first the block at the head, if it is not covered whole. */
  #modify(request: ByteRequest): void {
    request.bounce = Buffer.allocUnsafeSlow(request.endByte - request.firstByte);
    if (request.offset === request.firstByte) {
      this.#modifyTail(request);
      return;
    }
    const size = Math.min(this.#blockSize, request.bounce.length);
    const head = request.bounce.subarray(0, size);
    this.#send(request, request.bio, 'read', request.firstByte, size, head, this.#headRead);
  }

  #headEnded(bio: Bio, result: IoResult): void {
    const request = bio.context as ByteRequest;
    if (result !== OK) this.#bioEnded(bio, result);
    else this.#modifyTail(request);
  }

  #modifyTail(request: ByteRequest): void {
    const bounce = request.bounce!;
    const tailByte = this.#roundDown(request.endByte - 1);
    const tailCovered = request.offset + request.length === request.endByte;
    const tailWasRead = tailByte === request.firstByte && request.offset !== request.firstByte;
    if (tailCovered || tailWasRead) {
      this.#writeModified(request);
      return;
    }
    const tail = bounce.subarray(tailByte - request.firstByte);
    this.#send(request, request.bio, 'read', tailByte, tail.length, tail, this.#tailRead);
  }

  #tailEnded(bio: Bio, result: IoResult): void {
    if (result !== OK) this.#bioEnded(bio, result);
    else this.#writeModified(bio.context as ByteRequest);
  }

  #writeModified(request: ByteRequest): void {
    const bounce = request.bounce!;
    const at = request.offset - request.firstByte;
    if (request.op === 'write') bounce.set(request.data!, at);
    else bounce.fill(0, at, at + request.length);
    const { bio, firstByte } = request;
    this.#send(request, bio, 'write', firstByte, bounce.length, bounce, this.#bioEnded);
  }

  #readUnaligned(request: ByteRequest): void {
    request.firstByte = this.#roundDown(request.offset);
    const length = this.#blockEnd(request.offset + request.length) - request.firstByte;
    request.bounce = Buffer.allocUnsafeSlow(length);
    const { bio, firstByte, bounce } = request;
    this.#send(request, bio, 'read', firstByte, length, bounce, this.#bounceRead);
  }

  #readEnded(bio: Bio, result: IoResult): void {
    const request = bio.context as ByteRequest;
    if (result === OK) {
      const at = request.offset - request.firstByte;
      request.data!.set(request.bounce!.subarray(at, at + request.length));
    }
    this.#bioEnded(bio, result);
  }

  /** A discard is a hint: only whole blocks inside it are discarded. False when that is nothing. */
  #shrinkDiscard(request: ByteRequest): boolean {
    const first = Math.ceil(request.offset / this.#blockSize) * this.#blockSize;
    const end = this.#roundDown(request.offset + request.length);
    if (end <= first) {
      this.#finish(request, OK);
      return false;
    }
    request.offset = first;
    request.length = end - first;
    return true;
  }

  #send(
    request: ByteRequest,
    bio: Bio,
    op: BioOp,
    offset: number,
    length: number,
    data: Uint8Array | null,
    onEnd: (bio: Bio, result: IoResult) => void,
  ): void {
    bio.op = op;
    bio.sector = (offset / SECTOR_SIZE) as Sector;
    bio.count = bytesToSectors(length);
    bio.data = data;
    bio.fua = op === 'read' || op === 'flush' ? false : request.fua;
    bio.detail = null;
    bio.onEnd = onEnd;
    this.device.submit(bio);
  }

  #finish(request: ByteRequest, result: IoResult): void {
    assert(request.state === 'running', 'A request ended that was not running');
    if (this.#isListed(request)) {
      this.#running.remove(request);
      if (request.exclusive) this.#exclusiveCount -= 1;
      request.exclusive = false;
    }
    request.state = 'idle';
    request.bounce = null;
    request.bio.data = null;
    this.#inFlight -= 1;
    request.onEnd(request, result);
    if (this.#waiting.first !== null) this.#startWaiters();
  }

  /**
   * Starts all that need not wait any longer, in order; a start that ends at once comes back here.
   */
  #startWaiters(): void {
    if (this.#startingWaiters) return;
    this.#startingWaiters = true;
    for (let request = this.#waiting.first; request !== null; ) {
      if (this.#mustWait(request, request.previous)) {
        request = request.next;
        continue;
      }
      this.#waiting.remove(request);
      this.#start(request);
      // What ended meanwhile may have freed any of them.
      request = this.#waiting.first;
    }
    this.#startingWaiters = false;
  }

  #isListed(request: ByteRequest): boolean {
    return request.next !== null || request.previous !== null || this.#running.first === request;
  }

  #roundDown(byte: number): number {
    return Math.floor(byte / this.#blockSize) * this.#blockSize;
  }

  /**
   * The end of the block that ends at or behind `byte`; the last block of a device may be short.
   */
  #blockEnd(byte: number): number {
    return Math.min(Math.ceil(byte / this.#blockSize) * this.#blockSize, this.size);
  }
}

function conflict(a: ByteRequest, b: ByteRequest): boolean {
  return (a.exclusive || b.exclusive) && a.firstByte < b.endByte && b.firstByte < a.endByte;
}

/** A doubly linked list through the requests themselves: no allocation, removal in one step. */
class RequestList {
  first: ByteRequest | null = null;
  last: ByteRequest | null = null;

  append(request: ByteRequest): void {
    assert(request.next === null && request.previous === null, 'Request is in a list already');
    request.previous = this.last;
    if (this.last === null) this.first = request;
    else this.last.next = request;
    this.last = request;
  }

  remove(request: ByteRequest): void {
    if (request.previous === null) this.first = request.next;
    else request.previous.next = request.next;
    if (request.next === null) this.last = request.previous;
    else request.next.previous = request.previous;
    request.next = null;
    request.previous = null;
  }
}
