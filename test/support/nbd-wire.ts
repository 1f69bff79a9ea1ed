/**
 * Bytes of the NBD protocol as a client makes and takes them apart. Written from the protocol's
 * text and apart from the product's codec, so that the two cannot share a mistake.
 */

const OPTION_MAGIC = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;

export const GREETING = Buffer.from('4e42444d4147494349484156454f50540003', 'hex');

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

export function clientFlags(flags = 3): Buffer {
  return u32(flags);
}

export function option(code: number, data: Uint8Array | string = ''): Buffer {
  const bytes = Buffer.from(data);
  return Buffer.concat([u64(OPTION_MAGIC), u32(code), u32(bytes.length), bytes]);
}

export function exportName(name = ''): Buffer {
  return option(1, name);
}

/** The data of INFO and GO; wrong counts can be asked for. */
export function infoData(
  name: string,
  infos: readonly number[] = [],
  wrong: { nameLength?: number; count?: number } = {},
): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([
    u32(wrong.nameLength ?? bytes.length),
    bytes,
    u16(wrong.count ?? infos.length),
    ...infos.map(u16),
  ]);
}

export function go(name = '', infos: readonly number[] = []): Buffer {
  return option(7, infoData(name, infos));
}

/** LIST_META_CONTEXT (9) or SET_META_CONTEXT (10). */
export function contexts(code: 9 | 10, name: string, ...queries: readonly string[]): Buffer {
  const string = (text: string): Buffer =>
    Buffer.concat([u32(Buffer.byteLength(text)), Buffer.from(text)]);
  return option(code, Buffer.concat([string(name), u32(queries.length), ...queries.map(string)]));
}

export interface RequestFields {
  readonly flags?: number;
  readonly type: number;
  readonly cookie?: bigint;
  readonly offset?: bigint | number;
  readonly length?: number | bigint;
  readonly payload?: Uint8Array;
  readonly magic?: number;
}

export const READ = 0;
export const WRITE = 1;
export const DISC = 2;
export const FLUSH = 3;
export const TRIM = 4;
export const CACHE = 5;
export const WRITE_ZEROES = 6;
export const BLOCK_STATUS = 7;
export const FUA = 1;
export const NO_HOLE = 2;
export const DF = 4;
export const REQ_ONE = 8;
export const FAST_ZERO = 16;
export const PAYLOAD_LEN = 32;

export const EINVAL = 22;

export function request(fields: RequestFields): Buffer {
  const payload = fields.payload ?? Buffer.alloc(0);
  return Buffer.concat([
    u32(fields.magic ?? 0x25609513),
    u16(fields.flags ?? 0),
    u16(fields.type),
    u64(fields.cookie ?? 0n),
    u64(BigInt(fields.offset ?? 0)),
    u32(Number(fields.length ?? payload.length)),
    payload,
  ]);
}

/** The same with an extended header. */
export function extendedRequest(fields: RequestFields): Buffer {
  const payload = fields.payload ?? Buffer.alloc(0);
  return Buffer.concat([
    u32(fields.magic ?? 0x21e41c71),
    u16(fields.flags ?? 0),
    u16(fields.type),
    u64(fields.cookie ?? 0n),
    u64(BigInt(fields.offset ?? 0)),
    u64(BigInt(fields.length ?? payload.length)),
    payload,
  ]);
}

export function write(offset: number, payload: Uint8Array, cookie = 0n, flags = 0): Buffer {
  return request({ type: WRITE, offset, payload, cookie, flags });
}

export function read(offset: number, length: number, cookie = 0n, flags = 0): Buffer {
  return request({ type: READ, offset, length, cookie, flags });
}

export function disc(): Buffer {
  return request({ type: DISC });
}

export function simpleReply(
  error: number,
  cookie: bigint,
  data: Uint8Array = Buffer.alloc(0),
): Buffer {
  return Buffer.concat([u32(0x67446698), u32(error), u64(cookie), data]);
}

export function optionReply(code: number, type: number, data: Uint8Array | string = ''): Buffer {
  const bytes = Buffer.from(data);
  return Buffer.concat([u64(OPTION_REPLY_MAGIC), u32(code), u32(type), u32(bytes.length), bytes]);
}

export interface OptionReplyFields {
  readonly option: number;
  readonly type: number;
  readonly data: Buffer;
}

export const ACK = 1;
export const ERR_UNSUP = 0x80000001;
export const ERR_POLICY = 0x80000002;
export const ERR_INVALID = 0x80000003;
export const ERR_PLATFORM = 0x80000004;
export const ERR_TLS_REQD = 0x80000005;
export const ERR_UNKNOWN = 0x80000006;
export const ERR_SHUTDOWN = 0x80000007;
export const ERR_TOO_BIG = 0x80000009;
export const ERR_EXT_HEADER_REQD = 0x8000000a;

/** All option replies of `bytes`, which must end with the last of them. */
export function parseOptionReplies(bytes: Buffer): OptionReplyFields[] {
  const replies: OptionReplyFields[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.readBigUInt64BE(at) !== OPTION_REPLY_MAGIC) throw new Error(`No reply at byte ${at}`);
    const length = bytes.readUInt32BE(at + 16);
    const data = bytes.subarray(at + 20, at + 20 + length);
    if (data.length !== length) throw new Error(`Reply at byte ${at} is cut short`);
    replies.push({ option: bytes.readUInt32BE(at + 8), type: bytes.readUInt32BE(at + 12), data });
    at += 20 + length;
  }
  return replies;
}

export interface ReplyFields {
  readonly form: 'simple' | 'chunk';
  readonly cookie: bigint;
  readonly error: number;
  readonly text: string;
  /** Of a simple reply to READ, or the chunk's payload behind its offset. */
  readonly data: Buffer;
  readonly done: boolean;
  readonly type: number;
  readonly offset: bigint;
  /** Only an extended chunk has it. */
  readonly requestOffset?: bigint;
}

/**
 * All transmission replies of `bytes`. A simple reply says nothing of its length: `readLengths` has
 * that of each READ by cookie.
 */
export function parseReplies(
  bytes: Buffer,
  readLengths = new Map<bigint, number>(),
): ReplyFields[] {
  const replies: ReplyFields[] = [];
  for (let at = 0; at < bytes.length; ) {
    const magic = bytes.readUInt32BE(at);
    const cookie = bytes.readBigUInt64BE(at + 8);
    if (magic === 0x67446698) {
      const error = bytes.readUInt32BE(at + 4);
      const length = error === 0 ? (readLengths.get(cookie) ?? 0) : 0;
      const data = bytes.subarray(at + 16, at + 16 + length);
      if (data.length !== length) throw new Error(`Reply at byte ${at} is cut short`);
      replies.push({
        ...{ form: 'simple', cookie, error, text: '', data, done: true, type: -1, offset: 0n },
      });
      at += 16 + length;
    } else if (magic === 0x668e33ef) {
      const length = bytes.readUInt32BE(at + 16);
      const payload = bytes.subarray(at + 20, at + 20 + length);
      if (payload.length !== length) throw new Error(`Chunk at byte ${at} is cut short`);
      replies.push(parseChunk(bytes.subarray(at, at + 20), payload));
      at += 20 + length;
    } else if (magic === 0x6e8a278c) {
      const length = Number(bytes.readBigUInt64BE(at + 24));
      const payload = bytes.subarray(at + 32, at + 32 + length);
      if (payload.length !== length) throw new Error(`Chunk at byte ${at} is cut short`);
      const requestOffset = bytes.readBigUInt64BE(at + 16);
      replies.push({ ...parseChunk(bytes.subarray(at, at + 20), payload), requestOffset });
      at += 32 + length;
    } else {
      throw new Error(`No reply at byte ${at}: ${bytes.toString('hex', at, at + 16)}`);
    }
  }
  return replies;
}

function parseChunk(header: Buffer, payload: Buffer): ReplyFields {
  const type = header.readUInt16BE(6);
  const isError = (type & 0x8000) !== 0;
  const isData = type === 1 || type === 2;
  return {
    form: 'chunk',
    cookie: header.readBigUInt64BE(8),
    done: header.readUInt16BE(4) === 1,
    type,
    error: isError ? payload.readUInt32BE(0) : 0,
    text: isError ? payload.toString('utf8', 6, 6 + payload.readUInt16BE(4)) : '',
    offset: isData ? payload.readBigUInt64BE(0) : 0n,
    data: isData ? payload.subarray(8) : payload,
  };
}

/** The context and the extents, `[length, status]` each, of a status chunk of either form. */
export function parseStatus({ type, data }: ReplyFields): [number, [bigint, bigint][]] {
  const isWide = type === 6;
  if (!isWide && type !== 5) throw new Error(`Chunk type ${type} is no status`);
  const start = isWide ? 8 : 4;
  const size = isWide ? 16 : 8;
  const count = (data.length - start) / size;
  if (isWide && data.readUInt32BE(4) !== count) throw new Error('A wrong count of extents');
  const wide = (at: number): bigint => data.readBigUInt64BE(at);
  const narrow = (at: number): bigint => BigInt(data.readUInt32BE(at));
  const value = isWide ? wide : narrow;
  const extents = Array.from({ length: count }, (_, index): [bigint, bigint] => {
    const at = start + index * size;
    return [value(at), value(at + size / 2)];
  });
  return [data.readUInt32BE(0), extents];
}

/** The id and the name of a META_CONTEXT reply. */
export function parseContext({ data }: OptionReplyFields): [number, string] {
  return [data.readUInt32BE(0), data.toString('utf8', 4)];
}
