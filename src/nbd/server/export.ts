/** A device under a name: what clients may see of it, and what they may do with it. */

import { assert } from '../../base/assert.ts';
import { UserError } from '../../base/failure.ts';
import { NBD_CONNECTIONS_MAX, NBD_LISTED_STRING_BYTES_MAX } from '../../base/limits.ts';
import { printable } from '../../base/printable.ts';
import { sectorsToBytes } from '../../base/units.ts';
import type { AlignDevice } from '../../block/align-device.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import { TRANSMISSION_FLAGS } from '../constants.ts';
import { allocationContext } from './allocation-context.ts';
import type { MetaContext } from './meta-context.ts';
import type { ReplyStyle } from './reply-style.ts';

export interface ExportOptions {
  /** "" is the default export; at most 255 bytes. */
  readonly name: string;
  /** Names device, legs and log; shown by clients that list. A function tells what it is now. */
  readonly description?: string | (() => string);
  readonly device: BlockDevice;
  readonly readOnly?: boolean;
  readonly connectionsMax?: number;
  /** What clients may ask about ranges of it, beside its allocation. */
  readonly contexts?: readonly MetaContext[];
  /** Where the server leaves TLS to the client: this one is served with it only. */
  readonly tlsOnly?: boolean;
  /** A connection uses the device from now on, or does not any more. */
  readonly onAttached?: () => void;
  readonly onDetached?: () => void;
}

export class Export {
  readonly device: BlockDevice;
  /** Shared by every connection to the device, by whatever export. */
  readonly bytes: AlignDevice;
  readonly connectionsMax: number;
  readonly contexts: readonly MetaContext[];
  readonly tlsOnly: boolean;
  readonly #options: ExportOptions;
  #name: string;
  #connectionCount = 0;
  #inFlight = 0;
  readonly #drainWaiters: (() => void)[] = [];

  /** @throws UserError for a name or description that cannot be served. */
  constructor(options: ExportOptions, bytes: AlignDevice) {
    this.#options = options;
    this.#name = checkString('name', options.name, options.name);
    checkString('description', this.description, options.name);
    this.device = options.device;
    this.bytes = bytes;
    this.contexts = [allocationContext(options.device), ...(options.contexts ?? [])];
    this.connectionsMax = options.connectionsMax ?? NBD_CONNECTIONS_MAX;
    this.tlsOnly = options.tlsOnly ?? false;
    if (!Number.isSafeInteger(sectorsToBytes(options.device.sizeSectors))) {
      throw new UserError(
        'export-too-large',
        `Cannot export "${printable(options.name)}": size is ${options.device.sizeSectors} ` +
          'sectors, must be below 2^53 bytes',
      );
    }
  }

  /** A request of one of its clients has begun, and is through at the device, respectively. */
  requestBegan(): void {
    this.#inFlight += 1;
  }

  requestEnded(): void {
    this.#inFlight -= 1;
    assert(this.#inFlight >= 0, 'More requests of an export ended than began');
    if (this.#inFlight > 0 || this.#drainWaiters.length === 0) return;
    for (const waiter of this.#drainWaiters.splice(0)) waiter();
  }

  /** Ends when the device holds no request of a client of this export. */
  drained(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  get name(): string {
    return this.#name;
  }

  get description(): string {
    const { description = '' } = this.#options;
    return typeof description === 'string' ? description : description();
  }

  /** For the list of exports only. @throws UserError for a name that cannot be served. */
  rename(name: string): void {
    this.#name = checkString('name', name, name);
  }

  /** As the device is now; a connection keeps what it was told. */
  get readOnly(): boolean {
    return (this.#options.readOnly ?? false) || this.device.capabilities.readOnly;
  }

  /** Connections in transmission. */
  get connectionCount(): number {
    return this.#connectionCount;
  }

  attached(): void {
    this.#connectionCount += 1;
    this.#options.onAttached?.();
  }

  detached(): void {
    this.#connectionCount -= 1;
    this.#options.onDetached?.();
  }

  /** `contextCount`: how many metadata contexts the client has selected for it. */
  transmissionFlags(replyStyle: ReplyStyle, contextCount: number): number {
    const { discard, rotational } = this.device.capabilities;
    const { readOnly } = this;
    return transmissionFlags({ readOnly, discard, rotational, replyStyle, contextCount });
  }
}

/** The promises to a client, from what the device can do and what was negotiated so far. */
export function transmissionFlags(facts: {
  readonly readOnly: boolean;
  readonly discard: boolean;
  readonly rotational: boolean;
  readonly replyStyle: ReplyStyle;
  readonly contextCount: number;
}): number {
  // All connections share one device without any cache in between: several may be used at once.
  let flags =
    TRANSMISSION_FLAGS.HAS_FLAGS |
    TRANSMISSION_FLAGS.SEND_FLUSH |
    TRANSMISSION_FLAGS.SEND_FUA |
    TRANSMISSION_FLAGS.CAN_MULTI_CONN |
    TRANSMISSION_FLAGS.SEND_CACHE;
  if (facts.rotational) flags |= TRANSMISSION_FLAGS.ROTATIONAL;
  if (facts.replyStyle !== 'simple') flags |= TRANSMISSION_FLAGS.SEND_DF;
  if (facts.replyStyle === 'extended' && facts.contextCount > 0) {
    flags |= TRANSMISSION_FLAGS.BLOCK_STATUS_PAYLOAD;
  }
  if (facts.readOnly) return flags | TRANSMISSION_FLAGS.READ_ONLY;
  // FAST_ZERO is understood: it is always refused at once, as no zeroing is promised to be fast.
  flags |= TRANSMISSION_FLAGS.SEND_WRITE_ZEROES | TRANSMISSION_FLAGS.SEND_FAST_ZERO;
  if (facts.discard) flags |= TRANSMISSION_FLAGS.SEND_TRIM;
  return flags;
}

function checkString(what: string, value: string, exportName: string): string {
  const size = Buffer.byteLength(value);
  const where = `Cannot export "${printable(exportName)}"`;
  if (size > NBD_LISTED_STRING_BYTES_MAX) {
    throw new UserError(
      `export-${what}-too-long`,
      `${where}: ${what} has ${size} bytes, must have at most ${NBD_LISTED_STRING_BYTES_MAX}`,
    );
  }
  if (value.includes('\0') || Buffer.from(value).toString() !== value) {
    throw new UserError(
      `export-${what}-invalid`,
      `${where}: ${what} is no text, must be UTF-8 without NUL`,
    );
  }
  return value;
}
