/**
 * What must become of a request, by the text of the NBD protocol (4.3, 4.4) and apart from the
 * product's own gate, so that the two cannot share a mistake.
 */

const EPERM = 1;
const EINVAL = 22;
const ENOSPC = 28;
const EOVERFLOW = 75;
const ENOTSUP = 95;

export const READ = 0;
export const WRITE = 1;
export const DISC = 2;
export const FLUSH = 3;
export const TRIM = 4;
export const CACHE = 5;
export const WRITE_ZEROES = 6;
export const BLOCK_STATUS = 7;

const FUA = 1;
const NO_HOLE = 2;
const DF = 4;
const REQ_ONE = 8;
const FAST_ZERO = 16;
export const PAYLOAD_LEN = 32;

const FLAG = {
  readOnly: 1 << 1,
  flush: 1 << 2,
  fua: 1 << 3,
  trim: 1 << 5,
  writeZeroes: 1 << 6,
  df: 1 << 7,
  fastZero: 1 << 11,
  statusPayload: 1 << 12,
} as const;

export const PAYLOAD_MAX = 64 * 2 ** 20;
const ADVERTISED_MAX = 32 * 2 ** 20;

export interface ObservedRequest {
  readonly type: number;
  readonly flags: number;
  readonly cookie: bigint;
  readonly offset: bigint;
  readonly length: bigint;
}

export interface AgreedFacts {
  readonly size: bigint;
  readonly transmissionFlags: number;
  readonly extended: boolean;
  /** Chunks are used, of whichever kind. */
  readonly chunks: boolean;
  /** A metadata context is selected for this export. */
  readonly hasContexts: boolean;
}

/** Errors of which one must be the answer; 0 is success. */
export function allowedErrors(request: ObservedRequest, facts: AgreedFacts): readonly number[] {
  const { type, flags, offset, length } = request;
  const can = (flag: number): boolean => (facts.transmissionFlags & flag) !== 0;
  if (type > BLOCK_STATUS || type === DISC) return [EINVAL];
  if ((flags & ~allowedFlags(type, facts)) !== 0) return [EINVAL];
  const isWrite = type === WRITE || type === TRIM || type === WRITE_ZEROES;
  if (isWrite && can(FLAG.readOnly)) return [EPERM];
  if (type === FLUSH) {
    return offset === 0n && length === 0n && can(FLAG.flush) ? [0] : [EINVAL];
  }
  if (offset > facts.size || length > facts.size - offset) {
    return [type === WRITE || type === WRITE_ZEROES ? ENOSPC : EINVAL];
  }
  if (type === TRIM && !can(FLAG.trim)) return [EINVAL];
  if (type === WRITE_ZEROES && !can(FLAG.writeZeroes)) return [EINVAL];
  if (type === BLOCK_STATUS) return facts.hasContexts && length > 0n ? [0] : [EINVAL];
  if (type === READ && length > PAYLOAD_MAX) return [EINVAL, EOVERFLOW];
  if (type === READ && (flags & DF) !== 0 && length > ADVERTISED_MAX) return [EOVERFLOW];
  if (type === WRITE_ZEROES && (flags & FAST_ZERO) !== 0) return [ENOTSUP];
  return [0];
}

function allowedFlags(type: number, facts: AgreedFacts): number {
  const can = (flag: number): boolean => (facts.transmissionFlags & flag) !== 0;
  let allowed = can(FLAG.fua) ? FUA : 0;
  if (type === READ && can(FLAG.df)) allowed |= DF;
  if (type === WRITE && facts.extended) allowed |= PAYLOAD_LEN;
  if (type === WRITE_ZEROES && can(FLAG.writeZeroes)) {
    allowed |= NO_HOLE;
    if (can(FLAG.fastZero)) allowed |= FAST_ZERO;
  }
  if (type === BLOCK_STATUS && facts.chunks) {
    allowed |= REQ_ONE;
    if (can(FLAG.statusPayload)) allowed |= PAYLOAD_LEN;
  }
  return allowed;
}

/** The payload of BLOCK_STATUS: contexts by their ids, and the bytes that are meant. */
export interface StatusQuery {
  readonly length: bigint;
  readonly contexts: readonly number[];
}

/** Null where the payload of a BLOCK_STATUS is no query of `selected` contexts, each once. */
export function readStatusQuery(
  payload: Buffer,
  selected: ReadonlySet<number>,
): StatusQuery | null {
  if (payload.length < 12 || payload.length % 4 !== 0) return null;
  const contexts: number[] = [];
  for (let at = 8; at < payload.length; at += 4) contexts.push(payload.readUInt32BE(at));
  const isGood = contexts.every((id) => selected.has(id));
  if (!isGood || new Set(contexts).size !== contexts.length) return null;
  return { length: payload.readBigUInt64BE(0), contexts };
}

export function carriesStatusQuery(request: ObservedRequest, facts: AgreedFacts): boolean {
  const { type, flags } = request;
  const isOffered = (facts.transmissionFlags & FLAG.statusPayload) !== 0;
  return facts.extended && type === BLOCK_STATUS && (flags & PAYLOAD_LEN) !== 0 && isOffered;
}

/** Bytes behind the header. */
export function payloadLength(request: ObservedRequest, extended: boolean): bigint {
  const has = request.type === WRITE || (extended && (request.flags & PAYLOAD_LEN) !== 0);
  return has ? request.length : 0n;
}
