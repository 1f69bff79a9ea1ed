/**
 * One client from its first byte to its last: handshake, transmission, draining, closed.
 *
 * The status only ever moves forward, and nothing that happens to one connection reaches another.
 * No sockets here: bytes come and go through a `Transport`.
 */

import type { Clock, Timer } from '../../base/clock.ts';
import { NBD_DISCONNECT_MS_MAX, NBD_LINGER_MS_MAX } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import type { BufferPool } from '../buffer-pool.ts';
import { FrameReader } from '../codec/frame-reader.ts';
import { NBD_ERRORS } from '../constants.ts';
import type { TlsPolicy } from '../tls.ts';
import type { Transport, TransportSink } from '../transport.ts';
import type { Export } from './export.ts';
import type { ExportList } from './export-list.ts';
import { Handshake, type HandshakeContext } from './handshake.ts';
import type { HandshakeFeatures } from './handshake-features.ts';
import type { PayloadBudget } from './payload-budget.ts';
import { ReplyQueue } from './reply-queue.ts';
import { Transmission } from './transmission.ts';
import { TurnShare, type Turns } from './turn-share.ts';

/** What all connections of a server share. */
export interface ConnectionContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly exports: ExportList;
  readonly features: HandshakeFeatures;
  readonly pool: BufferPool;
  readonly budget: PayloadBudget;
  readonly turns: Turns;
  /** 0 for no limit. */
  readonly handshakeMsMax: number;
  readonly tls: TlsPolicy;
  stopping(): boolean;
  onRequests(): void;
  onClosed(connection: Connection): void;
  /** Somebody wanted to speak TLS, and could not; worth a line in the log, but not thousands. */
  onTlsFailure(connection: Connection, reason: string): void;
}

/** Where bytes go that nobody wants any more. */
const IGNORED_BYTES = 2 ** 14;

/**
 * - `draining`: no more requests; what is in progress ends and is answered.
 * - `lingering`: all is answered and our side has ended; the client may take a moment to end its
 *   own.
 */
const STATUS = { handshake: 0, transmission: 1, draining: 2, lingering: 3, closed: 4 } as const;
export type ConnectionStatus = keyof typeof STATUS;

export class Connection implements TransportSink {
  readonly id: number;
  readonly #context: ConnectionContext;
  readonly #transport: Transport;
  readonly #reader: FrameReader;
  readonly #replies: ReplyQueue;
  readonly #handshakeContext: HandshakeContext;
  #handshake: Handshake;
  #transmission: Transmission | null = null;
  #status: ConnectionStatus = 'handshake';
  /** A bound is reached: the transport does not read. */
  #stopped = false;
  /** Between the clear and TLS: nothing is parsed. */
  #isEncrypting = false;
  #advancing = false;
  /** Counted as a connection of its export. */
  #attached = false;
  #timer: Timer | null = null;
  /** At the last look for stalled payloads. */
  #payloadProgress: string | null = null;
  #ignored: Buffer | null = null;

  constructor(id: number, transport: Transport, context: ConnectionContext) {
    this.id = id;
    this.#context = context;
    this.#transport = transport;
    this.#reader = new FrameReader(context.pool);
    this.#replies = new ReplyQueue({
      pool: context.pool,
      transport,
      clock: context.clock,
      onProgress: () => this.#progressed(),
    });
    transport.start(this);
    const { mode, upgrade } = context.tls;
    this.#handshakeContext = {
      exports: context.exports,
      features: context.features,
      tls: { mode, available: upgrade !== null && transport.encrypt !== undefined },
      stopping: () => context.stopping(),
      send: (bytes) => transport.send(bytes, () => this.#progressed()),
      queuedBytes: () => transport.queuedBytes,
    };
    this.#handshake = new Handshake(this.#handshakeContext);
    if (context.handshakeMsMax > 0) {
      this.#setTimer(context.handshakeMsMax, () => this.#drop('handshake takes too long'));
    }
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  get peer(): string {
    return this.#transport.peer;
  }

  /** The export that is served, from GO on. */
  get export(): Export | null {
    return this.#transmission === null ? null : this.#handshake.negotiated.export;
  }

  /** Requests that the client waits for. */
  get unanswered(): number {
    return this.#transmission?.unanswered ?? 0;
  }

  /** Bytes of replies that the client has not taken. */
  get queuedBytes(): number {
    return this.#replies.queuedBytes;
  }

  window(): Uint8Array {
    if (!this.#ignoresInput()) return this.#reader.window();
    this.#ignored ??= Buffer.allocUnsafeSlow(IGNORED_BYTES);
    return this.#ignored;
  }

  received(size: number): boolean {
    if (this.#ignoresInput()) return true;
    this.#reader.received(size);
    return this.#advance();
  }

  receivedElsewhere(bytes: Uint8Array): boolean {
    if (this.#ignoresInput()) return true;
    this.#reader.append(bytes);
    return this.#advance();
  }

  ended(): void {
    if (this.#status === 'handshake') {
      // Port probes and clients that only ask end like this.
      const { betweenOptions } = this.#handshake;
      this.#drop(betweenOptions ? 'client left' : 'client left in the middle of an option');
    } else if (this.#status === 'transmission') {
      this.#context.log.debug('client left without DISC', this.#logFields());
      this.#transmission!.abandonUnstarted();
      this.#drain();
    }
    // One that is done already still takes its replies: `closed` follows when all have left.
  }

  closed(): void {
    this.#close();
  }

  /** Remembers how far a payload is that comes in. */
  notePayload(): void {
    this.#payloadProgress = this.#transmission?.payloadProgress ?? null;
  }

  /** Others wait for memory: gives up a payload that has not gone on since the last look. */
  dropStalledPayload(): void {
    const before = this.#payloadProgress;
    this.notePayload();
    const isStalled = before !== null && before === this.#payloadProgress;
    if (isStalled && this.#status === 'transmission') this.#drop('payload of a WRITE stalls');
  }

  /** The server stops, gracefully: ends once nothing is in progress. */
  stopWhenIdle(): void {
    if (this.#status === 'transmission') this.#endIfDrained();
  }

  /** Answers all that is in progress with an error, then closes. */
  fail(error: number, text: string): void {
    if (this.#status === 'handshake') {
      this.#drop(text);
    } else if (this.#status === 'transmission' || this.#status === 'draining') {
      this.#transmission!.failAll(error, text);
      this.#drain();
    }
  }

  /** Closes at once; not one more byte leaves. */
  abort(): void {
    this.#close();
  }

  /** Parses what is there; false when the transport must stop reading. */
  #advance(): boolean {
    this.#advancing = true;
    if (this.#status === 'handshake') this.#advanceHandshake();
    if (this.#status === 'transmission') this.#advanceTransmission();
    this.#advancing = false;
    // A transmission that drains within `advance` could not end before.
    this.#endIfDrained();
    return !this.#stopped;
  }

  #advanceHandshake(): void {
    const outcome = this.#handshake.advance(this.#reader);
    this.#stopped = outcome === 'stopped';
    if (outcome === 'drop') {
      this.#drop(this.#handshake.dropReason);
    } else if (outcome === 'close') {
      this.#linger();
    } else if (outcome === 'start-tls') {
      this.#startTls();
    } else if (outcome === 'done') {
      this.#clearTimer();
      const { clock, pool, budget, turns } = this.#context;
      const { negotiated } = this.#handshake;
      negotiated.export.attached();
      this.#attached = true;
      this.#transmission = new Transmission({
        negotiated,
        reader: this.#reader,
        replies: this.#replies,
        pool,
        budget,
        clock,
        share: new TurnShare(turns, () => this.#progressed()),
        stopping: () => this.#context.stopping(),
        onFreed: () => this.#replies.schedule(),
      });
      this.#enter('transmission');
      this.#context.log.debug('export attached', this.#logFields());
    }
  }

  /**
   * The deadline of the handshake goes on. Bytes that came in the clear behind STARTTLS belong to
   * nobody (NBD protocol, 11.3); those that the kernel still has will be no TLS.
   */
  #startTls(): void {
    if (this.#reader.available > 0) {
      this.#drop('bytes in the clear behind STARTTLS');
      return;
    }
    this.#stopped = true;
    this.#isEncrypting = true;
    this.#transport.encrypt!(this.#context.tls.upgrade!, (failure) => {
      if (this.#status !== 'handshake') return;
      if (failure !== null) {
        this.#context.onTlsFailure(this, failure);
        this.#drop(`TLS: ${failure}`);
      } else if (this.#reader.available > 0) {
        this.#drop('bytes in the clear behind STARTTLS');
      } else {
        this.#handshake = new Handshake(this.#handshakeContext, this.#handshake);
        this.#isEncrypting = false;
        this.#stopped = false;
        this.#transport.resume();
      }
    });
  }

  #advanceTransmission(): void {
    this.#context.onRequests();
    const outcome = this.#transmission!.advance();
    this.#stopped = outcome === 'stopped';
    if (outcome === 'drop') this.#drop(this.#transmission!.dropReason);
    else if (outcome === 'disconnect') this.#drain();
  }

  /** Replies left, or requests ended: go on where a bound had stopped us. */
  #progressed(): void {
    // While we do not read we do not see the end of a client; what it left unparsed must not begin.
    if (this.#advancing || this.#isEncrypting || this.#transport.broken) return;
    if (this.#stopped && !this.#ignoresInput()) {
      if (this.#advance()) this.#transport.resume();
    } else {
      this.#endIfDrained();
    }
  }

  /** No more requests. What a device holds for very long does not hold the connection for ever. */
  #drain(): void {
    if (!this.#enter('draining')) return;
    this.#setTimer(NBD_DISCONNECT_MS_MAX, () => {
      this.#transmission!.failAll(NBD_ERRORS.EIO, 'client disconnected before the device answered');
    });
    this.#endIfDrained();
  }

  #endIfDrained(): void {
    const ends =
      this.#status === 'draining' || (this.#status === 'transmission' && this.#context.stopping());
    if (!ends || this.#advancing || this.unanswered > 0) return;
    this.#linger();
  }

  #linger(): void {
    if (!this.#enter('lingering')) return;
    // Before the client sees our end: it may want to do something to the device next.
    this.#detach();
    this.#replies.flush();
    this.#transport.end();
    this.#closeUnlessProgress(this.#transport.queuedBytes);
    if (this.#stopped) this.#transport.resume();
  }

  /** A slow reader gets all its replies, as long as it takes any. */
  #closeUnlessProgress(queuedBytes: number): void {
    this.#setTimer(NBD_LINGER_MS_MAX, () => {
      const left = this.#transport.queuedBytes;
      if (left > 0 && left < queuedBytes) this.#closeUnlessProgress(left);
      else this.#close();
    });
  }

  #detach(): void {
    if (!this.#attached) return;
    this.#attached = false;
    this.#handshake.negotiated.export.detached();
  }

  #drop(reason: string): void {
    this.#context.log.debug(`connection dropped: ${reason}`, this.#logFields());
    this.#close();
  }

  #close(): void {
    if (!this.#enter('closed')) return;
    this.#clearTimer();
    if (this.#transmission !== null) {
      this.#transmission.close();
      this.#detach();
    }
    this.#replies.close();
    this.#reader.close();
    this.#transport.destroy();
    this.#context.onClosed(this);
  }

  /** False when the status is that, or later, already. */
  #enter(status: ConnectionStatus): boolean {
    if (STATUS[status] <= STATUS[this.#status]) return false;
    this.#status = status;
    return true;
  }

  #ignoresInput(): boolean {
    return STATUS[this.#status] >= STATUS.draining;
  }

  #setTimer(delayMs: number, task: () => void): void {
    this.#clearTimer();
    this.#timer = this.#context.clock.after(delayMs, task);
  }

  #clearTimer(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #logFields(): Readonly<Record<string, string | number>> {
    return { connection: this.id, peer: this.peer, export: this.export?.name ?? '' };
  }
}
