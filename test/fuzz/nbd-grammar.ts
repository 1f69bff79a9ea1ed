/**
 * Messages of an NBD client drawn from the grammar of the protocol, with fields that lie at and
 * beyond every edge; and mutations of the bytes of any message.
 */

import type { Prng } from '../../src/base/prng.ts';
import * as wire from '../support/nbd-wire.ts';

/** Numbers at which programs go wrong. */
const EDGES_32: readonly number[] = [
  0,
  1,
  2,
  3,
  7,
  8,
  15,
  16,
  27,
  28,
  31,
  32,
  127,
  128,
  255,
  256,
  257,
  511,
  512,
  513,
  1023,
  1024,
  4095,
  4096,
  4097,
  65_535,
  65_536,
  65_537,
  2 ** 20,
  2 ** 24,
  2 ** 25 - 1,
  2 ** 25,
  2 ** 25 + 1,
  2 ** 26,
  2 ** 26 + 1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 512,
  2 ** 32 - 1,
];
const EDGES_64: readonly bigint[] = [
  2n ** 32n,
  2n ** 40n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 512n,
  2n ** 64n - 1n,
];
const NAMES = [
  '',
  'data',
  'hollow',
  'nope',
  'data\0',
  '\u00fc',
  'x'.repeat(4096),
  'x'.repeat(4097),
];
const QUERIES = [
  'base:allocation',
  'base:',
  'x-dm-mirror:region-state',
  'x-dm-mirror:',
  'qemu:',
  'nocolon',
  '',
  'qemu:dirty-bitmap:region-state',
  'base:allocation',
  'x'.repeat(4097),
];
const OPTION_CODES = [
  1,
  2,
  3,
  3,
  4,
  5,
  6,
  6,
  6,
  7,
  8,
  8,
  9,
  10,
  10,
  11,
  0,
  99,
  2 ** 31,
  2 ** 32 - 1,
];

/** What a client knows of its conversation while it draws. */
export interface DrawnFacts {
  readonly size: number;
  readonly exportName: string;
  extended: boolean;
  cookie: bigint;
}

export function drawClientFlags(prng: Prng): Buffer {
  if (prng.chance(1, 60)) return wire.u32(prng.pick(EDGES_32));
  return wire.u32(prng.pick([3, 3, 3, 3, 1, 1, 2, 0]));
}

/** Any option that does not lead to transmission, with data that may be right. */
export function drawOption(prng: Prng): Buffer {
  const code = prng.pick(OPTION_CODES.filter((one) => one !== 1 && one !== 2 && one !== 7));
  return wire.option(code, drawOptionData(prng, code));
}

/** An option that leads to transmission, or to the end. */
export function drawLastOption(prng: Prng, facts: DrawnFacts): Buffer {
  if (prng.chance(1, 40)) return wire.option(2, prng.chance(1, 4) ? 'data' : '');
  const { exportName } = facts;
  if (!facts.extended && prng.chance(1, 4)) return wire.exportName(exportName);
  return wire.go(exportName, prng.chance(1, 2) ? [] : drawInfos(prng));
}

/** STRUCTURED_REPLY, EXTENDED_HEADERS and SET_META_CONTEXT as real clients send them. */
export function drawAgreement(prng: Prng, facts: DrawnFacts): Buffer[] {
  const options: Buffer[] = [];
  if (prng.chance(1, 2)) options.push(wire.option(8));
  if (prng.chance(1, 3)) options.push(wire.option(11));
  if (prng.chance(1, 2)) options.push(wire.option(10, metaData(prng, facts.exportName)));
  return options;
}

function drawOptionData(prng: Prng, code: number): Buffer | string {
  if (prng.chance(1, 12)) return junk(prng, prng.pick([1, 2, 3, 4, 5, 6, 7, 8, 100, 4097]));
  if (prng.chance(1, 400)) return Buffer.alloc(prng.pick([65_536, 65_537, 70_000]));
  const name = prng.pick(NAMES);
  if (code === 6) {
    const wrong = prng.chance(1, 4)
      ? { nameLength: prng.pick(EDGES_32), count: prng.pick(EDGES_32) & 0xffff }
      : {};
    return wire.infoData(name, drawInfos(prng), wrong);
  }
  if (code === 9 || code === 10) return metaData(prng, name);
  return '';
}

function drawInfos(prng: Prng): number[] {
  return Array.from({ length: prng.between(0, 4) }, () => prng.pick([0, 1, 2, 3, 3, 4, 65_535]));
}

function metaData(prng: Prng, name: string): Buffer {
  const queries = Array.from({ length: prng.between(0, 3) }, () => Buffer.from(prng.pick(QUERIES)));
  const edge = (value: number): Buffer => {
    return wire.u32(prng.chance(1, 20) ? prng.pick(EDGES_32) : value);
  };
  const bytes = Buffer.from(name);
  return Buffer.concat([
    edge(bytes.length),
    bytes,
    edge(queries.length),
    ...queries.flatMap((query) => [edge(query.length), query]),
  ]);
}

/** A request: mostly one that a good client may send, with any field at an edge now and then. */
export function drawRequest(prng: Prng, facts: DrawnFacts): { bytes: Buffer; mutated: boolean } {
  facts.cookie += 1n;
  const types = [0, 0, 0, 1, 1, 1, 1, 3, 4, 5, 6, 6, 7, 7];
  let type = prng.pick(types);
  let mutated = false;
  const at = <T>(chance: number, value: T, edges: () => T): T => {
    if (!prng.chance(1, chance)) return value;
    mutated = true;
    return edges();
  };
  type = at(25, type, () => prng.pick([8, 9, 255, 256, 65_535]));
  const flags = at(3, prng.chance(1, 4) ? 1 : 0, () => prng.pick(FLAG_EDGES));
  const usual = prng.pick([1, 2, 100, 512, 512, 1000, 4096, 4096, 5000, 16_384]);
  let length: bigint | number = type === 3 ? 0 : usual;
  let offset: bigint | number = prng.between(0, type === 3 ? 0 : Math.max(0, facts.size - usual));
  if (prng.chance(1, 2)) offset -= offset % 512;
  offset = at<bigint | number>(5, offset, () => drawOffset(prng, facts.size));
  if (type !== 1) length = at<bigint | number>(4, length, () => drawLength(prng, facts));
  else
    length = at<bigint | number>(8, length, () =>
      prng.pick([0, 0, 1, 65_536, 131_072, 140_000, 300_000]),
    );
  const payload = type === 1 ? fill(prng, Number(length)) : Buffer.alloc(0);
  const cookie = at(200, facts.cookie, () => prng.pick([0n, 2n ** 64n - 1n, facts.cookie - 1n]));
  const fields = { flags, type, cookie, offset: BigInt(offset), length: BigInt(length), payload };
  return { bytes: encode(fields, facts.extended), mutated };
}

const FLAG_EDGES = [1, 2, 3, 4, 5, 8, 9, 16, 17, 18, 32, 33, 40, 64, 0x8000, 0xffff];

function drawOffset(prng: Prng, size: number): bigint {
  const near = [size - 513, size - 512, size - 511, size - 1, size, size + 1, size + 512, 511, 513];
  if (prng.chance(1, 4)) return prng.pick(EDGES_64);
  return BigInt(Math.max(0, prng.pick(prng.chance(1, 2) ? near : EDGES_32)));
}

function drawLength(prng: Prng, facts: DrawnFacts): bigint {
  const { size, extended } = facts;
  if (extended && prng.chance(1, 6)) return prng.pick(EDGES_64);
  // Whole large devices and transfers are dear: seldom.
  if (size > 2 ** 32 && !prng.chance(1, 20)) return BigInt(prng.pick([0, 1, 511, 513, 65_537]));
  return BigInt(prng.chance(1, 3) ? Math.min(size, 2 ** 32 - 1) : prng.pick(EDGES_32));
}

interface Fields {
  readonly flags: number;
  readonly type: number;
  readonly cookie: bigint;
  readonly offset: bigint;
  readonly length: bigint;
  readonly payload: Buffer;
}

function encode(fields: Fields, extended: boolean): Buffer {
  const { type, cookie, offset, length, payload } = fields;
  const u64 = BigInt.asUintN(64, offset);
  if (!extended) {
    const request = { type, flags: fields.flags, cookie, offset: u64 };
    return wire.request({ ...request, length: Number(BigInt.asUintN(32, length)), payload });
  }
  const header = Buffer.alloc(32);
  header.writeUInt32BE(0x21e41c71, 0);
  header.writeUInt16BE(fields.flags | (type === 1 ? 32 : 0), 4);
  header.writeUInt16BE(type, 6);
  header.writeBigUInt64BE(cookie, 8);
  header.writeBigUInt64BE(u64, 16);
  header.writeBigUInt64BE(BigInt.asUintN(64, length), 24);
  // A length that says that a payload follows wants one, or nothing behind it is understood.
  const announced = type !== 1 && (fields.flags & 32) !== 0 && length <= 65_536n;
  if (!announced) return Buffer.concat([header, payload]);
  if (type !== 7) return Buffer.concat([header, Buffer.alloc(Number(length), 1)]);
  const query = Buffer.alloc(8 + 4 * (Number(length) % 4));
  query.writeBigUInt64BE(length);
  for (let at = 8; at < query.length; at += 4) query.writeUInt32BE(at / 4 - 1, at);
  header.writeBigUInt64BE(BigInt(query.length), 24);
  return Buffer.concat([header, query]);
}

/** Changes the bytes of a message without knowing what they mean. */
export function mutate(prng: Prng, message: Buffer, others: readonly Buffer[]): Buffer {
  const bytes = Buffer.from(message);
  if (bytes.length === 0) return bytes;
  switch (prng.between(0, 7)) {
    case 0:
      bytes[prng.between(0, bytes.length - 1)]! ^= 1 << prng.between(0, 7);
      return bytes;
    case 1:
      bytes[prng.between(0, bytes.length - 1)] = prng.pick([0, 1, 0x7f, 0x80, 0xff]);
      return bytes;
    case 2: {
      if (bytes.length < 4) return bytes;
      bytes.writeUInt32BE(prng.pick(EDGES_32), prng.between(0, bytes.length - 4));
      return bytes;
    }
    case 3:
      return bytes.subarray(0, prng.between(0, bytes.length - 1));
    case 4:
      return Buffer.concat([bytes, junk(prng, prng.between(1, 40))]);
    case 5:
      return Buffer.concat([bytes, bytes]);
    case 6: {
      const other = prng.pick(others);
      const cut = prng.between(0, bytes.length);
      return Buffer.concat([bytes.subarray(0, cut), other.subarray(prng.between(0, other.length))]);
    }
    default: {
      const at = prng.between(0, bytes.length - 1);
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + prng.between(1, 8))]);
    }
  }
}

function junk(prng: Prng, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  prng.fill(bytes);
  return bytes;
}

/** Contents that differ from place to place, and cost little. */
function fill(prng: Prng, size: number): Buffer {
  const bytes = Buffer.alloc(size, prng.between(0, 255));
  if (size > 2) bytes[prng.between(0, size - 1)] = prng.between(0, 255);
  return bytes;
}
