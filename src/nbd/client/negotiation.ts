/**
 * What a client says in the handshake and makes of the answers (NBD protocol, 2), as a conversation
 * of options: each is yielded, and its answer comes back. No bytes and no sockets here.
 */

import { isPowerOfTwo } from '../../base/units.ts';
import { decodeName, encodeInfoRequest } from '../codec/handshake-codec.ts';
import {
  type ContextReply,
  decodeContextReply,
  encodeContextRequest,
} from '../codec/meta-context-codec.ts';
import {
  INFOS,
  OPTION_ERROR_MIN,
  OPTION_REPLIES,
  OPTIONS,
  optionName,
  optionReplyName,
} from '../constants.ts';
import { errorText } from '../error-text.ts';
import { NbdConnectionError, NbdRefusal } from './nbd-error.ts';

/** How requests and replies look: each falls back to the one before it where it is refused. */
export type ReplyForm = 'simple' | 'structured' | 'extended';

export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  /** Of one payload. */
  readonly maximum: number;
}

/** What the server said of an export. */
export interface ExportFacts {
  /** In bytes; below 2^53. */
  readonly size: number;
  readonly transmissionFlags: number;
  /** Its canonical name, where the server told. */
  readonly name: string | null;
  readonly description: string;
  /** As advertised; 1 / 4096 / 32 MiB where nothing was, or nothing that makes sense. */
  readonly blockSizes: BlockSizes;
}

export interface ClientNegotiated extends ExportFacts {
  readonly form: ReplyForm;
  /** Metadata contexts by the id that status chunks give them. */
  readonly contexts: ReadonlyMap<number, string>;
}

export interface ListedExport {
  readonly name: string;
  readonly description: string;
}

export interface NegotiationWishes {
  readonly exportName: string;
  readonly form: ReplyForm;
  /** Metadata contexts to be selected. */
  readonly contexts: readonly string[];
}

export interface OptionQuestion {
  readonly option: number;
  readonly data: Uint8Array;
}

/** Option replies in order; the last one is final. For EXPORT_NAME: one without a type. */
export interface OptionAnswer {
  readonly replies: readonly { readonly type: number; readonly data: Buffer }[];
  readonly final: { readonly type: number; readonly data: Buffer };
}

export type Negotiation<T> = Generator<OptionQuestion, T, OptionAnswer>;

const NO_DATA = Buffer.alloc(0);
const DEFAULT_BLOCK_SIZES: BlockSizes = { minimum: 1, preferred: 4096, maximum: 32 * 2 ** 20 };
const WANTED_INFOS = [INFOS.NAME, INFOS.DESCRIPTION, INFOS.BLOCK_SIZE];

/**
 * From the first option to the transmission phase.
 *
 * @throws NbdRefusal when the server does not want; NbdConnectionError when it makes no sense.
 */
export function* negotiateTransmission(wishes: NegotiationWishes): Negotiation<ClientNegotiated> {
  const form = yield* negotiateForm(wishes.form);
  const contexts = form === 'simple' ? new Map() : yield* selectContexts(wishes);
  const facts = yield* go(wishes.exportName, form);
  return { ...facts, form, contexts };
}

/** All exports that the server likes to show. @throws as above. */
export function* negotiateList(): Negotiation<ListedExport[]> {
  const answer = yield { option: OPTIONS.LIST, data: NO_DATA };
  requireAck(OPTIONS.LIST, answer);
  return answer.replies.flatMap(({ type, data }) =>
    type === OPTION_REPLIES.SERVER ? [decodeListed(data)] : [],
  );
}

/** What is known of an export, without using it. @throws as above. */
export function* negotiateInfo(exportName: string): Negotiation<ExportFacts> {
  const data = encodeInfoRequest(exportName, WANTED_INFOS);
  const answer = yield { option: OPTIONS.INFO, data };
  requireAck(OPTIONS.INFO, answer);
  return factsOf(answer);
}

/** The metadata contexts of an export that match the queries; all where there is none. */
export function* negotiateContexts(
  exportName: string,
  queries: readonly string[],
): Negotiation<string[]> {
  // Some servers want replies that can carry contexts before they speak of any.
  yield* negotiateForm('structured');
  const data = encodeContextRequest({ exportName, queries });
  const answer = yield { option: OPTIONS.LIST_META_CONTEXT, data };
  requireAck(OPTIONS.LIST_META_CONTEXT, answer);
  return contextsOf(answer).map(({ name }) => name);
}

function* negotiateForm(wanted: ReplyForm): Negotiation<ReplyForm> {
  if (wanted === 'extended') {
    const answer = yield { option: OPTIONS.EXTENDED_HEADERS, data: NO_DATA };
    if (isAck(answer)) return 'extended';
  }
  if (wanted !== 'simple') {
    const answer = yield { option: OPTIONS.STRUCTURED_REPLY, data: NO_DATA };
    if (isAck(answer)) return 'structured';
  }
  return 'simple';
}

/** A server without contexts selects none. */
function* selectContexts(wishes: NegotiationWishes): Negotiation<Map<number, string>> {
  const { exportName, contexts: queries } = wishes;
  const selected = new Map<number, string>();
  if (queries.length === 0) return selected;
  const data = encodeContextRequest({ exportName, queries });
  const answer = yield { option: OPTIONS.SET_META_CONTEXT, data };
  if (!isAck(answer)) return selected;
  for (const { id, name } of contextsOf(answer)) {
    if (selected.has(id)) throw new NbdConnectionError(`Server gave two contexts the id ${id}`);
    selected.set(id, name);
  }
  return selected;
}

function* go(exportName: string, form: ReplyForm): Negotiation<ExportFacts> {
  const data = encodeInfoRequest(exportName, WANTED_INFOS);
  const answer = yield { option: OPTIONS.GO, data };
  // Old servers know no other way in than EXPORT_NAME, which extended headers forbid.
  if (answer.final.type === OPTION_REPLIES.ERR_UNSUP && form !== 'extended') {
    const old = yield { option: OPTIONS.EXPORT_NAME, data: Buffer.from(exportName) };
    const [size, transmissionFlags] = readExport(old.final.data, 0);
    const unknown = { name: null, description: '', blockSizes: DEFAULT_BLOCK_SIZES };
    return { size, transmissionFlags, ...unknown };
  }
  requireAck(OPTIONS.GO, answer);
  return factsOf(answer);
}

function factsOf({ replies }: OptionAnswer): ExportFacts {
  let exported: readonly [number, number] | null = null;
  let name: string | null = null;
  let description = '';
  let blockSizes = DEFAULT_BLOCK_SIZES;
  for (const { type, data } of replies) {
    if (type !== OPTION_REPLIES.INFO) continue;
    if (data.length < 2) throw new NbdConnectionError('Server sent a malformed INFO reply');
    const info = data.readUInt16BE(0);
    if (info === INFOS.EXPORT) {
      if (data.length !== 12) throw new NbdConnectionError('Server sent a malformed INFO reply');
      exported = readExport(data, 2);
    } else if (info === INFOS.NAME) {
      name = decodeName(data.subarray(2));
    } else if (info === INFOS.DESCRIPTION) {
      description = decodeName(data.subarray(2)) ?? '';
    } else if (info === INFOS.BLOCK_SIZE && data.length === 14) {
      blockSizes = readBlockSizes(data) ?? DEFAULT_BLOCK_SIZES;
    }
  }
  if (exported === null) throw new NbdConnectionError('Server did not say how large its export is');
  return { size: exported[0], transmissionFlags: exported[1], name, description, blockSizes };
}

/** Size and flags. A size that wraps in other people's arithmetic is refused here. */
function readExport(data: Buffer, at: number): readonly [size: number, flags: number] {
  const size = data.readUInt32BE(at) * 2 ** 32 + data.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(size)) {
    const bytes = data.readBigUInt64BE(at);
    throw new NbdConnectionError(`Server says that its export has ${bytes} bytes, must be < 2^53`);
  }
  return [size, data.readUInt16BE(at + 8)];
}

/** Null where the numbers break the rules (NBD protocol, 6). */
function readBlockSizes(data: Buffer): BlockSizes | null {
  const [minimum, preferred] = [data.readUInt32BE(2), data.readUInt32BE(6)];
  const maximum = data.readUInt32BE(10);
  if (!isPowerOfTwo(minimum) || minimum > 65_536) return null;
  if (!isPowerOfTwo(preferred) || preferred < Math.max(minimum, 512)) return null;
  if (maximum < preferred) return null;
  if (maximum !== 0xffffffff && maximum % minimum !== 0) return null;
  return { minimum, preferred, maximum };
}

function decodeListed(data: Buffer): ListedExport {
  const size = data.length < 4 ? Number.NaN : data.readUInt32BE(0);
  const name = size <= data.length - 4 ? decodeName(data.subarray(4, 4 + size)) : null;
  const description = name === null ? null : decodeName(data.subarray(4 + size));
  if (name === null || description === null) {
    throw new NbdConnectionError('Server sent a malformed SERVER reply');
  }
  return { name, description };
}

function contextsOf({ replies }: OptionAnswer): ContextReply[] {
  return replies.flatMap(({ type, data }) => {
    if (type !== OPTION_REPLIES.META_CONTEXT) return [];
    const context = decodeContextReply(data);
    if (context !== null) return [context];
    throw new NbdConnectionError('Server sent a malformed META_CONTEXT reply');
  });
}

function isAck(answer: OptionAnswer): boolean {
  return answer.final.type === OPTION_REPLIES.ACK;
}

/** @throws NbdRefusal in the words of the server. */
export function requireAck(option: number, answer: OptionAnswer): void {
  if (isAck(answer)) return;
  const { type, data } = answer.final;
  const reason = `${optionReplyName(type)} ${errorText(data.toString(), 300)}`.trim();
  throw new NbdRefusal(`Server refused ${optionName(option)}: ${reason}`, type);
}

/** True for a reply that ends its option. */
export function isFinal(type: number): boolean {
  return type === OPTION_REPLIES.ACK || type >= OPTION_ERROR_MIN;
}

/** Hands over the result, and says goodbye; a server may hang up instead of answering that. */
export function* thenAbort<T>(
  negotiation: Negotiation<T>,
  onResult: (result: T) => void,
): Negotiation<null> {
  onResult(yield* negotiation);
  yield { option: OPTIONS.ABORT, data: NO_DATA };
  return null;
}
