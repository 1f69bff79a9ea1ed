/** Replies of the transmission phase taken apart, in all three forms (NBD protocol, 4.1, 9). */

import type { ByteStream } from './byte-stream.ts';

const SIMPLE_MAGIC = 0x67446698;
const CHUNK_MAGIC = 0x668e33ef;
const EXTENDED_MAGIC = 0x6e8a278c;
const NONE = 0;
const OFFSET_DATA = 1;
const OFFSET_HOLE = 2;
const STATUS = 5;
const STATUS_EXT = 6;
const ERROR = 0x8001;
const ERROR_OFFSET = 0x8002;
const CHUNK_MAX = 32 * 2 ** 20 + 8;
const TEXT_MAX = 4096;
const NO_DATA = Buffer.alloc(0);

export interface SeenReply {
  readonly kind: 'simple' | 'none' | 'content' | 'status' | 'error';
  readonly cookie: bigint;
  readonly error: number;
  readonly done: boolean;
  /** Of an extended reply. */
  readonly requestOffset: bigint;
  readonly data: Buffer;
  readonly content: { readonly offset: bigint; readonly size: number } | null;
  readonly status: { readonly context: number; readonly extents: readonly bigint[] } | null;
}

const EMPTY = {
  error: 0,
  requestOffset: 0n,
  data: NO_DATA,
  content: null,
  status: null,
} as const;

/** Null when it is not there whole. `readLength` says how much data a success carries. */
export function readSimpleReply(
  stream: ByteStream,
  readLength: (cookie: bigint) => number,
): SeenReply | null {
  const header = stream.peek(16);
  if (header === null) return null;
  if (header.readUInt32BE(0) !== SIMPLE_MAGIC)
    throw new Error(`a reply begins with ${header.toString('hex')}`);
  const error = header.readUInt32BE(4);
  const cookie = header.readBigUInt64BE(8);
  const length = error === 0 ? readLength(cookie) : 0;
  const whole = stream.take(16 + length);
  if (whole === null) return null;
  return { ...EMPTY, kind: 'simple', cookie, error, done: true, data: whole.subarray(16) };
}

export function beginsChunk(stream: ByteStream, extended: boolean): boolean {
  const magic = stream.peek(4)?.readUInt32BE(0);
  return magic === (extended ? EXTENDED_MAGIC : CHUNK_MAGIC);
}

/** The chunk that begins here; null when it is not there whole. */
export function readChunk(stream: ByteStream, extended: boolean): SeenReply | null {
  const size = extended ? 32 : 20;
  const header = stream.peek(size);
  if (header === null) return null;
  const length = extended ? Number(header.readBigUInt64BE(24)) : header.readUInt32BE(16);
  if (length > CHUNK_MAX) throw new Error(`a chunk has ${length} bytes`);
  const payload = stream.peek(length, size);
  if (payload === null) return null;
  const flags = header.readUInt16BE(4);
  if ((flags & ~1) !== 0) throw new Error(`a chunk has flags ${flags}`);
  const common = {
    ...EMPTY,
    cookie: header.readBigUInt64BE(8),
    done: flags === 1,
    requestOffset: extended ? header.readBigUInt64BE(16) : 0n,
  };
  const reply = { ...common, ...readPayload(header.readUInt16BE(6), payload, extended) };
  stream.take(size + length);
  return reply;
}

function readPayload(
  type: number,
  payload: Buffer,
  extended: boolean,
): Partial<SeenReply> & Pick<SeenReply, 'kind'> {
  if (type === NONE && payload.length === 0) return { kind: 'none' };
  if (type === OFFSET_DATA && payload.length > 8) {
    const data = payload.subarray(8);
    return {
      kind: 'content',
      data,
      content: { offset: payload.readBigUInt64BE(0), size: data.length },
    };
  }
  if (type === OFFSET_HOLE && payload.length === 12) {
    const content = { offset: payload.readBigUInt64BE(0), size: payload.readUInt32BE(8) };
    if (content.size === 0) throw new Error('a hole is empty');
    return { kind: 'content', content };
  }
  if (type === (extended ? STATUS_EXT : STATUS)) return readStatus(payload, extended);
  if (type === ERROR || type === ERROR_OFFSET) return readError(type, payload);
  throw new Error(`a chunk of type ${type} has ${payload.length} bytes`);
}

function readStatus(payload: Buffer, extended: boolean): Pick<SeenReply, 'kind' | 'status'> {
  const head = extended ? 8 : 4;
  const each = extended ? 16 : 8;
  if (payload.length < head || (payload.length - head) % each !== 0)
    throw new Error('a status chunk has a wrong length');
  const extents: bigint[] = [];
  for (let at = head; at < payload.length; at += each) {
    extents.push(extended ? payload.readBigUInt64BE(at) : BigInt(payload.readUInt32BE(at)));
  }
  if (extended && payload.readUInt32BE(4) !== extents.length)
    throw new Error('a status chunk has a wrong count');
  return { kind: 'status', status: { context: payload.readUInt32BE(0), extents } };
}

function readError(type: number, payload: Buffer): Pick<SeenReply, 'kind' | 'error'> {
  if (payload.length < 6) throw new Error('an error chunk is too short');
  const error = payload.readUInt32BE(0);
  const textLength = payload.readUInt16BE(4);
  const tail = type === ERROR_OFFSET ? 8 : 0;
  if (payload.length !== 6 + textLength + tail) throw new Error('an error chunk has wrong lengths');
  if (error === 0) throw new Error('an error chunk has no error');
  if (textLength > TEXT_MAX) throw new Error(`an error text has ${textLength} bytes`);
  return { kind: 'error', error };
}
