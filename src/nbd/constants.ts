/**
 * Every number of the NBD protocol that this program speaks, under the name that the NBD protocol
 * gives it, with name tables for messages. Nothing is decided here.
 */

/** "NBDMAGIC" and "IHAVEOPT", each as two 32-bit halves. */
export const NBDMAGIC_HIGH = 0x4e42444d;
export const NBDMAGIC_LOW = 0x41474943;
export const IHAVEOPT_HIGH = 0x49484156;
export const IHAVEOPT_LOW = 0x454f5054;
export const OPTION_REPLY_MAGIC_HIGH = 0x0003e889;
export const OPTION_REPLY_MAGIC_LOW = 0x045565a9;

export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;
export const EXTENDED_REQUEST_MAGIC = 0x21e41c71;
export const EXTENDED_REPLY_MAGIC = 0x6e8a278c;

export const GREETING_SIZE = 18;
export const CLIENT_FLAGS_SIZE = 4;
export const OPTION_HEADER_SIZE = 16;
export const OPTION_REPLY_HEADER_SIZE = 20;
export const REQUEST_SIZE = 28;
export const EXTENDED_REQUEST_SIZE = 32;
export const SIMPLE_REPLY_SIZE = 16;
export const CHUNK_HEADER_SIZE = 20;
export const EXTENDED_CHUNK_HEADER_SIZE = 32;
/** The offset in front of the data of an OFFSET_DATA chunk. */
export const CHUNK_OFFSET_SIZE = 8;
/** Zeroes behind the answer to EXPORT_NAME, unless both sides agreed on NO_ZEROES. */
export const EXPORT_NAME_PADDING = 124;

/** The longest string of the protocol, in bytes. */
export const STRING_SIZE_MAX = 4096;

/** IANA's port for NBD. */
export const DEFAULT_PORT = 10_809;

export const HANDSHAKE_FLAGS = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;
export const CLIENT_FLAGS = { C_FIXED_NEWSTYLE: 1, C_NO_ZEROES: 2 } as const;

export const OPTIONS = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const;

export const OPTION_REPLIES = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_PLATFORM: 0x80000004,
  ERR_TLS_REQD: 0x80000005,
  ERR_UNKNOWN: 0x80000006,
  ERR_SHUTDOWN: 0x80000007,
  ERR_BLOCK_SIZE_REQD: 0x80000008,
  ERR_TOO_BIG: 0x80000009,
  ERR_EXT_HEADER_REQD: 0x8000000a,
} as const;

/** The bit of an option reply's type that marks an error, as a number to compare with. */
export const OPTION_ERROR_MIN = 0x80000000;

export const INFOS = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

export const TRANSMISSION_FLAGS = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_RESIZE: 1 << 9,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
  BLOCK_STATUS_PAYLOAD: 1 << 12,
} as const;

export const COMMANDS = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

export const COMMAND_FLAGS = {
  FUA: 1 << 0,
  NO_HOLE: 1 << 1,
  DF: 1 << 2,
  REQ_ONE: 1 << 3,
  FAST_ZERO: 1 << 4,
  PAYLOAD_LEN: 1 << 5,
} as const;

export const REPLY_FLAG_DONE = 1;

export const CHUNKS = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  BLOCK_STATUS_EXT: 6,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

/** The bit of a chunk's type that marks an error. */
export const CHUNK_ERROR_BIT = 0x8000;

/** Status flags of the context `base:allocation`. */
export const ALLOCATION = { HOLE: 1 << 0, ZERO: 1 << 1 } as const;

/** The only error numbers that may appear on the wire. */
export const NBD_ERRORS = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** "GO" for 7; "option 99" for one without a name here. */
export function optionName(option: number): string {
  return nameOf(OPTIONS, option) ?? `option ${option}`;
}

export function optionReplyName(type: number): string {
  return nameOf(OPTION_REPLIES, type) ?? `reply type ${type}`;
}

export function commandName(command: number): string {
  return nameOf(COMMANDS, command) ?? `command ${command}`;
}

export function nbdErrorName(error: number): string {
  return nameOf(NBD_ERRORS, error) ?? `error ${error}`;
}

/** "HAS_FLAGS SEND_FLUSH" for 5, for logs and tests. */
export function transmissionFlagNames(flags: number): string {
  return Object.entries(TRANSMISSION_FLAGS)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name)
    .join(' ');
}

function nameOf(table: Readonly<Record<string, number>>, value: number): string | undefined {
  return Object.entries(table).find(([, number]) => number === value)?.[0];
}
