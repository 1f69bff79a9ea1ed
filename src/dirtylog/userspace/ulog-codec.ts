/**
 * Messages between a mirror and a log server: the structure, and how it travels over a stream.
 *
 * Counterpart: `struct dm_ulog_request` (specification 10.1). 160 bytes, then the data; numbers in
 * the host's order, which is little-endian on every machine that Node.js runs on here:
 *
 *     0    8   luid          a number of the log instance, chosen by the mirror's side
 *     8  129   uuid          the name of the log, padded with NUL
 *   137    3   padding
 *   140    4   version       3
 *   144    4   error         replies: 0, or an errno as a negative number
 *   148    4   seq           a reply has that of its request
 *   152    4   request_type  in the low 8 bits
 *   156    4   data_size     bytes that follow
 *
 * Over a unix stream socket messages follow each other without anything between them; `data_size`
 * tells where one ends. The mirror's side connects and asks, the server answers, in any order: a
 * reply is the structure of its request (luid, uuid, seq, request_type) with `error` and the data
 * of the answer in it. One connection carries any number of logs. What cannot be a message (see
 * `decodeUlogHeader`) ends the connection; everything else has an answer, if need be an error.
 * The kernel's connector carries the same structure behind its own two headers. What the data of
 * each type are is in `ulog-payloads.ts`.
 */

import { assert } from '../../base/assert.ts';

export const ULOG_VERSION = 3;
export const ULOG_HEADER_BYTES = 160;
const UUID_OFFSET = 8;
const UUID_FIELD_BYTES = 129;
/** Without the NUL that ends it. */
export const ULOG_UUID_BYTES_MAX = UUID_FIELD_BYTES - 1;
/** What one request carries: the kernel's send buffer of 512 bytes without the two headers. */
export const ULOG_REQUEST_DATA_BYTES_MAX = 332;
/**
 * What is taken from the socket as one message. Only a status is longer than a request; the kernel
 * has this much room for one.
 */
export const ULOG_DATA_BYTES_MAX = 16_384;
const TYPE_MASK = 0xff;

export interface UlogMessage {
  readonly luid: bigint;
  readonly uuid: string;
  readonly version: number;
  /** 0, or the negative of a Linux errno; as it came. */
  readonly error: number;
  readonly seq: number;
  /** 0 to 255; it need not be one that is known. */
  readonly requestType: number;
  readonly data: Uint8Array;
}

/** A value out of foreign bytes, or what is wrong with them, for a log line. */
export type Decoded<T> =
  | { readonly value: T; readonly problem: null }
  | { readonly value: null; readonly problem: string };

export function decoded<T>(value: T): Decoded<T> {
  return { value, problem: null };
}

export function undecodable(problem: string): Decoded<never> {
  return { value: null, problem };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** The bytes of a text as they stand in a message. */
export function ulogTextBytes(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Up to the first NUL, or to the end; null where it is no UTF-8. */
export function decodeUlogText(bytes: Uint8Array): string | null {
  const nul = bytes.indexOf(0);
  try {
    return utf8.decode(nul < 0 ? bytes : bytes.subarray(0, nul));
  } catch {
    return null;
  }
}

/** Message after message is about the same log: its name is not encoded, nor decoded, each time. */
const lastUuid = { text: '', field: new Uint8Array(UUID_FIELD_BYTES) };

function uuidBytes(uuid: string): Uint8Array {
  if (uuid === lastUuid.text) return lastUuid.field;
  const field = new Uint8Array(UUID_FIELD_BYTES);
  const { read } = encoder.encodeInto(uuid, field.subarray(0, ULOG_UUID_BYTES_MAX));
  assert(read === uuid.length, `Log uuid is longer than ${ULOG_UUID_BYTES_MAX} bytes`);
  // One that is no proper text would come back as another.
  if (decodeUlogText(field) !== uuid) return field;
  lastUuid.text = uuid;
  lastUuid.field = field;
  return field;
}

/** Null where the field holds no UTF-8, or does not end. */
function uuidText(field: Uint8Array): string | null {
  if (Buffer.compare(field, lastUuid.field) === 0) return lastUuid.text;
  const text = field.includes(0) ? decodeUlogText(field) : null;
  // What is behind the NUL means nothing; a name is remembered only with nothing there.
  if (text !== null) uuidBytes(text);
  return text;
}

/** The whole message in one piece. The caller has seen to the lengths of uuid and data. */
export function encodeUlogMessage(message: UlogMessage): Uint8Array {
  const { data } = message;
  assert(data.length <= ULOG_DATA_BYTES_MAX, `Log message has ${data.length} bytes of data`);
  const bytes = new Uint8Array(ULOG_HEADER_BYTES + data.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, message.luid, true);
  bytes.set(uuidBytes(message.uuid), UUID_OFFSET);
  view.setUint32(140, message.version, true);
  view.setInt32(144, message.error, true);
  view.setUint32(148, message.seq, true);
  view.setUint32(152, message.requestType, true);
  view.setUint32(156, data.length, true);
  bytes.set(data, ULOG_HEADER_BYTES);
  return bytes;
}

/** A header with the size of the data behind it, which are not there yet. */
interface UlogHeader extends Omit<UlogMessage, 'data'> {
  readonly dataSize: number;
}

/** Refuses a uuid without its NUL or that is no UTF-8, and more data than a message may have. */
function decodeUlogHeader(bytes: Uint8Array): Decoded<UlogHeader> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, ULOG_HEADER_BYTES);
  const dataSize = view.getUint32(156, true);
  if (dataSize > ULOG_DATA_BYTES_MAX) {
    return undecodable(`data_size is ${dataSize}, must be at most ${ULOG_DATA_BYTES_MAX}`);
  }
  const field = bytes.subarray(UUID_OFFSET, UUID_OFFSET + UUID_FIELD_BYTES);
  const uuid = uuidText(field);
  if (uuid === null) {
    return undecodable(`uuid must be UTF-8 of at most ${ULOG_UUID_BYTES_MAX} bytes, then NUL`);
  }
  return decoded({
    luid: view.getBigUint64(0, true),
    uuid,
    version: view.getUint32(140, true),
    error: view.getInt32(144, true),
    seq: view.getUint32(148, true),
    requestType: view.getUint32(152, true) & TYPE_MASK,
    dataSize,
  });
}

/** One message that arrived in one piece, such as a datagram: exactly these bytes. */
export function decodeUlogMessage(bytes: Uint8Array): Decoded<UlogMessage> {
  if (bytes.length < ULOG_HEADER_BYTES) {
    return undecodable(`message has ${bytes.length} bytes, must be at least ${ULOG_HEADER_BYTES}`);
  }
  const header = decodeUlogHeader(bytes);
  if (header.problem !== null) return header;
  const { dataSize, ...fields } = header.value;
  const behind = bytes.length - ULOG_HEADER_BYTES;
  if (dataSize !== behind) return undecodable(`data_size is ${dataSize}, ${behind} bytes follow`);
  return decoded({ ...fields, data: Uint8Array.from(bytes.subarray(ULOG_HEADER_BYTES)) });
}

const NOTHING = new Uint8Array(0);

/** Received bytes in pieces of any size, messages out. It holds at most one unfinished message. */
export class UlogReader {
  #rest: Uint8Array = NOTHING;
  #problem: string | null = null;

  /** Bytes of a message whose end has not come; a stream that ends now was cut off. */
  get unfinishedBytes(): number {
    return this.#rest.length;
  }

  /**
   * Hands each message that is now whole to `take`, in order. Answers what makes the stream
   * unusable, null as long as nothing does; after that it takes nothing more.
   */
  push(received: Uint8Array, take: (message: UlogMessage) => void): string | null {
    if (this.#problem !== null) return this.#problem;
    let bytes = joined(this.#rest, received);
    // Messages may come in while one is handled: what is left must be in its place by then.
    this.#rest = bytes;
    while (bytes.length >= ULOG_HEADER_BYTES) {
      const header = decodeUlogHeader(bytes);
      if (header.problem !== null) {
        this.#problem = header.problem;
        this.#rest = new Uint8Array(0);
        return header.problem;
      }
      const { dataSize, ...fields } = header.value;
      const end = ULOG_HEADER_BYTES + dataSize;
      if (bytes.length < end) break;
      const data = Uint8Array.from(bytes.subarray(ULOG_HEADER_BYTES, end));
      bytes = bytes.subarray(end);
      this.#rest = bytes;
      take({ ...fields, data });
    }
    // A copy, so that a few bytes do not keep the whole buffer they came in.
    this.#rest = bytes.length === 0 ? NOTHING : Uint8Array.from(bytes);
    return null;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
