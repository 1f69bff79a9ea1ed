/**
 * A device on another NBD server, honest about what is durable there.
 *
 * Without a reconnect delay a lost connection is the end of it, as of a disk that went offline:
 * everything in flight fails with EIO, and everything after. With a delay requests wait while the
 * server is gone, and go on as if nothing had happened when it is back in time
 * (docs/decisions/0006):
 *
 * - what was acknowledged and not flushed is kept in memory, and replayed before anything else: the
 *   server that is back may be one whose power was gone;
 * - what was in flight is sent again after that.
 *
 * Writes to the same place wait for each other, always: a server carries out what it has at once in
 * any order, and the legs of a mirror must not differ in the end.
 *
 * No promise and no closure per request: jobs and requests are pooled.
 */

import { unreachable } from '../../base/assert.ts';
import { EIO, EROFS, type IoResult, OK } from '../../base/errno.ts';
import { type Sector, type SectorCount, sectorsToBytes } from '../../base/units.ts';
import { unknownAllocation } from '../../block/allocation.ts';
import { type Bio, isWriteOp } from '../../block/bio.ts';
import type {
  Allocation,
  AllocationLearnt,
  BlockDevice,
  DeviceCapabilities,
} from '../../block/block-device.ts';
import { checkBio, describeBio } from '../../block/check-bio.ts';
import { NBD_ERRORS, nbdErrorName } from '../constants.ts';
import { fromNbdError } from '../errno-map.ts';
import { ClientRequest } from './client-request.ts';
import { abilitiesOf, blockSizeOf, capabilitiesOf, sizeOf } from './remote-facts.ts';
import { RemoteHoles } from './remote-holes.ts';
import { type RemoteAbilities, RemoteJob } from './remote-job.ts';
import type { RemoteLink } from './remote-link.ts';
import { Replay } from './replay.ts';
import { costOf, UnflushedWrites } from './unflushed-writes.ts';

/** Bios at once on each connection; servers look at 16 to 128. */
const JOBS_PER_CONNECTION_MAX = 128;
/**
 * Memory for unflushed writes of one device. At half of it the device flushes on its own account;
 * at all of it writes wait for that.
 */
const UNFLUSHED_BYTES_MAX = 64 * 2 ** 20;

/** A request under which so many connections were lost in a row is the reason for it. */
const RESTARTS_MAX = 16;

const NONE: readonly RemoteJob[] = [];

export interface NbdDeviceOptions {
  /** As the operator named it. */
  readonly name: string;
  /** Equal for two names of the same export, as far as can be told. */
  readonly identity: string;
  readonly link: RemoteLink;
  readonly connections: number;
  /** Nothing is written, whatever the server allows. */
  readonly readOnly: boolean;
  /** It shall survive a lost connection. */
  readonly reconnects: boolean;
  /** See `UNFLUSHED_BYTES_MAX`, which it is by default. */
  readonly unflushedBytesMax?: number;
}

export class NbdDevice implements BlockDevice {
  readonly name: string;
  readonly identity: string;
  readonly sizeSectors: SectorCount;
  readonly logicalBlockSize: number;
  readonly capabilities: DeviceCapabilities;
  readonly #link: RemoteLink;
  readonly #abilities: RemoteAbilities;
  readonly #jobsMax: number;
  readonly #unflushedBytesMax: number;
  /** Null: what is acknowledged is not kept. */
  readonly #unflushed: UnflushedWrites | null;
  /** Requests may be sent: the server is there, and has everything that it has acknowledged. */
  #isOpen = true;
  /** Why nothing works any more. */
  #failure: string | null = null;
  #hasFailed = false;
  /** A failed flush is final: a later one would vouch for data that may be gone. */
  #flushFailure: IoResult = OK;
  #replay: Replay | null = null;
  /** In the order of their start. */
  readonly #running = new Set<RemoteJob>();
  #waiting: RemoteJob[] = [];
  #isPumping = false;
  /** What running writes will cost when they are acknowledged. */
  #runningCost = 0;
  #ownFlush: RemoteJob | null = null;
  readonly #spareJobs: RemoteJob[] = [];
  readonly #spareRequests: ClientRequest[] = [];
  readonly #holes: RemoteHoles | null;
  readonly #answered = (request: ClientRequest): void => this.#requestEnded(request);

  constructor(options: NbdDeviceOptions) {
    const { negotiated } = options.link;
    this.name = options.name;
    this.identity = options.identity;
    this.#link = options.link;
    this.#abilities = abilitiesOf(negotiated);
    this.logicalBlockSize = blockSizeOf(negotiated);
    this.sizeSectors = sizeOf(negotiated);
    this.capabilities = capabilitiesOf(negotiated, options.readOnly);
    this.#jobsMax = options.connections * JOBS_PER_CONNECTION_MAX;
    this.#unflushedBytesMax = options.unflushedBytesMax ?? UNFLUSHED_BYTES_MAX;
    const keeps = options.reconnects && this.#abilities.flush && !this.capabilities.readOnly;
    this.#unflushed = keeps ? new UnflushedWrites() : null;
    const sizeBytes = sectorsToBytes(this.sizeSectors);
    const submit = (request: ClientRequest): void => this.#link.submit(request);
    const blockSize = this.logicalBlockSize;
    const tellsHoles = negotiated.contexts.size === 1;
    this.#holes = tellsHoles ? new RemoteHoles({ blockSize, sizeBytes, submit }) : null;
    this.#link.listen({
      onDown: (unanswered) => this.#wentDown(unanswered),
      onUp: () => this.#cameBack(),
      onFailed: (reason) => this.#failed(reason),
    });
  }

  /** It will never work again: a table that names it needs a new one. */
  get hasFailed(): boolean {
    return this.#hasFailed || this.#flushFailure !== OK;
  }

  /** Bytes of memory for what is acknowledged and not flushed. */
  get unflushedBytes(): number {
    return this.#unflushed?.bytes ?? 0;
  }

  submit(bio: Bio): void {
    checkBio(this, bio);
    const { readOnly, discard, writeZeroes } = this.capabilities;
    if (this.#failure !== null) {
      bio.fail(EIO, this.#failure);
      return;
    }
    if (readOnly && isWriteOp(bio.op)) {
      bio.fail(EROFS, `${describeBio(bio)} of "${this.name}": it is read-only`);
      return;
    }
    if (bio.op === 'discard' && !discard) unreachable(`"${this.name}" does not discard`);
    if (bio.op === 'write-zeroes' && !writeZeroes) unreachable(`"${this.name}" does not zero`);
    if (bio.op === 'flush' && (readOnly || !this.#abilities.flush)) {
      bio.end(OK);
      return;
    }
    if (this.#flushFailure !== OK && (bio.op === 'flush' || bio.fua)) {
      bio.fail(this.#flushFailure, this.#flushDetail(bio));
      return;
    }
    if (bio.op !== 'read') this.#holes?.writes(bio);
    const job = this.#spareJobs.pop() ?? new RemoteJob();
    job.set(bio);
    if (this.#waiting.length === 0 && this.#whyWait(job, NONE) === null) {
      this.#start(job);
      return;
    }
    this.#waiting.push(job);
    this.#pump();
  }

  /** Known only while somebody learns it: the server may have forgotten, or others may write. */
  allocation(sector: Sector, count: SectorCount): Allocation {
    return this.#holes?.at(sector, count) ?? unknownAllocation(count);
  }

  learnAllocation(sector: Sector, count: SectorCount, done: AllocationLearnt): void {
    if (this.#holes === null || !this.#isOpen) done(count);
    else this.#holes.ask(sector, count, done);
  }

  /** Fails at once where it would wait for its server, now or later: before a stop. */
  stopWaiting(): void {
    this.#link.stopWaiting();
  }

  async close(): Promise<void> {
    this.#failure ??= `"${this.name}" was closed`;
    this.#isOpen = false;
    this.#replay?.abandon();
    this.#holes?.abandon();
    await this.#link.close();
  }

  /**
   * Nothing is sent while it must not be, and no two writes to one place at once, nor before one
   * that is `ahead` of it.
   */
  #whyWait(job: RemoteJob, ahead: readonly RemoteJob[]): 'closed' | 'no room' | 'overlap' | null {
    if (!this.#isOpen || this.#running.size >= this.#jobsMax) return 'closed';
    if (!job.isWrite) return null;
    if (overlapsAny(job, this.#running) || overlapsAny(job, ahead)) return 'overlap';
    return this.#unflushed === null || this.#hasRoom(this.#unflushed, job) ? null : 'no room';
  }

  #hasRoom(unflushed: UnflushedWrites, job: RemoteJob): boolean {
    const taken = unflushed.bytes + this.#runningCost;
    if (taken === 0 || taken + costOf(job.bio!) <= this.#unflushedBytesMax) return true;
    this.#flushOnOwnAccount();
    return false;
  }

  #start(job: RemoteJob): void {
    this.#running.add(job);
    if (job.isWrite) this.#runningCost += costOf(job.bio!);
    this.#send(job);
  }

  #send(job: RemoteJob): void {
    if (job.isFlush || job.stage === 'flush') job.covers = this.#unflushed?.end ?? 0;
    for (;;) {
      const request = this.#spareRequests.pop() ?? new ClientRequest(this.#answered);
      if (!job.next(request, this.#abilities)) {
        this.#spareRequests.push(request);
        return;
      }
      job.left += 1;
      this.#link.submit(request);
    }
  }

  #requestEnded(request: ClientRequest): void {
    const job = request.context as RemoteJob;
    const { error, text } = request;
    this.#recycle(request);
    if (error === NBD_ERRORS.ESHUTDOWN) {
      // The job stays as it is: it begins anew when the server is back, or fails with all others.
      this.#link.lose('Server is shutting down');
      return;
    }
    job.left -= 1;
    if (error !== 0 && job.result === OK) {
      job.result = fromNbdError(error);
      job.detail = `${nbdErrorName(error)}${text === '' ? '' : ` (${text})`} from "${this.name}"`;
    }
    if (job.left > 0) return;
    const { flush, fua } = this.#abilities;
    const isDone = job.stage === 'flush' || !job.isWrite || !job.bio!.fua || fua || !flush;
    if (isDone || job.result !== OK) {
      this.#end(job);
      return;
    }
    job.stage = 'flush';
    this.#send(job);
  }

  #end(job: RemoteJob): void {
    const { bio, result, detail, isWrite } = job;
    this.#running.delete(job);
    if (isWrite) this.#runningCost -= costOf(bio!);
    if (job.isFlush || job.stage === 'flush') this.#flushEnded(job);
    else if (isWrite && result === OK) this.#keep(job);
    if (job === this.#ownFlush) this.#ownFlush = null;
    job.bio = null;
    this.#spareJobs.push(job);
    if (bio !== null) {
      if (result === OK) bio.end(OK);
      else bio.fail(result, `${describeBio(bio)}: ${detail}`);
    }
    if (this.#waiting.length > 0) this.#pump();
  }

  #flushEnded({ result, covers }: RemoteJob): void {
    if (result === OK) this.#unflushed?.flushed(covers);
    else if (this.#flushFailure === OK) this.#flushFailure = result;
  }

  /**
   * A write that is durable already is kept where older ones are, which would undo it otherwise.
   */
  #keep({ bio, offset, length }: RemoteJob): void {
    const unflushed = this.#unflushed;
    const { op, fua, data } = bio!;
    if (unflushed === null || (fua && unflushed.isEmpty)) return;
    unflushed.add({ op: op as 'write', offset, length, data });
    if (unflushed.bytes > this.#unflushedBytesMax / 2) this.#flushOnOwnAccount();
  }

  #flushOnOwnAccount(): void {
    if (this.#ownFlush !== null || !this.#isOpen) return;
    if (this.#flushFailure !== OK) {
      // Unflushed writes could only grow: nobody can be promised anything any more.
      this.#link.fail(this.#flushDetail(null));
      return;
    }
    this.#ownFlush = new RemoteJob();
    this.#ownFlush.set(null);
    this.#start(this.#ownFlush);
  }

  /**
   * Starts what may start, in order. A write that waits for another to its place is passed by, but
   * not by writes to that place; one that waits for room by no other write, or it would wait for
   * ever.
   */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    let hasRoom = true;
    const passed: RemoteJob[] = [];
    for (let index = 0; index < this.#waiting.length; ) {
      const job = this.#waiting[index]!;
      const reason = job.isWrite && !hasRoom ? 'no room' : this.#whyWait(job, passed);
      if (reason === 'closed') break;
      if (reason === 'no room') hasRoom = false;
      if (reason !== null) {
        passed.push(job);
        index += 1;
        continue;
      }
      this.#waiting.splice(index, 1);
      this.#start(job);
    }
    this.#isPumping = false;
  }

  #wentDown(unanswered: ClientRequest[]): void {
    this.#isOpen = false;
    this.#replay?.abandon();
    this.#replay = null;
    this.#holes?.abandon();
    for (const request of unanswered) this.#recycle(request);
  }

  #cameBack(): void {
    this.#replay = new Replay({
      writes: this.#unflushed?.entries ?? [],
      sizeMax: this.#abilities.transferMax,
      submit: (request) => this.#link.submit(request),
      onEnd: (problem) => this.#replayed(problem),
    });
    this.#replay.start();
  }

  #replayed(problem: string | null): void {
    this.#replay = null;
    if (problem !== null) {
      this.#link.fail(`the server refuses writes that it had acknowledged before: ${problem}`);
      return;
    }
    this.#link.settled();
    this.#isOpen = true;
    for (const job of [...this.#running]) {
      job.restart();
      if (job.restarts > RESTARTS_MAX) {
        this.#link.fail(`one request has ended ${RESTARTS_MAX} connections`);
        return;
      }
      this.#send(job);
    }
    this.#pump();
  }

  #failed(reason: string): void {
    this.#hasFailed = true;
    this.#failure = `"${this.name}" has failed: ${reason}`;
    this.#isOpen = false;
    const jobs = [...this.#running, ...this.#waiting];
    this.#running.clear();
    this.#waiting = [];
    this.#runningCost = 0;
    for (const { bio } of jobs) bio?.fail(EIO, this.#failure);
  }

  #recycle(request: ClientRequest): void {
    if (request.onEnd !== this.#answered) return;
    request.data = null;
    request.context = null;
    this.#spareRequests.push(request);
  }

  #flushDetail(bio: Bio | null): string {
    const what = bio === null ? '' : `${describeBio(bio)}: `;
    return `${what}a flush of "${this.name}" has failed, and what was written may be lost`;
  }
}

function overlapsAny(job: RemoteJob, others: Iterable<RemoteJob>): boolean {
  for (const other of others) {
    if (other.isWrite && other.overlaps(job)) return true;
  }
  return false;
}
