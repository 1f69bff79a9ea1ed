/**
 * The transmission phase of one connection: requests in, bios down, replies out, in any order.
 *
 * Invariants:
 * - each accepted request gets exactly one reply, unless the client is gone;
 * - all requests of one read are parsed before the replies to any of them leave;
 * - a WRITE reaches the device only when its payload is complete;
 * - requests and payload in progress, and replies not taken by the client, are bounded: above a
 *   bound nothing is parsed, so nothing is read from the socket.
 */

import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { EIO, type IoResult, OK } from '../../base/errno.ts';
import {
  NBD_BYTES_IN_FLIGHT_MAX,
  NBD_REPLY_BYTES_QUEUED_MAX,
  NBD_REQUESTS_IN_FLIGHT_MAX,
  NBD_SPARSE_READ_BYTES_MIN,
  NBD_ZERO_SLICE_BYTES,
} from '../../base/limits.ts';
import type { ByteRequest } from '../../block/byte-request.ts';
import type { BufferPool } from '../buffer-pool.ts';
import type { FrameReader } from '../codec/frame-reader.ts';
import type { RequestHeader } from '../codec/request-codec.ts';
import { COMMAND_FLAGS, COMMANDS } from '../constants.ts';
import { toNbdError } from '../errno-map.ts';
import { zeroBytesAt } from './allocation-context.ts';
import { StatusTurns, statusOf } from './block-status.ts';
import type { Negotiated } from './negotiated.ts';
import type { PayloadBudget } from './payload-budget.ts';
import { PendingRequest } from './pending-request.ts';
import type { ReplyQueue } from './reply-queue.ts';
import { ReplyWriter } from './reply-writer.ts';
import { RequestIntake } from './request-intake.ts';
import type { TurnShare } from './turn-share.ts';

/**
 * - `more`: everything received is parsed. - `stopped`: a bound is reached; `mayContinue` says
 *   when it
 *   is not any more. - `disconnect`: DISC. - `drop`: the client broke the protocol.
 */
export type TransmissionOutcome = 'more' | 'stopped' | 'disconnect' | 'drop';

export interface TransmissionContext {
  readonly negotiated: Negotiated;
  readonly reader: FrameReader;
  readonly replies: ReplyQueue;
  readonly pool: BufferPool;
  readonly budget: PayloadBudget;
  readonly clock: Clock;
  readonly share: TurnShare;
  stopping(): boolean;
  /** Something was freed, by which a stopped connection may go on. */
  onFreed(): void;
}

export class Transmission {
  readonly #context: TransmissionContext;
  readonly #negotiated: Negotiated;
  readonly #reader: FrameReader;
  readonly #replies: ReplyQueue;
  readonly #writer: ReplyWriter;
  readonly #intake: RequestIntake;
  /** Of the latest request. */
  readonly #header: RequestHeader;
  #phase: 'intake' | 'admission' | 'payload' = 'intake';
  readonly #statusTurns: StatusTurns;
  #parsing = false;
  /** Every object ever made, and those of them that are free. */
  readonly #requests: PendingRequest[] = [];
  readonly #free: PendingRequest[] = [];
  /** Requests that a client waits for, and the payload of all that are in progress. */
  #unanswered = 0;
  #payloadBytes = 0;
  /** Of these, what becomes replies. */
  #readBytes = 0;
  /** The request that waits for admission waits for replies to leave, and for nothing else. */
  #waitsForReplies = false;
  #clientGone = false;
  /** Requests that have begun. */
  #begun = 0;

  readonly #ended = (request: ByteRequest, result: IoResult): void => {
    this.#sliceEnded(request.context as PendingRequest, result);
  };
  readonly #freed = (): void => this.#context.onFreed();

  constructor(context: TransmissionContext) {
    this.#context = context;
    this.#negotiated = context.negotiated;
    this.#reader = context.reader;
    this.#replies = context.replies;
    this.#writer = new ReplyWriter(context.replies, context.negotiated.replyStyle);
    const stopping = (): boolean => context.stopping();
    this.#intake = new RequestIntake(context.negotiated, context.reader, stopping);
    this.#header = this.#intake.header;
    this.#statusTurns = new StatusTurns(
      context.clock,
      context.negotiated.export.device,
      (pending) => this.#finish(pending, OK),
    );
  }

  get unanswered(): number {
    return this.#unanswered;
  }

  /** Changes with every byte of the payload that is awaited; null where none is. */
  get payloadProgress(): string | null {
    return this.#phase === 'payload' ? `${this.#begun}/${this.#reader.available}` : null;
  }

  get dropReason(): string {
    return this.#intake.dropReason;
  }

  /** Parses and starts all that was received, then sends what has ended already. */
  advance(): TransmissionOutcome {
    assert(!this.#parsing, 'Requests are parsed within themselves');
    if (this.#context.share.waiting) return 'stopped';
    this.#context.share.enter();
    for (;;) {
      this.#parsing = true;
      const outcome = this.#parse();
      this.#parsing = false;
      this.#replies.flush();
      // What stopped it may have left at once, and then nobody would say that it can go on.
      const isFull = this.#replies.queuedBytes > NBD_REPLY_BYTES_QUEUED_MAX;
      if (outcome !== 'stopped' || isFull || !this.#canGoOn()) return outcome;
    }
  }

  /**
   * The client sends no more, and no DISC: what has not started never will (NBD protocol, 16.1).
   */
  abandonUnstarted(): void {
    if (this.#clientGone) return;
    this.#clientGone = true;
    this.#context.budget.forget(this.#freed);
    // A WRITE cut short in its payload was counted, and ends here.
    if (this.#phase === 'payload') this.#context.budget.give(this.#header.length);
    for (const pending of this.#requests) {
      if (pending.busy) this.#negotiated.export.bytes.abandon(pending.request);
    }
  }

  /** The connection is gone: no more replies. What the device still holds ends unseen. */
  close(): void {
    for (const pending of this.#requests) pending.answered = true;
    this.#unanswered = 0;
    this.abandonUnstarted();
  }

  /** Answers everything in progress with `error`; what the device still holds ends unseen. */
  failAll(error: number, text: string): void {
    this.abandonUnstarted();
    for (const pending of this.#requests) {
      if (!pending.busy || pending.answered) continue;
      this.#writer.error(pending, pending.command, error, text);
      pending.answered = true;
      this.#unanswered -= 1;
    }
    this.#replies.schedule();
  }

  #canGoOn(): boolean {
    if (this.#phase === 'intake') return !this.#context.share.waiting;
    return this.#phase === 'admission' && this.#waitsForReplies && this.#hasRoomForReply();
  }

  /**
   * A READ that begins is a reply soon: were it not counted with those that wait for a slow reader,
   * all that are in progress would be queued together.
   */
  #hasRoomForReply(): boolean {
    const waiting = this.#replies.queuedBytes + this.#readBytes;
    return waiting === 0 || waiting + this.#header.length <= NBD_REPLY_BYTES_QUEUED_MAX;
  }

  #parse(): TransmissionOutcome {
    for (;;) {
      switch (this.#phase) {
        case 'intake': {
          if (this.#replies.queuedBytes > NBD_REPLY_BYTES_QUEUED_MAX) return 'stopped';
          if (this.#reader.available > 0 && this.#context.share.spent()) return 'stopped';
          const outcome = this.#intake.next();
          if (outcome === 'accepted') this.#phase = 'admission';
          else if (outcome === 'refused') this.#refuse();
          else return outcome;
          break;
        }
        case 'admission':
          if (!this.#admit()) return 'stopped';
          break;
        case 'payload':
          if (!this.#reader.need(this.#header.length)) return 'more';
          this.#phase = 'intake';
          this.#start(this.#takePending());
          break;
      }
    }
  }

  #refuse(): void {
    this.#context.share.charge(0);
    const { error, text } = this.#intake.refusal;
    this.#writer.error(this.#header, this.#header.command, error, text);
  }

  /** Counts the request that `#header` describes against all bounds, or lets it wait. */
  #admit(): boolean {
    const { command, length } = this.#header;
    const isRead = command === COMMANDS.READ;
    const hasPayload = command === COMMANDS.WRITE || isRead;
    const bytes = hasPayload ? length : 0;
    const inProgress = this.#requests.length - this.#free.length;
    this.#waitsForReplies = false;
    if (inProgress >= NBD_REQUESTS_IN_FLIGHT_MAX) return false;
    if (this.#payloadBytes > 0 && this.#payloadBytes + bytes > NBD_BYTES_IN_FLIGHT_MAX)
      return false;
    if (isRead && !this.#hasRoomForReply()) {
      this.#waitsForReplies = true;
      return false;
    }
    if (bytes > 0 && !this.#context.budget.tryTake(bytes, this.#payloadBytes)) {
      this.#context.budget.wait(this.#freed);
      return false;
    }
    this.#context.share.charge(bytes);
    this.#payloadBytes += bytes;
    if (isRead) this.#readBytes += bytes;
    if (command === COMMANDS.WRITE) {
      this.#phase = 'payload';
      return true;
    }
    this.#phase = 'intake';
    this.#start(this.#takePending());
    return true;
  }

  /** An object for the request that `#header` describes. */
  #takePending(): PendingRequest {
    let pending = this.#free.pop();
    if (pending === undefined) {
      pending = new PendingRequest(this.#ended);
      this.#requests.push(pending);
    }
    const { command, length } = this.#header;
    const hasPayload = command === COMMANDS.WRITE || command === COMMANDS.READ;
    pending.begin(this.#header, hasPayload ? length : 0);
    this.#unanswered += 1;
    this.#begun += 1;
    this.#negotiated.export.requestBegan();
    return pending;
  }

  #start(pending: PendingRequest): void {
    const { request, command } = pending;
    request.fua = (this.#header.flags & COMMAND_FLAGS.FUA) !== 0;
    if (command === COMMANDS.FLUSH) {
      request.op = 'flush';
      request.offset = 0;
      request.length = 0;
      request.data = null;
      this.#negotiated.export.bytes.submit(request);
      return;
    }
    if (command === COMMANDS.BLOCK_STATUS) {
      pending.contexts = this.#intake.asked;
      pending.reqOne = (this.#header.flags & COMMAND_FLAGS.REQ_ONE) !== 0;
      this.#statusTurns.add(pending);
      return;
    }
    // CACHE has nothing to do, nor has any command on no bytes.
    if (command === COMMANDS.CACHE || pending.length === 0) {
      this.#finish(pending, OK);
      return;
    }
    switch (command) {
      case COMMANDS.READ:
        request.op = 'read';
        this.#skipHole(pending);
        if (pending.length === 0) {
          this.#finish(pending, OK);
          return;
        }
        this.#reserveRead(pending);
        break;
      case COMMANDS.WRITE:
        request.op = 'write';
        request.data = this.#reader.peek(pending.length);
        pending.received = this.#reader.buffer;
        pending.received.retain();
        this.#reader.consume(pending.length);
        pending.sliceBytes = pending.length;
        break;
      case COMMANDS.TRIM:
        request.op = 'discard';
        request.data = null;
        break;
      default:
        this.#chooseZeroing(pending);
    }
    this.#submitSlice(pending);
  }

  /** A hole at the beginning is not read, and goes by itself, unless one piece is wanted. */
  #skipHole(pending: PendingRequest): void {
    const { length, offset } = pending;
    if (length < NBD_SPARSE_READ_BYTES_MIN || !this.#writer.hasHoles) return;
    if ((this.#header.flags & COMMAND_FLAGS.DF) !== 0) return;
    const zeroes = zeroBytesAt(this.#negotiated.export.device, offset, length);
    if (zeroes < NBD_SPARSE_READ_BYTES_MIN) return;
    pending.holeBytes = zeroes;
    pending.offset += zeroes;
    pending.length -= zeroes;
  }

  #reserveRead(pending: PendingRequest): void {
    pending.sliceBytes = this.#writer.readPieceMax;
    pending.replyStart = this.#replies.reserve(this.#writer.readReplySize(pending.length));
    pending.reply = this.#replies.reserved;
  }

  #chooseZeroing(pending: PendingRequest): void {
    // With NO_HOLE the space must end up allocated, and a device that zeroes may punch a hole.
    const noHole = (this.#header.flags & COMMAND_FLAGS.NO_HOLE) !== 0;
    const { writeZeroes } = this.#negotiated.export.device.capabilities;
    pending.zeroesFromMemory = noHole || !writeZeroes;
    pending.request.op = pending.zeroesFromMemory ? 'write' : 'write-zeroes';
    pending.request.data = null;
    if (pending.zeroesFromMemory) pending.sliceBytes = NBD_ZERO_SLICE_BYTES;
  }

  #submitSlice(pending: PendingRequest): void {
    const { request, command, done } = pending;
    const { bytes } = this.#negotiated.export;
    request.offset = pending.offset + done;
    if (command === COMMANDS.WRITE) {
      request.length = pending.length;
    } else if (command === COMMANDS.READ) {
      request.length = Math.min(pending.length - done, pending.sliceBytes);
      const at = pending.replyStart + this.#writer.dataStart(done);
      request.data = pending.reply!.bytes.subarray(at, at + request.length);
    } else {
      request.length = pending.nextSlice(bytes.blockSize);
      if (pending.zeroesFromMemory) request.data = this.#context.pool.zeroes(request.length);
    }
    // A discard may be cut down to whole blocks by the device; what counts here is the slice.
    pending.sliceEnd = done + request.length;
    bytes.submit(request);
  }

  #sliceEnded(pending: PendingRequest, result: IoResult): void {
    pending.done = pending.sliceEnd;
    const isLast = pending.done >= pending.length || pending.command === COMMANDS.FLUSH;
    if (result !== OK || isLast) {
      this.#finish(pending, result);
      return;
    }
    // A turn in between: others shall not wait for the end of a request of any length.
    this.#context.clock.defer(() => {
      // Slices behind the end of the client could land on top of newer writes.
      if (this.#clientGone) this.#finish(pending, EIO);
      else this.#submitSlice(pending);
    });
  }

  /** The device is through with a request. */
  #finish(pending: PendingRequest, result: IoResult): void {
    assert(pending.busy, 'A request ended twice');
    pending.received?.release();
    pending.received = null;
    pending.request.data = null;
    if (!pending.answered) {
      this.#unanswered -= 1;
      if (result === OK) {
        this.#replySuccess(pending);
      } else {
        const { detail } = pending.request;
        this.#writer.error(pending, pending.command, toNbdError(result), detail);
      }
    }
    pending.reply?.release();
    pending.reply = null;
    pending.busy = false;
    this.#free.push(pending);
    this.#payloadBytes -= pending.payloadBytes;
    if (pending.command === COMMANDS.READ) this.#readBytes -= pending.payloadBytes;
    this.#context.budget.give(pending.payloadBytes);
    this.#negotiated.export.requestEnded();
    if (!this.#parsing) this.#replies.schedule();
  }

  #replyRead(pending: PendingRequest): void {
    const { holeBytes, offset, length, reply } = pending;
    if (holeBytes > 0) {
      const chunk = { offset: offset - holeBytes, length: holeBytes, done: length === 0 };
      this.#writer.hole(pending, chunk);
    }
    if (reply !== null) {
      pending.reply = null;
      this.#writer.data(reply, pending);
    } else if (holeBytes === 0) {
      this.#writer.nothing(pending);
    }
  }

  #replySuccess(pending: PendingRequest): void {
    if (pending.command === COMMANDS.BLOCK_STATUS) {
      this.#writer.statuses(pending, statusOf(pending.contexts, pending));
    } else if (pending.command !== COMMANDS.READ) {
      this.#writer.success(pending);
    } else {
      this.#replyRead(pending);
    }
  }
}
