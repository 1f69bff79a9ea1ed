/**
 * Requests that a client has sent, and the replies that come: each exactly once, in the form that
 * was agreed, with the error that the protocol asks for, and with the right data.
 */

import type { ByteStream } from './byte-stream.ts';
import type { ContentModel, ModelRead, ModelWrite } from './content-model.ts';
import { beginsChunk, readChunk, readSimpleReply, type SeenReply } from './reply-form.ts';
import {
  type AgreedFacts,
  allowedErrors,
  BLOCK_STATUS,
  carriesStatusQuery,
  DISC,
  type ObservedRequest,
  PAYLOAD_MAX,
  payloadLength,
  READ,
  readStatusQuery,
  TRIM,
  WRITE,
  WRITE_ZEROES,
} from './request-verdict.ts';

const REQUEST_MAGIC = 0x25609513;
const EXTENDED_MAGIC = 0x21e41c71;
const EIO = 5;
const ESHUTDOWN = 108;

export interface TransmissionWorld {
  /** Null for an export whose content nobody knows. */
  readonly model: ContentModel | null;
  /** Errors that an accepted request may get at present, beside none. */
  deviceErrors(): readonly number[];
}

interface Outstanding {
  readonly request: ObservedRequest;
  readonly errors: readonly number[];
  readonly write: ModelWrite | null;
  readonly read: ModelRead | null;
  /** Of a READ in chunks. */
  data: Buffer | null;
  dataBytes: number;
  /** Of BLOCK_STATUS: those of which nothing has come. */
  readonly contexts: Set<number>;
}

export class TransmissionObserver {
  state: 'open' | 'must-drop' | 'disconnected' = 'open';
  why = '';
  /** Requests that were complete, and replies that came. */
  requests = 0;
  replies = 0;
  readonly #world: TransmissionWorld;
  readonly #facts: AgreedFacts;
  readonly #contexts: ReadonlySet<number>;
  readonly #client: ByteStream;
  readonly #server: ByteStream;
  readonly #outstanding = new Map<bigint, Outstanding[]>();
  #outstandingCount = 0;
  #header: ObservedRequest | null = null;
  /** Two requests had one cookie: replies cannot be told apart, and no write is ever sure. */
  #blind = false;
  #ended = false;

  constructor(options: {
    readonly world: TransmissionWorld;
    readonly facts: AgreedFacts;
    readonly contexts: ReadonlyMap<number, string>;
    readonly client: ByteStream;
    readonly server: ByteStream;
  }) {
    this.#world = options.world;
    this.#facts = options.facts;
    this.#contexts = new Set(options.contexts.keys());
    this.#client = options.client;
    this.#server = options.server;
  }

  /** Requests without a reply. */
  get unanswered(): number {
    return this.#blind ? 0 : this.#outstandingCount;
  }

  /** @throws Error saying what the server did wrong. */
  observe(): void {
    while (this.state === 'open' && this.#nextRequest()) {
      // Each step takes bytes.
    }
    while (!this.#blind && this.#nextReply()) this.replies += 1;
  }

  /** The client has ended its side: what has not begun may never do so. */
  clientEnded(): void {
    this.#ended = true;
  }

  /** The connection is gone; what it asked for may still happen. */
  lost(): void {
    for (const list of this.#outstanding.values()) {
      for (const { write, read } of list) {
        if (write !== null) this.#world.model!.loseWrite(write);
        if (read !== null) this.#world.model!.endRead(read, null);
      }
    }
    this.#outstanding.clear();
    this.#outstandingCount = 0;
  }

  #nextRequest(): boolean {
    this.#header ??= this.#takeHeader();
    const request = this.#header;
    if (request === null) return false;
    if (request.type === DISC) {
      this.state = 'disconnected';
      return false;
    }
    const size = payloadLength(request, this.#facts.extended);
    if (size > PAYLOAD_MAX) {
      this.#mustDrop('payload too large');
      return false;
    }
    const payload = this.#client.take(Number(size));
    if (payload === null) return false;
    this.#header = null;
    this.requests += 1;
    if (carriesStatusQuery(request, this.#facts)) {
      const query = readStatusQuery(payload, this.#contexts);
      const length = query?.length ?? 0n;
      this.#remember({ ...request, length }, payload, query?.contexts ?? []);
    } else {
      this.#remember(request, payload, [...this.#contexts]);
    }
    return true;
  }

  #takeHeader(): ObservedRequest | null {
    const { extended } = this.#facts;
    const bytes = this.#client.take(extended ? 32 : 28);
    if (bytes === null) return null;
    if (bytes.readUInt32BE(0) !== (extended ? EXTENDED_MAGIC : REQUEST_MAGIC)) {
      this.#mustDrop('request magic');
      return null;
    }
    return {
      flags: bytes.readUInt16BE(4),
      type: bytes.readUInt16BE(6),
      cookie: bytes.readBigUInt64BE(8),
      offset: bytes.readBigUInt64BE(16),
      length: extended ? bytes.readBigUInt64BE(24) : BigInt(bytes.readUInt32BE(24)),
    };
  }

  #remember(request: ObservedRequest, payload: Buffer, contexts: readonly number[]): void {
    const errors = allowedErrors(request, this.#facts);
    const { type, length } = request;
    const touches = errors.includes(0) && length > 0n && this.#world.model !== null;
    const outstanding: Outstanding = {
      request,
      errors,
      write: touches && isWrite(type) ? this.#beginWrite(request, payload) : null,
      read:
        touches && type === READ
          ? this.#world.model!.beginRead(Number(request.offset), Number(length))
          : null,
      data: null,
      dataBytes: 0,
      contexts: new Set(contexts),
    };
    const same = this.#outstanding.get(request.cookie);
    if (same === undefined) this.#outstanding.set(request.cookie, [outstanding]);
    else same.push(outstanding);
    if (same !== undefined && same.length > 1) this.#blind = true;
    this.#outstandingCount += 1;
  }

  #beginWrite({ type, offset, length }: ObservedRequest, payload: Buffer): ModelWrite {
    const data = type === WRITE ? Buffer.from(payload) : type === TRIM ? undefined : null;
    return this.#world.model!.beginWrite(Number(offset), Number(length), data);
  }

  #nextReply(): boolean {
    const { chunks, extended } = this.#facts;
    if (chunks && beginsChunk(this.#server, extended)) {
      const chunk = readChunk(this.#server, extended);
      if (chunk !== null) this.#chunk(chunk);
      return chunk !== null;
    }
    const simple = readSimpleReply(this.#server, (cookie) => this.#simpleLength(cookie));
    if (simple === null) return false;
    if (extended) throw new Error('a simple reply came in extended mode');
    this.#simple(simple);
    return true;
  }

  #simpleLength(cookie: bigint): number {
    const { request } = this.#find(cookie);
    return request.type === READ ? Number(request.length) : 0;
  }

  #simple(reply: SeenReply): void {
    const one = this.#find(reply.cookie);
    const isChunky = one.request.type === READ || one.request.type === BLOCK_STATUS;
    if (this.#facts.chunks && isChunky) throw new Error('a READ got a simple reply');
    if (reply.error === 0 && one.request.type === READ) {
      one.data = reply.data;
      one.dataBytes = reply.data.length;
    }
    this.#finish(one, reply.error);
  }

  #chunk(reply: SeenReply): void {
    const one = this.#find(reply.cookie);
    if (this.#facts.extended && reply.requestOffset !== one.request.offset) {
      throw new Error('an extended reply has another offset than its request');
    }
    if (reply.content !== null) this.#takeContent(one, reply);
    if (reply.status !== null) this.#takeStatus(one, reply.status);
    if (reply.done) this.#finish(one, reply.error);
    else if (reply.kind === 'none') throw new Error('a NONE chunk without DONE');
  }

  #takeContent(one: Outstanding, reply: SeenReply): void {
    const { request } = one;
    const { offset, size } = reply.content!;
    if (request.type !== READ) throw new Error('content came for no READ');
    const at = offset - request.offset;
    if (at < 0n || at + BigInt(size) > request.length) throw new Error('content is outside');
    one.data ??= Buffer.alloc(Number(request.length));
    if (reply.data.length > 0) one.data.set(reply.data, Number(at));
    one.dataBytes += size;
  }

  #takeStatus(one: Outstanding, status: NonNullable<SeenReply['status']>): void {
    const { request } = one;
    if (request.type !== BLOCK_STATUS) throw new Error('status came for another command');
    const { context, extents } = status;
    if (!one.contexts.delete(context)) {
      throw new Error(`status came for context ${context}, not asked for, or twice`);
    }
    if (extents.length === 0) throw new Error('status without extents');
    const isOne = (request.flags & 8) !== 0;
    if (isOne && extents.length > 1) throw new Error('REQ_ONE got several extents');
    let sum = 0n;
    for (const length of extents) {
      if (length === 0n) throw new Error('an extent is empty');
      if (sum >= request.length) throw new Error('an extent begins behind the request');
      sum += length;
    }
    if (isOne && sum > request.length) throw new Error('REQ_ONE got a longer extent');
    if (request.offset + sum > this.#facts.size) throw new Error('an extent is beyond the end');
  }

  #finish(one: Outstanding, error: number): void {
    const { request } = one;
    const list = this.#outstanding.get(request.cookie)!;
    list.splice(list.indexOf(one), 1);
    if (list.length === 0) this.#outstanding.delete(request.cookie);
    this.#outstandingCount -= 1;
    const shown = `command ${request.type} at ${request.offset}+${request.length}`;
    const mayFail = one.errors.includes(0) || error === ESHUTDOWN;
    const isAllowed = mayFail && this.#world.deviceErrors().includes(error);
    const isOver = error === EIO && (this.#ended || this.state === 'disconnected');
    if (!one.errors.includes(error) && !isAllowed && !isOver) {
      throw new Error(`${shown} with flags ${request.flags} got error ${error}, not ${one.errors}`);
    }
    if (one.write !== null) this.#world.model!.endWrite(one.write, error === 0);
    if (one.read !== null) this.#checkRead(one, one.read, error, shown);
    const complete = BigInt(one.dataBytes) === request.length;
    if (error === 0 && request.type === READ && !complete && request.length > 0n) {
      throw new Error(`${shown} got ${one.dataBytes} bytes`);
    }
    if (error === 0 && request.type === BLOCK_STATUS && one.contexts.size > 0) {
      throw new Error(`${shown} got nothing of ${one.contexts.size} contexts`);
    }
  }

  #checkRead(one: Outstanding, read: ModelRead, error: number, shown: string): void {
    const wrong = this.#world.model!.endRead(read, error === 0 ? one.data : null);
    if (wrong !== null) throw new Error(`${shown}: ${wrong}`);
  }

  #find(cookie: bigint): Outstanding {
    const list = this.#outstanding.get(cookie);
    if (list === undefined) throw new Error(`a reply came for cookie ${cookie}, which waits not`);
    return list[0]!;
  }

  #mustDrop(why: string): void {
    this.state = 'must-drop';
    this.why = why;
  }
}

function isWrite(type: number): boolean {
  return type === WRITE || type === TRIM || type === WRITE_ZEROES;
}
