/**
 * The log's device of a `clustered-disk` log, in the kernel's format: one node at a time, the
 * *writer*, writes it for all, so that a single-node `disk` log can take it over at any time.
 *
 * A region is clean there when it is in sync and no node has it marked. What turned dirty is on the
 * device, its cache flushed, before the flush that asked for it is answered, on whatever node; what
 * turned clean follows when something else is written, or after a while. The other nodes learn from
 * `written` in the store up to which revision the device holds everything.
 */

import { Bitset } from '../base/bitset.ts';
import { EIO, errnoName, type IoResult, OK } from '../base/errno.ts';
import { LOG_WHOLE_WRITE_BYTES_MAX } from '../base/limits.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { LogDevice } from '../dirtylog/log-device.ts';
import {
  decodeLogHeader,
  encodeLogHeader,
  LOG_BITSET_OFFSET,
  LOG_MAGIC,
  LOG_VERSION,
  logImageBytes,
  trustedRegions,
  validateLogHeader,
} from '../dirtylog/log-header.ts';
import { CLEAR_DELAY_MS, type ClusterContext } from './cluster-context.ts';
import { encodeJson, type LogKeys } from './cluster-keys.ts';
import type { LogReplica } from './log-replica.ts';
import type { Membership } from './membership.ts';

export interface SharedLogFileOptions {
  readonly device: BlockDevice;
  readonly context: ClusterContext;
  readonly keys: LogKeys;
  readonly replica: LogReplica;
  readonly membership: Membership;
  readonly syncWord: 'sync' | 'nosync' | null;
}

export class SharedLogFile {
  readonly #options: SharedLogFileOptions;
  readonly #disk: LogDevice;
  readonly #bits: Bitset;
  /** The device holds the image as it was composed last. */
  #isHeld = false;
  #result: IoResult = OK;
  #writing: Promise<boolean> | null = null;
  #cleanTimer: { cancel(): void } | null = null;
  #isClosed = false;
  #isVolunteering = false;

  constructor(options: SharedLogFileOptions) {
    const { device, replica } = options;
    this.#options = options;
    this.#disk = new LogDevice({
      device,
      imageBytes: logImageBytes(replica.regionCount, device.logicalBlockSize),
      wholeWriteBytesMax: LOG_WHOLE_WRITE_BYTES_MAX,
      onFirstFailure: () => {
        options.context.log.error('shared log: its device fails', { device: device.name });
      },
    });
    const end = LOG_BITSET_OFFSET + Bitset.byteLengthFor(replica.regionCount);
    this.#bits = new Bitset(replica.regionCount, this.#disk.image.subarray(LOG_BITSET_OFFSET, end));
  }

  get device(): BlockDevice {
    return this.#disk.device;
  }

  get health(): 'A' | 'D' {
    return this.#disk.health === 'A' && !this.#options.replica.written.failed ? 'A' : 'D';
  }

  get isWriter(): boolean {
    const { replica, membership, context } = this.#options;
    const { writer } = replica;
    return writer?.node === context.lease.node && writer.owner === membership.owner;
  }

  /** The clean bits that a first node begins with (specification 11.5). */
  async load(): Promise<Bitset> {
    const { replica, syncWord, context } = this.#options;
    const bits = new Bitset(replica.regionCount);
    const result = await this.#disk.read();
    if (result !== OK) {
      this.#disk.fail('D');
      context.log.error('shared log: its device cannot be read: every region is copied', {
        device: this.device.name,
        result: errnoName(result),
      });
      return bits;
    }
    const header = decodeLogHeader(this.#disk.image);
    const verdict = validateLogHeader(header);
    const isOurs = verdict === 'valid' || verdict === 'old-version';
    const stored = isOurs ? Math.min(trustedRegions(header), replica.regionCount) : 0;
    bits.copyFrom(this.#bits);
    bits.fillFrom(stored, syncWord === 'nosync' && (isOurs || verdict === 'foreign-magic'));
    bits.clearTail();
    return bits;
  }

  /** Waits until the device holds everything up to a revision. Null: given up. */
  async cover(revision: number): Promise<IoResult | null> {
    const { replica, membership } = this.#options;
    for (;;) {
      if (!(await membership.entitled()) || this.#isClosed) return null;
      if (this.isWriter) {
        // One that is under way may have been composed before.
        if (this.#writing !== null) await this.#writing;
        if (await this.#write()) return this.#result;
        continue;
      }
      const { written, writer } = replica;
      if (writer !== null && written.revision >= revision) return written.failed ? EIO : OK;
      if (writer === null) await this.#volunteer();
      else await membership.change();
    }
  }

  /** Something changed in the store: write it, if that is our part. */
  noticed(): void {
    const { replica, membership } = this.#options;
    if (this.#isClosed || !membership.isEntitled) return;
    if (replica.writer === null) {
      void this.#volunteer();
      return;
    }
    if (!this.isWriter) return;
    const { marksRevision, revision, written } = replica;
    // Marks may be known ahead of what else there was: that is told later.
    const isBehind = Math.min(marksRevision, revision) > written.revision;
    const isAwaited = replica.nodes.length > 1 && isBehind;
    const news = isAwaited ? 'dirtier' : this.#news();
    if (news === 'dirtier') void this.#write();
    else if (news === 'cleaner') this.#writeSoon();
  }

  /** The last write-out of a node that leaves in good order. */
  async settle(): Promise<void> {
    this.#cleanTimer?.cancel();
    if (this.isWriter) await this.#write();
  }

  close(): void {
    this.#isClosed = true;
    this.#cleanTimer?.cancel();
  }

  async #volunteer(): Promise<void> {
    const { keys, membership, context, replica } = this.#options;
    if (replica.writer !== null) return;
    if (this.#isVolunteering) {
      await membership.change();
      return;
    }
    this.#isVolunteering = true;
    const writer = { node: context.lease.node, owner: membership.owner };
    const plan = membership.plan().put(keys.writer, encodeJson(writer));
    plan.put(keys.written, encodeJson({ revision: 0, failed: false }));
    const outcome = await membership.commit(plan);
    this.#isVolunteering = false;
    if (outcome !== 'done') return;
    this.#isHeld = false;
    await this.#write();
  }

  #writeSoon(): void {
    this.#cleanTimer ??= this.#options.context.clock.after(CLEAR_DELAY_MS, () => {
      this.#cleanTimer = null;
      if (!this.#isClosed && this.isWriter) void this.#write();
    });
  }

  /** One write at a time; whoever comes meanwhile waits for it, and looks again. */
  #write(): Promise<boolean> {
    this.#writing ??= this.#writeOnce().finally(() => {
      this.#writing = null;
      // What came meanwhile was not heard: nothing else may come that wakes us for it.
      this.noticed();
    });
    return this.#writing;
  }

  /** False: this node may not write any more. */
  async #writeOnce(): Promise<boolean> {
    const { replica, membership, context } = this.#options;
    const { revision } = replica;
    if (!this.#isHeld || this.#result !== OK || this.#news() !== null) {
      // Not a byte from a node that may have been replaced.
      if (!membership.isEntitled || !this.isWriter) return false;
      this.#compose();
      let result = await this.#disk.writeWhole();
      if (result === OK) result = await this.#disk.flushCache();
      if (result !== OK) {
        this.#disk.fail('D');
        context.log.error('shared log: its device cannot be written', {
          result: errnoName(result),
        });
      }
      this.#result = result === OK ? OK : EIO;
      if (result === OK) this.#disk.imageWritten();
      this.#isHeld = result === OK;
    }
    await this.#publish(revision);
    return true;
  }

  /** Only where somebody else may be waiting for it. */
  async #publish(revision: number): Promise<void> {
    const { replica, membership, keys } = this.#options;
    if (replica.nodes.length < 2) return;
    const failed = this.#result !== OK;
    if (replica.written.revision >= revision && replica.written.failed === failed) return;
    await membership.settle(() => {
      if (!this.isWriter || this.#isClosed) return 'done';
      if (replica.written.revision >= revision && replica.written.failed === failed) return 'done';
      const plan = membership.plan().requires(keys.writer);
      return plan.put(keys.written, encodeJson({ revision, failed }));
    });
  }

  #compose(): void {
    const { replica } = this.#options;
    const header = { magic: LOG_MAGIC, version: LOG_VERSION, regionCount: 0n };
    encodeLogHeader({ ...header, regionCount: BigInt(replica.regionCount) }, this.#disk.image);
    this.#bits.bytes.set(replica.cleanBits().bytes);
  }

  /**
   * How what is known differs from the image: `dirtier` where something that the image calls clean
   * is not so any more. Looked at with every change, and of a million regions: so no callbacks.
   */
  #news(): 'dirtier' | 'cleaner' | null {
    const clean = this.#options.replica.cleanBits().bytes;
    const { bytes } = this.#bits;
    if (Buffer.compare(bytes, clean) === 0) return null;
    for (let index = 0; index < bytes.length; index++) {
      if ((bytes[index]! & ~clean[index]!) !== 0) return 'dirtier';
    }
    return 'cleaner';
  }
}
