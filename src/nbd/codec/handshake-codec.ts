/** Messages of the handshake: values to bytes and back, with every length checked exactly. */

import {
  EXPORT_NAME_PADDING,
  GREETING_SIZE,
  IHAVEOPT_HIGH,
  IHAVEOPT_LOW,
  INFOS,
  NBDMAGIC_HIGH,
  NBDMAGIC_LOW,
  OPTION_HEADER_SIZE,
  OPTION_REPLIES,
  OPTION_REPLY_HEADER_SIZE,
  OPTION_REPLY_MAGIC_HIGH,
  OPTION_REPLY_MAGIC_LOW,
  STRING_SIZE_MAX,
} from '../constants.ts';

export interface OptionHeader {
  readonly option: number;
  readonly length: number;
}

export interface OptionReply {
  readonly option: number;
  readonly type: number;
  readonly length: number;
}

/** The data of INFO and GO. */
export interface InfoRequest {
  readonly name: string;
  readonly infos: ReadonlySet<number>;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `flags`: bits of `HANDSHAKE_FLAGS`. */
export function encodeGreeting(flags: number): Buffer {
  const bytes = Buffer.allocUnsafe(GREETING_SIZE);
  bytes.writeUInt32BE(NBDMAGIC_HIGH, 0);
  bytes.writeUInt32BE(NBDMAGIC_LOW, 4);
  bytes.writeUInt32BE(IHAVEOPT_HIGH, 8);
  bytes.writeUInt32BE(IHAVEOPT_LOW, 12);
  bytes.writeUInt16BE(flags, 16);
  return bytes;
}

/** The handshake flags; `null` when it is no greeting of a newstyle server. */
export function decodeGreeting(bytes: Buffer): number | null {
  const isNewstyle =
    bytes.readUInt32BE(0) === NBDMAGIC_HIGH &&
    bytes.readUInt32BE(4) === NBDMAGIC_LOW &&
    bytes.readUInt32BE(8) === IHAVEOPT_HIGH &&
    bytes.readUInt32BE(12) === IHAVEOPT_LOW;
  return isNewstyle ? bytes.readUInt16BE(16) : null;
}

export function encodeOption(option: number, data: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(OPTION_HEADER_SIZE + data.length);
  bytes.writeUInt32BE(IHAVEOPT_HIGH, 0);
  bytes.writeUInt32BE(IHAVEOPT_LOW, 4);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(data.length, 12);
  bytes.set(data, OPTION_HEADER_SIZE);
  return bytes;
}

/** `null` when the magic is wrong. */
export function decodeOptionHeader(bytes: Buffer): OptionHeader | null {
  if (bytes.readUInt32BE(0) !== IHAVEOPT_HIGH || bytes.readUInt32BE(4) !== IHAVEOPT_LOW)
    return null;
  return { option: bytes.readUInt32BE(8), length: bytes.readUInt32BE(12) };
}

export function encodeOptionReply(option: number, type: number, data?: Uint8Array): Buffer {
  const length = data?.length ?? 0;
  const bytes = Buffer.allocUnsafe(OPTION_REPLY_HEADER_SIZE + length);
  bytes.writeUInt32BE(OPTION_REPLY_MAGIC_HIGH, 0);
  bytes.writeUInt32BE(OPTION_REPLY_MAGIC_LOW, 4);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(type, 12);
  bytes.writeUInt32BE(length, 16);
  if (data !== undefined) bytes.set(data, OPTION_REPLY_HEADER_SIZE);
  return bytes;
}

/** `null` when the magic is wrong. */
export function decodeOptionReply(bytes: Buffer): OptionReply | null {
  const isReply =
    bytes.readUInt32BE(0) === OPTION_REPLY_MAGIC_HIGH &&
    bytes.readUInt32BE(4) === OPTION_REPLY_MAGIC_LOW;
  if (!isReply) return null;
  return {
    option: bytes.readUInt32BE(8),
    type: bytes.readUInt32BE(12),
    length: bytes.readUInt32BE(16),
  };
}

/** One entry of LIST. */
export function encodeServerReply(option: number, name: string, description: string): Buffer {
  const nameBytes = Buffer.from(name);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(nameBytes.length, 0);
  const data = Buffer.concat([length, nameBytes, Buffer.from(description)]);
  return encodeOptionReply(option, OPTION_REPLIES.SERVER, data);
}

export function encodeExportInfo(option: number, size: number, flags: number): Buffer {
  const data = Buffer.allocUnsafe(12);
  data.writeUInt16BE(INFOS.EXPORT, 0);
  writeSize(data, 2, size);
  data.writeUInt16BE(flags, 10);
  return encodeOptionReply(option, OPTION_REPLIES.INFO, data);
}

export function encodeTextInfo(option: number, info: number, text: string): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(info, 0);
  return encodeOptionReply(option, OPTION_REPLIES.INFO, Buffer.concat([type, Buffer.from(text)]));
}

export function encodeBlockSizeInfo(
  option: number,
  sizes: { readonly minimum: number; readonly preferred: number; readonly maximum: number },
): Buffer {
  const data = Buffer.allocUnsafe(14);
  data.writeUInt16BE(INFOS.BLOCK_SIZE, 0);
  data.writeUInt32BE(sizes.minimum, 2);
  data.writeUInt32BE(sizes.preferred, 6);
  data.writeUInt32BE(sizes.maximum, 10);
  return encodeOptionReply(option, OPTION_REPLIES.INFO, data);
}

/** The answer to EXPORT_NAME, the only one without a frame. */
export function encodeExportNameAnswer(size: number, flags: number, noZeroes: boolean): Buffer {
  const bytes = Buffer.alloc(10 + (noZeroes ? 0 : EXPORT_NAME_PADDING));
  writeSize(bytes, 0, size);
  bytes.writeUInt16BE(flags, 8);
  return bytes;
}

export function encodeInfoRequest(name: string, infos: readonly number[]): Buffer {
  const nameBytes = Buffer.from(name);
  const bytes = Buffer.allocUnsafe(4 + nameBytes.length + 2 + 2 * infos.length);
  bytes.writeUInt32BE(nameBytes.length, 0);
  bytes.set(nameBytes, 4);
  let at = bytes.writeUInt16BE(infos.length, 4 + nameBytes.length);
  for (const info of infos) at = bytes.writeUInt16BE(info, at);
  return bytes;
}

/** The data of INFO or GO, or in one sentence what is wrong with it. */
export function decodeInfoRequest(data: Buffer): InfoRequest | string {
  if (data.length < 6) return `data has ${data.length} bytes, must have at least 6`;
  const nameSize = data.readUInt32BE(0);
  if (nameSize > data.length - 6) return `name of ${nameSize} bytes does not fit in the data`;
  const count = data.readUInt16BE(4 + nameSize);
  const expected = 4 + nameSize + 2 + 2 * count;
  if (data.length !== expected) return `data has ${data.length} bytes, must have ${expected}`;
  const name = decodeName(data.subarray(4, 4 + nameSize));
  if (name === null) return 'name is no UTF-8 of at most 4096 bytes without NUL';
  const infos = new Set<number>();
  for (let i = 0; i < count; i++) infos.add(data.readUInt16BE(4 + nameSize + 2 + 2 * i));
  return { name, infos };
}

/** An export name; `null` when it is too long, or no text. */
export function decodeName(bytes: Uint8Array): string | null {
  if (bytes.length > STRING_SIZE_MAX || bytes.includes(0)) return null;
  try {
    return utf8.decode(bytes);
  } catch {
    // The decoder throws for ill-formed UTF-8, and for nothing else.
    return null;
  }
}

function writeSize(bytes: Buffer, at: number, size: number): void {
  bytes.writeUInt32BE(Math.floor(size / 2 ** 32), at);
  bytes.writeUInt32BE(size % 2 ** 32, at + 4);
}
