/**
 * What a connection must say until transmission begins, judged by both sides' bytes and the text
 * of the NBD protocol (2). Knows which exports there are; asks nothing of the server's code.
 */

import type { TlsMode } from '../../src/nbd/tls.ts';
import type { ByteStream } from './byte-stream.ts';
import { infoRequestFault, metaRequestFault, nameOf, STRING_MAX } from './option-data.ts';
import type { AgreedFacts } from './request-verdict.ts';

const OPTION_MAGIC = Buffer.from('IHAVEOPT');
const GREETING = Buffer.from('4e42444d4147494349484156454f50540003', 'hex');
const REPLY_MAGIC = 0x3e889045565a9n;
const ACK = 1;
const UNSUP = 0x80000001;
const INVALID = 0x80000003;
const UNKNOWN = 0x80000006;
const SHUTDOWN = 0x80000007;
const TLS_REQD = 0x80000005;
const TOO_BIG = 0x80000009;
const POLICY = 0x80000002;
const EXT_HEADER_REQD = 0x8000000a;
const DATA_MAX = 65_536;
const SKIPPED_MAX = 32 * 2 ** 20;
const REPLY_TEXT_MAX = 4096;

const EXPORT_NAME = 1;
const ABORT = 2;
const LIST = 3;
const STARTTLS = 5;
const INFO = 6;
const GO = 7;
const STRUCTURED_REPLY = 8;
const LIST_META_CONTEXT = 9;
const SET_META_CONTEXT = 10;
const EXTENDED_HEADERS = 11;
/** Data-less options: surplus data is INVALID. */
const WITHOUT_DATA = [LIST, STARTTLS, STRUCTURED_REPLY, EXTENDED_HEADERS];

export interface KnownExport {
  readonly name: string;
  readonly size: number;
  readonly tlsOnly: boolean;
}

export interface HagglingWorld {
  readonly tls: TlsMode;
  readonly exports: readonly KnownExport[];
  readonly optionsMax: number;
  /** The server stops, or has removed exports: any option may be refused. */
  refusesAll(): boolean;
}

/**
 * The state in which the observer waits for more bytes, or has seen the end. `tls`: the client is
 * to begin TLS, and to say nothing else.
 */
export type HagglingState = 'open' | 'tls' | 'agreed' | 'must-drop' | 'may-end';

interface Option {
  readonly code: number;
  readonly data: Buffer | null;
}

export class HagglingObserver {
  state: HagglingState = 'open';
  facts: AgreedFacts | null = null;
  exportName = '';
  structured = false;
  extended = false;
  contexts: ReadonlyMap<number, string> = new Map();
  /** Why it must be dropped. */
  why = '';
  #contextExport = '';
  #secured = false;
  #greeted = false;
  #flags: number | null = null;
  #optionCount = 0;
  #header: { code: number; length: number } | null = null;
  #skipLeft = 0;
  #option: Option | null = null;
  #replies: { type: number; data: Buffer }[] = [];
  readonly #world: HagglingWorld;
  readonly #client: ByteStream;
  readonly #server: ByteStream;

  constructor(world: HagglingWorld, client: ByteStream, server: ByteStream) {
    this.#world = world;
    this.#client = client;
    this.#server = server;
  }

  /** The server has said its first words. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /** An option is complete and has no answer yet. */
  get waits(): boolean {
    return this.#option !== null;
  }

  /** A full export, or a server that stops, has no other way to refuse than to drop. */
  get mayDrop(): boolean {
    return this.#option?.code === EXPORT_NAME;
  }

  /** Looks at all that is there. @throws Error saying what the server did wrong. */
  observe(): void {
    while (this.state === 'open' && this.#step()) {
      // Each step takes bytes.
    }
    if (this.state === 'tls' && this.#client.available > 0) {
      this.#mustDrop('bytes in the clear behind STARTTLS');
    }
  }

  /** The client begins TLS; false when it is not the time for it. */
  encrypted(): boolean {
    if (this.state !== 'tls') return false;
    this.state = 'open';
    this.#secured = true;
    // Nothing that was said in the clear counts (NBD protocol, 11.3).
    this.structured = false;
    this.extended = false;
    this.contexts = new Map();
    return true;
  }

  #step(): boolean {
    if (!this.#greeted) return this.#greeting();
    if (this.#flags === null) return this.#clientFlags();
    if (this.#option !== null) return this.#answer(this.#option);
    return this.#nextOption();
  }

  #greeting(): boolean {
    const bytes = this.#server.take(GREETING.length);
    if (bytes === null) return false;
    if (!bytes.equals(GREETING)) throw new Error('the greeting is wrong');
    this.#greeted = true;
    return true;
  }

  #clientFlags(): boolean {
    const bytes = this.#client.take(4);
    if (bytes === null) return false;
    this.#flags = bytes.readUInt32BE(0);
    if ((this.#flags & ~3) !== 0) this.#mustDrop('unknown client flags');
    return true;
  }

  #nextOption(): boolean {
    if (this.#header === null) {
      const bytes = this.#client.take(16);
      if (bytes === null) return false;
      this.#header = { code: bytes.readUInt32BE(8), length: bytes.readUInt32BE(12) };
      this.#skipLeft = this.#header.length;
      this.#optionCount += 1;
      if (!bytes.subarray(0, 8).equals(OPTION_MAGIC)) this.#mustDrop('option magic');
      else if (this.#optionCount > this.#world.optionsMax) this.#mustDrop('too many options');
      else if ((this.#flags! & 1) === 0 && this.#header.code !== EXPORT_NAME)
        this.#mustDrop('no fixed newstyle');
      else if (this.#header.length > SKIPPED_MAX) this.#mustDrop('option data');
      return true;
    }
    const { code, length } = this.#header;
    let data: Buffer | null = null;
    if (length > DATA_MAX) {
      this.#skipLeft -= this.#client.skip(this.#skipLeft);
      if (this.#skipLeft > 0) return false;
    } else {
      data = this.#client.take(length);
      if (data === null) return false;
    }
    this.#header = null;
    this.#option = { code, data };
    this.#replies = [];
    return true;
  }

  #answer(option: Option): boolean {
    if (option.code === EXPORT_NAME) return this.#exportNameAnswer(option);
    const header = this.#server.peek(20);
    if (header === null) return false;
    const length = header.readUInt32BE(16);
    if (header.readBigUInt64BE(0) !== REPLY_MAGIC) throw new Error('an option reply has no magic');
    if (header.readUInt32BE(8) !== option.code)
      throw new Error(`a reply to option ${header.readUInt32BE(8)} came for ${option.code}`);
    if (this.#server.peek(20 + length) === null) return false;
    const type = header.readUInt32BE(12);
    this.#server.take(20);
    this.#replies.push({ type, data: Buffer.from(this.#server.take(length)!) });
    if (type === ACK || type >= 2 ** 31) this.#judge(option, type);
    return true;
  }

  #judge(option: Option, final: number): void {
    this.#option = null;
    const text = this.#replies.at(-1)!.data;
    if (final === ACK && text.length > 0) throw new Error('an ACK has data');
    if (text.length > REPLY_TEXT_MAX) throw new Error(`an error text has ${text.length} bytes`);
    if (final === TLS_REQD && (this.#secured || this.#world.tls === 'off')) {
      throw new Error('TLS was required where there is none, or is already');
    }
    if (this.#world.refusesAll() && [SHUTDOWN, POLICY, UNKNOWN].includes(final)) return;
    const expected = this.#expected(option);
    if (expected !== null && !expected.includes(final)) {
      const hex = (value: number): string => `0x${value.toString(16)}`;
      throw new Error(
        `option ${option.code} was answered ${hex(final)}, must be ${expected.map(hex)}`,
      );
    }
    if (final === ACK) this.#acknowledged(option);
    else if (option.code === SET_META_CONTEXT) this.contexts = new Map();
  }

  /** Types of the final reply of which one must come; null where the server is free. */
  #expected({ code, data }: Option): readonly number[] | null {
    if (code !== ABORT && code !== STARTTLS && this.#needsTls) return [TLS_REQD];
    if (data === null) return [TOO_BIG];
    if (code === ABORT) return [ACK];
    if (code === STARTTLS && this.#world.tls !== 'off') {
      return [data.length > 0 || this.#secured ? INVALID : ACK];
    }
    if (WITHOUT_DATA.includes(code) && data.length > 0) {
      return this.#supports(code) ? [INVALID] : null;
    }
    if (code === LIST) return [ACK];
    if (code === STRUCTURED_REPLY) return this.extended ? [EXT_HEADER_REQD] : [ACK, INVALID];
    if (code === INFO || code === GO) {
      if (infoRequestFault(data) !== null) return [INVALID];
      const found = this.#find(nameOf(data));
      if (found === undefined) return [UNKNOWN];
      if (this.#isSecret(found)) return [TLS_REQD];
      return code === GO ? [ACK, POLICY] : [ACK];
    }
    const isMeta = code === LIST_META_CONTEXT || code === SET_META_CONTEXT;
    if (isMeta && metaRequestFault(data) !== null) return [INVALID, TOO_BIG, UNSUP];
    return null;
  }

  /** Nothing but STARTTLS and ABORT works yet. */
  get #needsTls(): boolean {
    return this.#world.tls === 'require' && !this.#secured;
  }

  #isSecret(found: KnownExport): boolean {
    return found.tlsOnly && !this.#secured;
  }

  #supports(code: number): boolean {
    return code === LIST || code === STRUCTURED_REPLY;
  }

  #acknowledged({ code, data }: Option): void {
    if (code === ABORT) this.state = 'may-end';
    else if (code === STRUCTURED_REPLY) this.structured = true;
    else if (code === EXTENDED_HEADERS) this.extended = true;
    else if (code === STARTTLS) this.state = 'tls';
    else if (code === LIST) this.#checkList();
    else if (code === SET_META_CONTEXT) this.#select(data!);
    else if (code === INFO || code === GO) this.#checkInfo(code, data!);
    else if (code !== LIST_META_CONTEXT) throw new Error(`option ${code} was acknowledged`);
  }

  #checkList(): void {
    for (const { type, data } of this.#replies.slice(0, -1)) {
      if (type !== 2 || data.length < 4 || data.readUInt32BE(0) > data.length - 4)
        throw new Error('an entry of LIST is malformed');
    }
    if (this.#replies.length - 1 > this.#world.exports.length) throw new Error('LIST is too long');
  }

  #select(data: Buffer): void {
    if (!this.structured && !this.extended) throw new Error('contexts were set without chunks');
    this.#contextExport = nameOf(data);
    const contexts = new Map<number, string>();
    for (const { type, data: reply } of this.#replies.slice(0, -1)) {
      if (type !== 4 || reply.length < 5) throw new Error('a reply to SET_META_CONTEXT is wrong');
      const id = reply.readUInt32BE(0);
      if (contexts.has(id)) throw new Error(`context id ${id} was given twice`);
      contexts.set(id, reply.toString('utf8', 4));
    }
    this.contexts = contexts;
  }

  #checkInfo(code: number, data: Buffer): void {
    const infos = new Map<number, Buffer>();
    for (const { type, data: reply } of this.#replies.slice(0, -1)) {
      if (type !== 3 || reply.length < 2) throw new Error('an INFO reply is malformed');
      const info = reply.readUInt16BE(0);
      if (infos.has(info)) throw new Error(`info ${info} was sent twice`);
      infos.set(info, reply);
    }
    const shown = infos.get(0);
    if (shown?.length !== 12) throw new Error('the INFO of the export is missing');
    const found = this.#find(nameOf(data))!;
    if (Number(shown.readBigUInt64BE(2)) !== found.size) throw new Error('the size is wrong');
    if (code === GO) this.#agree(found, shown.readUInt16BE(10));
  }

  #exportNameAnswer({ data }: Option): boolean {
    const name = data === null || data.length > STRING_MAX ? null : nameFrom(data);
    const found = name === null ? undefined : this.#find(name);
    if (found === undefined || this.extended || this.#needsTls || this.#isSecret(found)) {
      this.#mustDrop('EXPORT_NAME cannot fail otherwise');
      return true;
    }
    const padding = (this.#flags! & 2) !== 0 ? 0 : 124;
    const bytes = this.#server.take(10 + padding);
    if (bytes === null) return false;
    this.#option = null;
    if (Number(bytes.readBigUInt64BE(0)) !== found.size) throw new Error('the size is wrong');
    if (bytes.subarray(10).some((byte) => byte !== 0)) throw new Error('the padding is no zeros');
    this.#agree(found, bytes.readUInt16BE(8));
    return true;
  }

  #agree(found: KnownExport, transmissionFlags: number): void {
    const chosen = this.#find(this.#contextExport);
    if (chosen !== found) this.contexts = new Map();
    const chunks = this.structured || this.extended;
    if ((transmissionFlags & 1) === 0) throw new Error('HAS_FLAGS is missing');
    if (((transmissionFlags & 0x80) !== 0) !== chunks) throw new Error('SEND_DF is wrong');
    this.exportName = found.name;
    this.facts = {
      size: BigInt(found.size),
      transmissionFlags,
      extended: this.extended,
      chunks,
      hasContexts: chunks && this.contexts.size > 0,
    };
    this.state = 'agreed';
  }

  #find(name: string | null): KnownExport | undefined {
    const { exports } = this.#world;
    const found = exports.find((one) => one.name === name);
    return found ?? (name === '' && exports.length === 1 ? exports[0] : undefined);
  }

  #mustDrop(why: string): void {
    this.state = 'must-drop';
    this.why = why;
  }
}

function nameFrom(data: Buffer): string | null {
  const text = data.toString('utf8');
  return Buffer.from(text).equals(data) && !data.includes(0) ? text : null;
}
