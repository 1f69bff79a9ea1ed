/**
 * What the data of each message between a mirror and a log server are, in both directions
 * (specification 10.4). Numbers are 64 bits, little-endian; regions and counts beyond 2^53 belong
 * to no log and are refused. All decoders take hostile bytes: a wrong length is a problem.
 */

import { assert } from '../../base/assert.ts';
import type { Region } from '../../base/units.ts';
import {
  type Decoded,
  decoded,
  decodeUlogText,
  ULOG_REQUEST_DATA_BYTES_MAX,
  ulogTextBytes,
  undecodable,
} from './ulog-codec.ts';

export const ULOG_CTR = 1;
export const ULOG_DTR = 2;
export const ULOG_PRESUSPEND = 3;
export const ULOG_POSTSUSPEND = 4;
export const ULOG_RESUME = 5;
export const ULOG_GET_REGION_SIZE = 6;
export const ULOG_IS_CLEAN = 7;
export const ULOG_IN_SYNC = 8;
export const ULOG_FLUSH = 9;
export const ULOG_MARK_REGION = 10;
export const ULOG_CLEAR_REGION = 11;
export const ULOG_GET_RESYNC_WORK = 12;
export const ULOG_SET_REGION_SYNC = 13;
export const ULOG_GET_SYNC_COUNT = 14;
export const ULOG_STATUS_INFO = 15;
export const ULOG_STATUS_TABLE = 16;
export const ULOG_IS_REMOTE_RECOVERING = 17;
/**
 * Ours, and asked only of a log that is shared by nodes: how long the mirror may rely on its marks
 * (docs/internals/cluster-log.md). The kernel's numbers are far below.
 */
export const ULOG_LEASE = 64;

/** By number, as the kernel's header calls them, without `DM_ULOG_`. */
const TYPE_NAMES: readonly string[] = [
  '',
  'CTR',
  'DTR',
  'PRESUSPEND',
  'POSTSUSPEND',
  'RESUME',
  'GET_REGION_SIZE',
  'IS_CLEAN',
  'IN_SYNC',
  'FLUSH',
  'MARK_REGION',
  'CLEAR_REGION',
  'GET_RESYNC_WORK',
  'SET_REGION_SYNC',
  'GET_SYNC_COUNT',
  'STATUS_INFO',
  'STATUS_TABLE',
  'IS_REMOTE_RECOVERING',
];

/** "FLUSH" for 9; "type 99" for a number that nobody knows. */
export function ulogTypeName(type: number): string {
  if (type === ULOG_LEASE) return 'LEASE';
  return TYPE_NAMES[type] || `type ${type}`;
}

/** Regions of one MARK_REGION, CLEAR_REGION or FLUSH. */
export const ULOG_REGIONS_MAX = 32;
/** The device name that a CTR may answer, with its NUL. */
export const ULOG_DEVICE_NAME_BYTES_MAX = 128;
const NO_DATA = new Uint8Array(0);

// --- requests -----------------------------------------------------------------------------------

/** A request with its data understood. */
export type UlogRequest =
  | { readonly type: typeof ULOG_CTR; readonly text: string }
  | { readonly type: BareType }
  | { readonly type: RegionType; readonly region: Region }
  | { readonly type: RegionsType; readonly regions: readonly Region[] }
  | {
      readonly type: typeof ULOG_SET_REGION_SYNC;
      readonly region: Region;
      readonly inSync: boolean;
    };

export type BareType =
  | typeof ULOG_DTR
  | typeof ULOG_PRESUSPEND
  | typeof ULOG_POSTSUSPEND
  | typeof ULOG_RESUME
  | typeof ULOG_GET_REGION_SIZE
  | typeof ULOG_GET_RESYNC_WORK
  | typeof ULOG_GET_SYNC_COUNT
  | typeof ULOG_STATUS_INFO
  | typeof ULOG_STATUS_TABLE
  | typeof ULOG_LEASE;

export type RegionType =
  | typeof ULOG_IS_CLEAN
  | typeof ULOG_IN_SYNC
  | typeof ULOG_IS_REMOTE_RECOVERING;

/** A FLUSH names regions to mark only with `integrated_flush`; otherwise it has none. */
export type RegionsType = typeof ULOG_FLUSH | typeof ULOG_MARK_REGION | typeof ULOG_CLEAR_REGION;

/** The data of a request. The text of a CTR is as long as the caller let it be. */
export function encodeUlogRequest(request: UlogRequest): Uint8Array {
  switch (request.type) {
    case ULOG_CTR:
      return ulogTextBytes(request.text);
    case ULOG_IS_CLEAN:
    case ULOG_IN_SYNC:
    case ULOG_IS_REMOTE_RECOVERING:
      return encodeNumbers(request.region);
    case ULOG_FLUSH:
    case ULOG_MARK_REGION:
    case ULOG_CLEAR_REGION:
      assert(request.regions.length <= ULOG_REGIONS_MAX, 'Too many regions in one log request');
      return encodeNumbers(...request.regions);
    case ULOG_SET_REGION_SYNC:
      return encodeNumbers(request.region, request.inSync ? 1 : 0);
    default:
      return NO_DATA;
  }
}

/** An unknown type, and data that do not fit the type, are problems. */
export function decodeUlogRequest(type: number, data: Uint8Array): Decoded<UlogRequest> {
  if (data.length > ULOG_REQUEST_DATA_BYTES_MAX) {
    return wrongData(type, data, `at most ${ULOG_REQUEST_DATA_BYTES_MAX} bytes`);
  }
  switch (type) {
    case ULOG_CTR: {
      const text = decodeUlogText(data);
      return text === null ? wrongData(type, data, 'UTF-8') : decoded({ type, text });
    }
    case ULOG_DTR:
    case ULOG_PRESUSPEND:
    case ULOG_POSTSUSPEND:
    case ULOG_RESUME:
    case ULOG_GET_REGION_SIZE:
    case ULOG_GET_RESYNC_WORK:
    case ULOG_GET_SYNC_COUNT:
    case ULOG_STATUS_INFO:
    case ULOG_STATUS_TABLE:
    case ULOG_LEASE:
      return data.length === 0 ? decoded({ type }) : wrongData(type, data, 'nothing');
    case ULOG_IS_CLEAN:
    case ULOG_IN_SYNC:
    case ULOG_IS_REMOTE_RECOVERING: {
      const regions = decodeNumbers(data, 1, 1);
      if (regions === null) return wrongData(type, data, 'one region');
      return decoded({ type, region: regions[0] as Region });
    }
    case ULOG_FLUSH:
    case ULOG_MARK_REGION:
    case ULOG_CLEAR_REGION: {
      const regions = decodeNumbers(data, type === ULOG_FLUSH ? 0 : 1, ULOG_REGIONS_MAX);
      if (regions === null) return wrongData(type, data, `up to ${ULOG_REGIONS_MAX} regions`);
      return decoded({ type, regions: regions as Region[] });
    }
    case ULOG_SET_REGION_SYNC:
      return decodeSetRegionSync(data);
    default:
      return undecodable(`request has type ${type}, must be 1 to ${TYPE_NAMES.length - 1}`);
  }
}

function decodeSetRegionSync(data: Uint8Array): Decoded<UlogRequest> {
  const type = ULOG_SET_REGION_SYNC;
  const region = decodeNumbers(data.subarray(0, 8), 1, 1);
  if (region === null || data.length !== 16) return wrongData(type, data, 'a region and a number');
  // Any number but 0 means in sync.
  const inSync = data.subarray(8).some((byte) => byte !== 0);
  return decoded({ type, region: region[0] as Region, inSync });
}

// --- answers ------------------------------------------------------------------------------------

/** CTR: the log's own device, which the mirror's side opens too; null where there is none. */
export function encodeDeviceName(name: string | null): Uint8Array {
  return name === null ? NO_DATA : encodeText(name);
}

export function decodeDeviceName(data: Uint8Array): Decoded<string | null> {
  if (data.length === 0) return decoded(null);
  const name = data.at(-1) === 0 ? decodeUlogText(data) : null;
  return name === null ? wrongData(ULOG_CTR, data, 'UTF-8 that ends with NUL') : decoded(name);
}

/** GET_REGION_SIZE: sectors; GET_SYNC_COUNT: regions. */
export function encodeCount(count: number): Uint8Array {
  return encodeNumbers(count);
}

export function decodeCount(type: number, data: Uint8Array): Decoded<number> {
  const numbers = decodeNumbers(data, 1, 1);
  return numbers === null ? wrongData(type, data, 'a number below 2^53') : decoded(numbers[0]!);
}

/** IS_CLEAN, IN_SYNC: 1 for yes, 0 for no. */
export function encodeFlag(flag: boolean): Uint8Array {
  return encodeNumbers(flag ? 1 : 0);
}

/** As it came: who asks decides whether "yes" is exactly 1. Beyond 2^53 it is not exact. */
export function decodeFlag(type: number, data: Uint8Array): Decoded<number> {
  if (data.length !== 8) return wrongData(type, data, 'a number');
  return decoded(Number(viewOf(data).getBigInt64(0, true)));
}

/** GET_RESYNC_WORK: a region to copy, or null. */
export function encodeResyncWork(region: Region | null): Uint8Array {
  return region === null ? encodeNumbers(0, 0) : encodeNumbers(1, region);
}

export function decodeResyncWork(data: Uint8Array): Decoded<Region | null> {
  if (data.length !== 16) return wrongData(ULOG_GET_RESYNC_WORK, data, 'two numbers');
  if (viewOf(data).getBigInt64(0, true) <= 0n) return decoded(null);
  const region = decodeNumbers(data.subarray(8), 1, 1);
  if (region === null) return wrongData(ULOG_GET_RESYNC_WORK, data, 'a region below 2^53');
  return decoded(region[0] as Region);
}

/** IS_REMOTE_RECOVERING. */
export interface RemoteRecovering {
  readonly recovering: boolean;
  /** Regions below this number need not be asked about (specification 10.7). */
  readonly inSyncHint: number;
}

export function encodeRemoteRecovering({ recovering, inSyncHint }: RemoteRecovering): Uint8Array {
  return encodeNumbers(recovering ? 1 : 0, inSyncHint);
}

export function decodeRemoteRecovering(data: Uint8Array): Decoded<RemoteRecovering> {
  const hint = data.length === 16 ? decodeNumbers(data.subarray(8), 1, 1) : null;
  if (hint === null) return wrongData(ULOG_IS_REMOTE_RECOVERING, data, 'a flag and a region');
  const recovering = viewOf(data).getBigInt64(0, true) !== 0n;
  return decoded({ recovering, inSyncHint: hint[0]! });
}

/** STATUS_INFO, STATUS_TABLE. */
export function encodeStatus(text: string): Uint8Array {
  return encodeText(text);
}

export function decodeStatus(type: number, data: Uint8Array): Decoded<string> {
  const text = decodeUlogText(data);
  return text === null ? wrongData(type, data, 'UTF-8') : decoded(text);
}

/** LEASE. */
export interface UlogLease {
  /** From when the request was sent, so long marks are good; null: for ever. */
  readonly remainingMs: number | null;
  /** Rises whenever there may be new work, and what was in sync may not be so any more. */
  readonly epoch: number;
}

export function encodeLease({ remainingMs, epoch }: UlogLease): Uint8Array {
  return encodeNumbers(remainingMs ?? Number.MAX_SAFE_INTEGER, epoch);
}

export function decodeLease(data: Uint8Array): Decoded<UlogLease> {
  const numbers = decodeNumbers(data, 2, 2);
  if (numbers === null) return wrongData(ULOG_LEASE, data, 'two numbers below 2^53');
  const [remainingMs, epoch] = numbers as [number, number];
  const isForEver = remainingMs === Number.MAX_SAFE_INTEGER;
  return decoded({ remainingMs: isForEver ? null : remainingMs, epoch });
}

// --- numbers and texts --------------------------------------------------------------------------

function encodeText(text: string): Uint8Array {
  return ulogTextBytes(`${text}\0`);
}

function encodeNumbers(...numbers: readonly number[]): Uint8Array {
  const data = new Uint8Array(numbers.length * 8);
  const view = new DataView(data.buffer);
  for (const [index, number] of numbers.entries()) {
    view.setUint32(index * 8, number % 2 ** 32, true);
    view.setUint32(index * 8 + 4, Math.floor(number / 2 ** 32), true);
  }
  return data;
}

/** Null where they are not that many, or not whole, or one of them is 2^53 or more. */
function decodeNumbers(data: Uint8Array, least: number, most: number): number[] | null {
  const count = data.length / 8;
  if (!Number.isInteger(count) || count < least || count > most) return null;
  const view = viewOf(data);
  const numbers: number[] = [];
  for (let at = 0; at < data.length; at += 8) {
    const number = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
    if (!Number.isSafeInteger(number)) return null;
    numbers.push(number);
  }
  return numbers;
}

function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

function wrongData(type: number, data: Uint8Array, required: string): Decoded<never> {
  const shown = Buffer.from(data.subarray(0, 16)).toString('hex');
  const more = data.length > 16 ? '...' : '';
  return undecodable(
    `${ulogTypeName(type)} has ${data.length} bytes of data (${shown}${more}), must be ${required}`,
  );
}
