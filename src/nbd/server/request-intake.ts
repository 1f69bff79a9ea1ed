/**
 * The way in of requests: from received bytes to a header that was judged. Consumes headers, the
 * payload of BLOCK_STATUS, and payloads that nobody wants; that of a WRITE is the transmission's.
 */

import { NBD_PAYLOAD_BYTES_MAX } from '../../base/limits.ts';
import type { FrameReader } from '../codec/frame-reader.ts';
import {
  decodeExtendedRequest,
  decodeRequest,
  decodeStatusQuery,
  RequestHeader,
} from '../codec/request-codec.ts';
import {
  COMMAND_FLAGS,
  COMMANDS,
  commandName,
  EXTENDED_REQUEST_SIZE,
  NBD_ERRORS,
  REQUEST_SIZE,
  TRANSMISSION_FLAGS,
} from '../constants.ts';
import type { SelectedContext } from './meta-context.ts';
import type { Negotiated } from './negotiated.ts';
import { type Refusal, type RequestFacts, validateRequest } from './validate-request.ts';

/**
 * - `more`: needs more bytes. - `accepted`: `header` is a request to carry out.
 * - `refused`: `refusal` says why not, all its bytes are consumed. - `disconnect`: DISC.
 * - `drop`: the client broke the protocol.
 */
export type IntakeOutcome = 'more' | 'accepted' | 'refused' | 'disconnect' | 'drop';

export class RequestIntake {
  /** The latest request. */
  readonly header = new RequestHeader();
  /** The contexts that it is about, if it is a BLOCK_STATUS. */
  asked: readonly SelectedContext[];
  readonly #negotiated: Negotiated;
  readonly #reader: FrameReader;
  readonly #stopping: () => boolean;
  readonly #isExtended: boolean;
  readonly #headerSize: number;
  readonly #facts: { -readonly [Key in keyof RequestFacts]: RequestFacts[Key] };
  #phase: 'header' | 'status-query' | 'refused-payload' = 'header';
  #payloadLeft = 0;
  #refusal: Refusal | null = null;
  #dropReason = '';

  constructor(negotiated: Negotiated, reader: FrameReader, stopping: () => boolean) {
    const { size, transmissionFlags, replyStyle, contexts } = negotiated;
    const contextCount = contexts.length;
    this.asked = contexts;
    this.#negotiated = negotiated;
    this.#reader = reader;
    this.#stopping = stopping;
    this.#facts = { size, transmissionFlags, replyStyle, contextCount, stopping: false };
    this.#isExtended = replyStyle === 'extended';
    this.#headerSize = this.#isExtended ? EXTENDED_REQUEST_SIZE : REQUEST_SIZE;
    reader.headerSize = this.#headerSize;
  }

  /** Why the latest request was refused. */
  get refusal(): Refusal {
    return this.#refusal!;
  }

  get dropReason(): string {
    return this.#dropReason;
  }

  /** Nothing of an unfinished request was consumed. */
  get idle(): boolean {
    return this.#phase === 'header';
  }

  next(): IntakeOutcome {
    if (this.#phase === 'header') return this.#takeHeader();
    return this.#phase === 'status-query' ? this.#takeStatusQuery() : this.#skipPayload();
  }

  #takeHeader(): IntakeOutcome {
    const { header } = this;
    if (!this.#reader.need(this.#headerSize)) return 'more';
    const { view } = this.#reader.buffer;
    const isRequest = this.#isExtended
      ? decodeExtendedRequest(view, this.#reader.start, header)
      : decodeRequest(view, this.#reader.start, header);
    if (!isRequest) return this.#drop('request with a wrong magic');
    this.#reader.consume(this.#headerSize);
    const { command, length } = header;
    if (command === COMMANDS.DISC) return 'disconnect';
    const saysPayload = this.#isExtended && (header.flags & COMMAND_FLAGS.PAYLOAD_LEN) !== 0;
    this.#payloadLeft = command === COMMANDS.WRITE || saysPayload ? length : 0;
    if (this.#payloadLeft > NBD_PAYLOAD_BYTES_MAX) {
      const limit = `must be at most ${NBD_PAYLOAD_BYTES_MAX}`;
      return this.#drop(`${commandName(command)} with ${length} bytes of payload, ${limit}`);
    }
    if (command === COMMANDS.BLOCK_STATUS) {
      this.asked = this.#negotiated.contexts;
      if (saysPayload && this.#takesStatusQueries) {
        // What is longer names a context twice, or one that is not selected.
        if (length > 8 + 4 * this.asked.length) return this.#refuseStatusQuery();
        this.#phase = 'status-query';
        return this.#takeStatusQuery();
      }
    }
    return this.#judge();
  }

  get #takesStatusQueries(): boolean {
    return (this.#negotiated.transmissionFlags & TRANSMISSION_FLAGS.BLOCK_STATUS_PAYLOAD) !== 0;
  }

  /** The payload of BLOCK_STATUS: which contexts, and how many bytes are really meant. */
  #takeStatusQuery(): IntakeOutcome {
    if (!this.#reader.need(this.#payloadLeft)) return 'more';
    const query = decodeStatusQuery(this.#reader.peek(this.#payloadLeft));
    this.#reader.consume(this.#payloadLeft);
    this.#payloadLeft = 0;
    this.#phase = 'header';
    const asked = this.asked.filter(({ id }) => query?.contextIds.includes(id));
    if (query === null || asked.length === 0 || asked.length !== query.contextIds.length) {
      return this.#refuseStatusQuery();
    }
    this.asked = asked;
    this.header.length = query.effectLength;
    return this.#judge();
  }

  #refuseStatusQuery(): IntakeOutcome {
    const text = 'BLOCK_STATUS: payload must name selected metadata contexts, each once';
    this.#refusal = { error: NBD_ERRORS.EINVAL, text };
    this.#phase = 'refused-payload';
    return this.#skipPayload();
  }

  #judge(): IntakeOutcome {
    this.#facts.stopping = this.#stopping();
    this.#refusal = validateRequest(this.header, this.#facts);
    if (this.#refusal === null) return 'accepted';
    this.#phase = 'refused-payload';
    return this.#skipPayload();
  }

  #skipPayload(): IntakeOutcome {
    const size = Math.min(this.#reader.available, this.#payloadLeft);
    this.#reader.consume(size);
    this.#payloadLeft -= size;
    if (this.#payloadLeft > 0) {
      this.#reader.need(1);
      return 'more';
    }
    this.#phase = 'header';
    return 'refused';
  }

  #drop(reason: string): IntakeOutcome {
    this.#dropReason = reason;
    return 'drop';
  }
}
