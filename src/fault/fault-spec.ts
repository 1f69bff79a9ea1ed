/**
 * A fault as people describe it, `error --op write --count 3`: the same words on the command line,
 * over the control interface and in the simulator.
 *
 * Parsing is strict: a word that is not understood, or that has no meaning for this kind of fault,
 * is refused, since a fault that strikes something else than was meant tests nothing.
 */

import { EIO, errnoByName, errnoName, type IoResult } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { FAULT_DELAY_MS_MAX } from '../base/limits.ts';
import { quoted } from '../base/printable.ts';
import { Prng } from '../base/prng.ts';
import type { BioOp } from '../block/bio.ts';
import type { FaultMatch } from './fault-rule.ts';

export type FaultKind = 'error' | 'delay' | 'hang' | 'offline';

/** `write` is everything that changes contents but a discard: zeroing too. */
export type FaultOp = 'read' | 'write' | 'flush' | 'discard' | 'all';

export interface FaultSpec {
  readonly kind: FaultKind;
  readonly op: FaultOp;
  /** Strikes at most so often; null: without end. */
  readonly count: number | null;
  /** Lets so many matching requests pass first. */
  readonly after: number;
  /** Both included; of the leg, or of the device where that is the target. Null: anywhere. */
  readonly sectors: { readonly first: number; readonly last: number } | null;
  /** In millionths, so that it is exact; null: always. */
  readonly millionths: number | null;
  readonly seed: number;
  readonly errno: IoResult;
  /** Of a delay. */
  readonly delayMs: number;
}

const KINDS: readonly FaultKind[] = ['error', 'delay', 'hang', 'offline'];
const OPS: Readonly<Record<FaultOp, readonly BioOp[]>> = {
  read: ['read'],
  write: ['write', 'write-zeroes'],
  flush: ['flush'],
  discard: ['discard'],
  all: ['read', 'write', 'flush', 'discard', 'write-zeroes'],
};
const SELECTING = ['--op', '--count', '--after', '--sectors', '--probability', '--seed'];
/** Which options mean something for which kind. */
const OPTIONS: Readonly<Record<FaultKind, readonly string[]>> = {
  error: [...SELECTING, '--errno'],
  delay: [...SELECTING, '--ms'],
  hang: SELECTING,
  offline: ['--errno'],
};
const MILLION = 1_000_000;
const DEFAULT_SEED = 1;

/** @throws UserError naming the word and what is required. */
export function parseFaultSpec(words: readonly string[]): FaultSpec {
  const [kindWord, ...rest] = words;
  const kind = KINDS.find((one) => one === kindWord);
  if (kind === undefined) {
    throw faultError(`kind is ${quoted(kindWord)}, must be one of ${KINDS.join(', ')}`);
  }
  const given = readOptions(kind, rest);
  const probability = given.get('--probability');
  if (given.has('--seed') && probability === undefined) {
    throw faultError('--seed is given without --probability, to which it belongs');
  }
  const ms = given.get('--ms');
  if (kind === 'delay' && ms === undefined) {
    throw faultError('a delay needs --ms, for example "delay --ms 100"');
  }
  const count = given.get('--count');
  const sectors = given.get('--sectors');
  return {
    kind,
    op: parseOp(given.get('--op') ?? 'all'),
    count: count === undefined ? null : parseWhole('--count', count, 1),
    after: parseWhole('--after', given.get('--after') ?? '0', 0),
    sectors: sectors === undefined ? null : parseSectors(sectors),
    millionths: probability === undefined ? null : parseProbability(probability),
    seed: parseWhole('--seed', given.get('--seed') ?? `${DEFAULT_SEED}`, 0),
    errno: parseErrno(given.get('--errno') ?? 'EIO'),
    delayMs: parseWhole('--ms', ms ?? '0', 0, FAULT_DELAY_MS_MAX),
  };
}

/** The words that `parseFaultSpec` reads as this fault; what goes without saying is left out. */
export function formatFaultSpec(spec: FaultSpec): string {
  const { kind, op, count, after, sectors, millionths, seed, errno, delayMs } = spec;
  return [
    kind,
    ...(kind === 'delay' ? [`--ms ${delayMs}`] : []),
    ...(op === 'all' ? [] : [`--op ${op}`]),
    ...(count === null ? [] : [`--count ${count}`]),
    ...(after === 0 ? [] : [`--after ${after}`]),
    ...(sectors === null ? [] : [`--sectors ${sectors.first}-${sectors.last}`]),
    ...(millionths === null ? [] : [`--probability ${millionths / MILLION} --seed ${seed}`]),
    ...(errno === EIO ? [] : [`--errno ${errnoName(errno)}`]),
  ].join(' ');
}

/** Which part of a device the fault is about; a flush, which has no place, is always in it. */
export interface FaultArea {
  readonly start: number;
  readonly length: number;
}

/**
 * What the fault strikes on a device. `area` is where its target lies; being offline is a state of
 * the whole device.
 *
 * @throws UserError for sectors outside of the area.
 */
export function faultMatch(spec: FaultSpec, area: FaultArea): FaultMatch {
  if (spec.kind === 'offline') return {};
  const { sectors, millionths } = spec;
  if (sectors !== null && sectors.last >= area.length) {
    throw faultError(
      `--sectors is ${sectors.first}-${sectors.last}, must be inside its ${area.length} sectors`,
    );
  }
  const extent =
    sectors === null
      ? { sector: area.start, count: area.length }
      : { sector: area.start + sectors.first, count: sectors.last - sectors.first + 1 };
  const chance =
    millionths === null
      ? {}
      : {
          chance: {
            numerator: millionths,
            denominator: MILLION,
            prng: new Prng(spec.seed),
          },
        };
  return {
    ops: OPS[spec.op],
    extent,
    skip: spec.after,
    ...(spec.count === null ? {} : { times: spec.count }),
    ...chance,
  };
}

function readOptions(kind: FaultKind, words: readonly string[]): ReadonlyMap<string, string> {
  const given = new Map<string, string>();
  for (let index = 0; index < words.length; index += 2) {
    const name = words[index]!;
    const value = words[index + 1];
    if (!OPTIONS[kind].includes(name)) {
      const known = OPTIONS[kind].join(', ');
      throw faultError(`${quoted(name)} is no option of "${kind}", which has ${known}`);
    }
    if (given.has(name)) throw faultError(`${name} is given twice`);
    if (value === undefined) throw faultError(`${name} is given without a value`);
    given.set(name, value);
  }
  return given;
}

function parseOp(word: string): FaultOp {
  if (Object.hasOwn(OPS, word)) return word as FaultOp;
  throw faultError(`--op is ${quoted(word)}, must be one of ${Object.keys(OPS).join(', ')}`);
}

function parseWhole(
  name: string,
  word: string,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const value = /^[0-9]{1,16}$/.test(word) ? Number(word) : Number.NaN;
  if (value >= min && value <= max) return value;
  const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`;
  throw faultError(`${name} is ${quoted(word)}, must be a whole number, ${range}`);
}

function parseSectors(word: string): { first: number; last: number } {
  const match = /^([0-9]{1,15})(?:-([0-9]{1,15}))?$/.exec(word);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match !== null && first <= last) return { first, last };
  throw faultError(`--sectors is ${quoted(word)}, must be FIRST-LAST, both included`);
}

/** A share such as 0.25, or 25%. */
function parseProbability(word: string): number {
  const match = /^([0-9]{1,3}(?:\.[0-9]{1,6})?)(%?)$/.exec(word);
  const share = Number(match?.[1]) / (match?.[2] === '%' ? 100 : 1);
  const millionths = Math.round(share * MILLION);
  if (millionths >= 1 && millionths <= MILLION) return millionths;
  throw faultError(
    `--probability is ${quoted(word)}, must be above 0 and at most 1, or so many percent`,
  );
}

function parseErrno(word: string): IoResult {
  const errno = errnoByName(word);
  if (errno !== null && errno > 0) return errno;
  throw faultError(`--errno is ${quoted(word)}, must be the name of an error such as EIO, ENOSPC`);
}

function faultError(problem: string): UserError {
  return new UserError('bad-fault', `Cannot arm a fault: ${problem}`, {
    hint: 'For example "error --op write --count 3", "delay --ms 100", "hang" or "offline".',
  });
}
