/**
 * Where the state of shared logs lies in the store, and how its values are written. All under one
 * prefix with a version; nothing else of the store is touched. docs/internals/cluster-log.md has
 * the table.
 */

import type { Bitset } from '../base/bitset.ts';

const ROOT = 'nbd-mirror/1/';

/** Regions in one value: a transaction writes a kilobyte for each that it touches. */
export const CHUNK_REGIONS = 8192;
const CHUNK_BYTES = CHUNK_REGIONS / 8;

/** Which process serves a node. */
export function serverKey(node: string): string {
  return `${ROOT}server/${encodeURIComponent(node)}`;
}

/** Everything of one log begins so. */
function logPrefix(uuid: string): string {
  return `${ROOT}log/${encodeURIComponent(uuid)}/`;
}

export class LogKeys {
  readonly prefix: string;
  /** What the log is; all nodes must agree. */
  readonly config: string;
  /** Written whenever a node comes or goes: whoever compares it knows all nodes. */
  readonly members: string;
  /** The one region that is being copied. */
  readonly copying: string;
  /** Regions that writes wait for. */
  readonly wanted: string;
  /** Who writes the log's device. */
  readonly writer: string;
  /** Up to which revision the device holds everything. */
  readonly written: string;

  constructor(uuid: string) {
    this.prefix = logPrefix(uuid);
    this.config = `${this.prefix}config`;
    this.members = `${this.prefix}members`;
    this.copying = `${this.prefix}copying`;
    this.wanted = `${this.prefix}wanted`;
    this.writer = `${this.prefix}writer`;
    this.written = `${this.prefix}written`;
  }

  /** Of a node that has the log in use; ends with its lease. */
  node(node: string): string {
    return `${this.prefix}node/${encodeURIComponent(node)}`;
  }

  sync(chunk: number): string {
    return `${this.prefix}sync/${chunk}`;
  }

  /** Regions that the node has marked. */
  marks(node: string, chunk: number): string {
    return `${this.prefix}mark/${encodeURIComponent(node)}/${chunk}`;
  }

  /** Regions that the node had marked when its lease ended. */
  lost(node: string, chunk: number): string {
    return `${this.prefix}lost/${encodeURIComponent(node)}/${chunk}`;
  }

  parse(key: string): ParsedKey | null {
    const [kind, first, second, more] = key.slice(this.prefix.length).split('/');
    if (!key.startsWith(this.prefix) || more !== undefined) return null;
    if (second === undefined) {
      if (kind === 'node' && first !== undefined) return nodeKey(kind, first, 0);
      if (kind === 'sync') return parseChunk(kind, '', first);
      const known = SINGLE_KEYS.find((name) => name === kind);
      return known !== undefined && first === undefined
        ? { kind: known, node: '', chunk: 0 }
        : null;
    }
    return kind === 'mark' || kind === 'lost' ? parseChunk(kind, first!, second) : null;
  }
}

const SINGLE_KEYS = ['config', 'members', 'copying', 'wanted', 'writer', 'written'] as const;

export interface ParsedKey {
  readonly kind: (typeof SINGLE_KEYS)[number] | 'node' | 'sync' | 'mark' | 'lost';
  readonly node: string;
  readonly chunk: number;
}

function parseChunk(
  kind: 'sync' | 'mark' | 'lost',
  node: string,
  word: string | undefined,
): ParsedKey | null {
  return /^[0-9]{1,6}$/.test(word ?? '') ? nodeKey(kind, node, Number(word)) : null;
}

function nodeKey(kind: ParsedKey['kind'], encoded: string, chunk: number): ParsedKey | null {
  try {
    return { kind, node: decodeURIComponent(encoded), chunk };
  } catch {
    return null;
  }
}

export function chunkOf(region: number): number {
  return Math.floor(region / CHUNK_REGIONS);
}

export function chunkCount(regionCount: number): number {
  return Math.ceil(regionCount / CHUNK_REGIONS);
}

/** The bytes of a set that belong to a chunk: a view, short at the end. */
export function chunkBytes(bits: Bitset, chunk: number): Uint8Array {
  return bits.bytes.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
}

export function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** Undefined for what is no JSON: it is not ours. */
export function decodeJson(value: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
  } catch {
    return undefined;
  }
}
