/**
 * Fixed-newstyle haggling as a state machine over received bytes; no sockets here.
 *
 * Invariants: the data of an option are consumed whole, whatever the verdict; at most one option
 * is in progress; a connection is dropped only for a broken MUST, a failed EXPORT_NAME, or excess.
 *
 * Behind STARTTLS a new `Handshake` goes on, so that nothing that was agreed in the clear, where
 * somebody may have put words into the client's mouth, counts any more.
 */

import { assert, unreachable } from '../../base/assert.ts';
import {
  NBD_ERROR_TEXT_BYTES_MAX,
  NBD_OPTION_DATA_BYTES_MAX,
  NBD_OPTION_DATA_BYTES_SKIPPED_MAX,
  NBD_OPTIONS_MAX,
  NBD_REPLY_BYTES_QUEUED_MAX,
} from '../../base/limits.ts';
import { printable } from '../../base/printable.ts';
import type { FrameReader } from '../codec/frame-reader.ts';
import {
  decodeInfoRequest,
  decodeName,
  decodeOptionHeader,
  encodeExportNameAnswer,
  encodeGreeting,
  encodeOptionReply,
  encodeServerReply,
} from '../codec/handshake-codec.ts';
import { decodeContextRequest, encodeContextReply } from '../codec/meta-context-codec.ts';
import {
  CLIENT_FLAGS,
  CLIENT_FLAGS_SIZE,
  OPTION_HEADER_SIZE,
  OPTION_REPLIES,
  OPTIONS,
  optionName,
} from '../constants.ts';
import { errorText } from '../error-text.ts';
import type { TlsMode } from '../tls.ts';
import type { Export } from './export.ts';
import type { ExportList } from './export-list.ts';
import type { HandshakeFeatures } from './handshake-features.ts';
import { encodeInfoReplies } from './info-replies.ts';
import { listContexts, type SelectedContext, selectContexts } from './meta-context.ts';
import type { Negotiated } from './negotiated.ts';
import type { ReplyStyle } from './reply-style.ts';

export interface HandshakeContext {
  readonly exports: ExportList;
  readonly features: HandshakeFeatures;
  /** Who may do without TLS; `available`: the stream can be upgraded. */
  readonly tls: { readonly mode: TlsMode; readonly available: boolean };
  stopping(): boolean;
  /** One answer, given to the transport as one write. */
  send(bytes: Buffer): void;
  /** Bytes of answers that the client has not taken. */
  queuedBytes(): number;
}

/**
 * - `more`: needs more bytes. - `stopped`: the client must take answers before it gets more.
 * - `done`: `negotiated` is set, transmission begins with the next byte.
 * - `start-tls`: the client was told to begin; a handshake behind this one goes on.
 * - `close`: the client asked for the end; what was sent shall arrive. - `drop`: close at once.
 */
export type HandshakeOutcome = 'more' | 'stopped' | 'done' | 'start-tls' | 'close' | 'drop';

type State = 'client-flags' | 'option-header' | 'option-data' | 'skipped-data' | 'transmission';
/** What a step leads to: another state, or the end. `null`: the bytes for it are not there yet. */
type Step = State | 'start-tls' | 'close' | 'drop' | null;

interface OptionRule {
  /** Without this feature the option is as unknown as any other. */
  readonly feature?: 'structuredReplies' | 'extendedHeaders';
  /** An option that takes no data gets INVALID with some. ABORT ignores them. */
  readonly data: 'none' | 'some' | 'ignored';
  /** Answered even while the server stops. */
  readonly whileStopping?: boolean;
  /** Works before TLS where TLS is required. */
  readonly beforeTls?: boolean;
  /** Failure ends the connection, as the option has no way to report it. */
  readonly dropsOnFailure?: boolean;
  readonly run: (handshake: Handshake, data: Buffer) => Step;
}

const OPTION_RULES: ReadonlyMap<number, OptionRule> = new Map<number, OptionRule>([
  [
    OPTIONS.EXPORT_NAME,
    { data: 'some', dropsOnFailure: true, run: (h, data) => h.exportName(data) },
  ],
  [OPTIONS.ABORT, { data: 'ignored', whileStopping: true, beforeTls: true, run: (h) => h.abort() }],
  [OPTIONS.LIST, { data: 'none', run: (h) => h.list() }],
  [OPTIONS.INFO, { data: 'some', run: (h, data) => h.info(OPTIONS.INFO, data) }],
  [OPTIONS.GO, { data: 'some', run: (h, data) => h.info(OPTIONS.GO, data) }],
  [OPTIONS.STARTTLS, { data: 'none', beforeTls: true, run: (h) => h.startTls() }],
  [
    OPTIONS.STRUCTURED_REPLY,
    { data: 'none', feature: 'structuredReplies', run: (h) => h.structuredReply() },
  ],
  [OPTIONS.LIST_META_CONTEXT, { data: 'some', run: (h, data) => h.listMetaContext(data) }],
  [OPTIONS.SET_META_CONTEXT, { data: 'some', run: (h, data) => h.setMetaContext(data) }],
  [
    OPTIONS.EXTENDED_HEADERS,
    { data: 'none', feature: 'extendedHeaders', run: (h) => h.extendedHeaders() },
  ],
]);

export class Handshake {
  readonly #context: HandshakeContext;
  #state: State = 'client-flags';
  #fixedNewstyle = false;
  #noZeroes = false;
  #replyStyle: ReplyStyle = 'simple';
  /** What SET_META_CONTEXT has selected, and of which export. */
  #selection: { readonly export: Export; readonly contexts: readonly SelectedContext[] } | null =
    null;
  #option = 0;
  #dataLength = 0;
  #optionCount = 0;
  #negotiated: Negotiated | null = null;
  #dropReason = '';

  readonly #steps: Readonly<Record<State, (reader: FrameReader) => Step>> = {
    'client-flags': (reader) => this.#readClientFlags(reader),
    'option-header': (reader) => this.#readOptionHeader(reader),
    'option-data': (reader) => this.#readOptionData(reader),
    'skipped-data': (reader) => this.#skipOptionData(reader),
    transmission: () => unreachable('Haggling goes on after its end'),
  };

  /** Everything is encrypted. */
  readonly #secured: boolean;

  /**
   * Sends the greeting at once: the server speaks first.
   *
   * @param inTheClear what came before STARTTLS: of it only the client's flags stay, and how many
   *   options it has had.
   */
  constructor(context: HandshakeContext, inTheClear?: Handshake) {
    this.#context = context;
    this.#secured = inTheClear !== undefined;
    if (inTheClear === undefined) {
      context.send(encodeGreeting(context.features.handshakeFlags));
    } else {
      this.#state = 'option-header';
      this.#fixedNewstyle = inTheClear.#fixedNewstyle;
      this.#noZeroes = inTheClear.#noZeroes;
      this.#optionCount = inTheClear.#optionCount;
    }
  }

  /** Set once `advance` said `done`. */
  get negotiated(): Negotiated {
    assert(this.#negotiated !== null, 'Nothing is negotiated yet');
    return this.#negotiated;
  }

  /** Why `advance` said `drop`, for the log. */
  get dropReason(): string {
    return this.#dropReason;
  }

  /** On a boundary of messages: an end of stream here is an ordinary exit. */
  get betweenOptions(): boolean {
    return this.#state === 'client-flags' || this.#state === 'option-header';
  }

  /** Consumes whatever is complete. */
  advance(reader: FrameReader): HandshakeOutcome {
    for (;;) {
      // Clients wait for each answer; one that does not could have us fill the memory with them.
      if (this.#context.queuedBytes() > NBD_REPLY_BYTES_QUEUED_MAX) return 'stopped';
      const step = this.#steps[this.#state](reader);
      if (step === null) return 'more';
      if (step === 'close' || step === 'drop' || step === 'start-tls') return step;
      this.#state = step;
      if (step === 'transmission') return 'done';
    }
  }

  #readClientFlags(reader: FrameReader): Step {
    if (!reader.need(CLIENT_FLAGS_SIZE)) return null;
    const flags = reader.peek(CLIENT_FLAGS_SIZE).readUInt32BE(0);
    reader.consume(CLIENT_FLAGS_SIZE);
    // Client flags have the bits of the handshake flags that they answer.
    const offered = this.#context.features.handshakeFlags;
    if ((flags & ~offered) !== 0) return this.#drop(`client flags are 0x${flags.toString(16)}`);
    this.#fixedNewstyle = (flags & CLIENT_FLAGS.C_FIXED_NEWSTYLE) !== 0;
    this.#noZeroes = (flags & CLIENT_FLAGS.C_NO_ZEROES) !== 0;
    return 'option-header';
  }

  #readOptionHeader(reader: FrameReader): Step {
    if (!reader.need(OPTION_HEADER_SIZE)) return null;
    const header = decodeOptionHeader(reader.peek(OPTION_HEADER_SIZE));
    reader.consume(OPTION_HEADER_SIZE);
    if (header === null) return this.#drop('option with a wrong magic');
    this.#option = header.option;
    this.#dataLength = header.length;
    this.#optionCount += 1;
    // It replaces an earlier selection also when it fails, in whatever way.
    if (header.option === OPTIONS.SET_META_CONTEXT) this.#selection = null;
    const optionsMax = NBD_OPTIONS_MAX * (1 + this.#context.exports.all.length);
    if (this.#optionCount > optionsMax) return this.#drop(`more than ${optionsMax} options`);
    if (!this.#fixedNewstyle && header.option !== OPTIONS.EXPORT_NAME) {
      return this.#drop(`${optionName(header.option)} without fixed newstyle`);
    }
    if (header.length <= NBD_OPTION_DATA_BYTES_MAX) return 'option-data';
    if (header.length > NBD_OPTION_DATA_BYTES_SKIPPED_MAX) {
      return this.#drop(`${optionName(header.option)} with ${header.length} bytes of data`);
    }
    return 'skipped-data';
  }

  #readOptionData(reader: FrameReader): Step {
    if (!reader.need(this.#dataLength)) return null;
    const data = Buffer.from(reader.peek(this.#dataLength));
    reader.consume(this.#dataLength);
    const option = this.#option;
    const rule = OPTION_RULES.get(option);
    if (this.#context.stopping() && rule?.whileStopping !== true) {
      return this.#fail(OPTION_REPLIES.ERR_SHUTDOWN, 'server is stopping');
    }
    if (this.#needsTlsFirst(rule)) return this.#failWithoutTls('server');
    if (rule === undefined || !this.#isOffered(rule)) {
      return this.#fail(OPTION_REPLIES.ERR_UNSUP, `${optionName(option)} is not supported`);
    }
    if (rule.data === 'none' && data.length > 0) {
      return this.#fail(
        OPTION_REPLIES.ERR_INVALID,
        `${optionName(option)}: data has ${data.length} bytes, must have none`,
      );
    }
    return rule.run(this, data);
  }

  /** Data too long to be looked at, in whatever pieces it comes. */
  #skipOptionData(reader: FrameReader): Step {
    const size = Math.min(reader.available, this.#dataLength);
    reader.consume(size);
    this.#dataLength -= size;
    if (this.#dataLength > 0) {
      reader.need(1);
      return null;
    }
    if (this.#needsTlsFirst(OPTION_RULES.get(this.#option))) return this.#failWithoutTls('server');
    return this.#fail(
      OPTION_REPLIES.ERR_TOO_BIG,
      `${optionName(this.#option)}: data must have at most ${NBD_OPTION_DATA_BYTES_MAX} bytes`,
    );
  }

  #isOffered({ feature }: OptionRule): boolean {
    return feature === undefined || this.#context.features[feature];
  }

  exportName(data: Buffer): Step {
    if (this.#replyStyle === 'extended') return this.#drop('EXPORT_NAME after EXTENDED_HEADERS');
    const name = decodeName(data);
    const found = name === null ? undefined : this.#context.exports.find(name);
    if (found === undefined) {
      const shown = printable(data.toString('utf8', 0, 80));
      return this.#drop(`EXPORT_NAME: no export "${shown}"`);
    }
    if (this.#isHidden(found)) return this.#failWithoutTls(`export "${found.name}"`);
    if (isFull(found)) return this.#drop(`EXPORT_NAME: "${found.name}" has no free connection`);
    const negotiated = this.#agree(found);
    const { size, transmissionFlags } = negotiated;
    this.#context.send(encodeExportNameAnswer(size, transmissionFlags, this.#noZeroes));
    return this.#enterTransmission(negotiated);
  }

  abort(): Step {
    this.#context.send(encodeOptionReply(OPTIONS.ABORT, OPTION_REPLIES.ACK));
    return 'close';
  }

  list(): Step {
    const shown = this.#context.exports.listed.filter((one) => !this.#isHidden(one));
    const entries = shown.map((one) => encodeServerReply(OPTIONS.LIST, one.name, one.description));
    return this.#acknowledge(entries);
  }

  /** INFO and GO differ in their last step only. */
  info(option: number, data: Buffer): Step {
    const request = decodeInfoRequest(data);
    if (typeof request === 'string') {
      return this.#fail(OPTION_REPLIES.ERR_INVALID, `${optionName(option)}: ${request}`);
    }
    const found = this.#find(request.name);
    if (found === null) return 'option-header';
    if (option === OPTIONS.GO && isFull(found)) {
      const text = `export "${found.name}" serves ${found.connectionsMax} connections, its most`;
      return this.#fail(OPTION_REPLIES.ERR_POLICY, text);
    }
    const negotiated = this.#agree(found);
    this.#acknowledge(encodeInfoReplies(option, negotiated, request.infos));
    return option === OPTIONS.GO ? this.#enterTransmission(negotiated) : 'option-header';
  }

  startTls(): Step {
    const { mode, available } = this.#context.tls;
    if (this.#secured) return this.#fail(OPTION_REPLIES.ERR_INVALID, 'TLS is in use already');
    if (mode === 'off') return this.#fail(OPTION_REPLIES.ERR_POLICY, 'TLS is off in this server');
    if (!available) {
      return this.#fail(OPTION_REPLIES.ERR_PLATFORM, 'TLS cannot be had on this connection');
    }
    this.#context.send(encodeOptionReply(OPTIONS.STARTTLS, OPTION_REPLIES.ACK));
    return 'start-tls';
  }

  structuredReply(): Step {
    if (this.#replyStyle === 'extended') {
      const text = 'extended headers are agreed, and take precedence';
      return this.#fail(OPTION_REPLIES.ERR_EXT_HEADER_REQD, text);
    }
    this.#replyStyle = 'structured';
    return this.#acknowledge();
  }

  extendedHeaders(): Step {
    this.#replyStyle = 'extended';
    return this.#acknowledge();
  }

  listMetaContext(data: Buffer): Step {
    const request = this.#contextRequest(data);
    if (request === null) return 'option-header';
    const replies = listContexts(request.export.contexts, request.queries).map(({ name }) =>
      encodeContextReply(this.#option, { id: 0, name }),
    );
    return this.#acknowledge(replies);
  }

  setMetaContext(data: Buffer): Step {
    if (this.#replyStyle === 'simple') {
      const text = 'SET_META_CONTEXT: structured replies or extended headers must be agreed before';
      return this.#fail(OPTION_REPLIES.ERR_INVALID, text);
    }
    const request = this.#contextRequest(data);
    if (request === null) return 'option-header';
    const contexts = selectContexts(request.export.contexts, request.queries);
    this.#selection = { export: request.export, contexts };
    const replies = contexts.map(({ id, context }) =>
      encodeContextReply(this.#option, { id, name: context.name }),
    );
    return this.#acknowledge(replies);
  }

  /** `null`: the option was refused. */
  #contextRequest(data: Buffer): { export: Export; queries: readonly string[] } | null {
    const request = decodeContextRequest(data);
    if (typeof request === 'string') {
      this.#fail(OPTION_REPLIES.ERR_INVALID, `${optionName(this.#option)}: ${request}`);
      return null;
    }
    const found = this.#find(request.exportName);
    return found === null ? null : { export: found, queries: request.queries };
  }

  #needsTlsFirst(rule: OptionRule | undefined): boolean {
    if (this.#secured || this.#context.tls.mode !== 'require') return false;
    return rule?.beforeTls !== true;
  }

  /** Not to be had, nor to be seen, without TLS. */
  #isHidden(found: Export): boolean {
    return found.tlsOnly && !this.#secured;
  }

  #failWithoutTls(who: string): Step {
    return this.#fail(OPTION_REPLIES.ERR_TLS_REQD, `${who} requires TLS, must begin with STARTTLS`);
  }

  #agree(found: Export): Negotiated {
    const replyStyle = this.#replyStyle;
    // Two names of one export are one export: "" and its own.
    const contexts = this.#selection?.export === found ? this.#selection.contexts : [];
    return {
      export: found,
      size: found.bytes.size,
      transmissionFlags: found.transmissionFlags(replyStyle, contexts.length),
      replyStyle,
      contexts,
    };
  }

  #enterTransmission(negotiated: Negotiated): Step {
    this.#negotiated = negotiated;
    return 'transmission';
  }

  #acknowledge(replies: readonly Buffer[] = []): Step {
    const ack = encodeOptionReply(this.#option, OPTION_REPLIES.ACK);
    this.#context.send(Buffer.concat([...replies, ack]));
    return 'option-header';
  }

  /** `null`: the option was refused. */
  #find(name: string): Export | null {
    const found = this.#context.exports.find(name);
    if (found !== undefined && !this.#isHidden(found)) return found;
    if (found !== undefined) this.#failWithoutTls(`export "${found.name}"`);
    else this.#fail(OPTION_REPLIES.ERR_UNKNOWN, `there is no export "${printable(name)}"`);
    return null;
  }

  #fail(type: number, text: string): Step {
    if (OPTION_RULES.get(this.#option)?.dropsOnFailure === true) return this.#drop(text);
    const data = errorText(text, NBD_ERROR_TEXT_BYTES_MAX);
    this.#context.send(encodeOptionReply(this.#option, type, data));
    return 'option-header';
  }

  #drop(reason: string): Step {
    this.#dropReason = reason;
    return 'drop';
  }
}

function isFull(one: Export): boolean {
  return one.connectionCount >= one.connectionsMax;
}
