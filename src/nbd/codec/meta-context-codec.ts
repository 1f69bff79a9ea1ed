/** LIST_META_CONTEXT and SET_META_CONTEXT: their data and their replies, to values and back. */

import { OPTION_REPLIES } from '../constants.ts';
import { decodeName, encodeOptionReply } from './handshake-codec.ts';

/** The data of either option. */
export interface ContextRequest {
  readonly exportName: string;
  readonly queries: readonly string[];
}

/** One META_CONTEXT reply. */
export interface ContextReply {
  /** How status chunks name the context; 0 in the answer to LIST. */
  readonly id: number;
  readonly name: string;
}

export function encodeContextRequest(request: ContextRequest): Buffer {
  const parts = [encodeString(request.exportName), encodeCount(request.queries.length)];
  return Buffer.concat([...parts, ...request.queries.map(encodeString)]);
}

/**
 * The data of an option, or in one sentence what is wrong with it. The count of queries is the
 * client's word: the data are walked, and nothing is made from it.
 */
export function decodeContextRequest(data: Buffer): ContextRequest | string {
  let at = 0;
  const left = (): number => data.length - at;
  const takeString = (what: string): { readonly text: string } | string => {
    if (left() < 4) return `data end before the length of ${what}`;
    const size = data.readUInt32BE(at);
    at += 4;
    if (size > left()) return `${what} of ${size} bytes does not fit in the data`;
    const text = decodeName(data.subarray(at, at + size));
    at += size;
    return text === null ? `${what} is no UTF-8 of at most 4096 bytes without NUL` : { text };
  };
  const name = takeString('the name');
  if (typeof name === 'string') return name;
  if (left() < 4) return 'data end before the number of queries';
  const count = data.readUInt32BE(at);
  at += 4;
  if (count * 4 > left()) return `${count} queries do not fit in the data`;
  const queries: string[] = [];
  for (let index = 0; index < count; index++) {
    const query = takeString(`query ${index}`);
    if (typeof query === 'string') return query;
    queries.push(query.text);
  }
  if (left() > 0) return `data have ${left()} bytes behind the last query, must have none`;
  return { exportName: name.text, queries };
}

export function encodeContextReply(option: number, context: ContextReply): Buffer {
  const data = Buffer.concat([encodeCount(context.id), Buffer.from(context.name)]);
  return encodeOptionReply(option, OPTION_REPLIES.META_CONTEXT, data);
}

/** The data of a META_CONTEXT reply; `null` when they are malformed. */
export function decodeContextReply(data: Buffer): ContextReply | null {
  if (data.length < 4) return null;
  const name = decodeName(data.subarray(4));
  return name === null ? null : { id: data.readUInt32BE(0), name };
}

function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([encodeCount(bytes.length), bytes]);
}

function encodeCount(count: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(count, 0);
  return bytes;
}
