/**
 * The byte stream of a client that a fuzzer plays: like a socket in what may come in which order,
 * but quick, and strict with the server where a socket is silent.
 */

import type { TlsUpgrade } from '../../src/nbd/tls.ts';
import type { Transport, TransportSink } from '../../src/nbd/transport.ts';

/** A socket's place for bytes that come while nobody reads. */
const PARKING_BYTES = 4096;
/** Headers are cut in small pieces; a payload of any size is not, which would take for ever. */
const SMALL_READS = 50;
const LARGE_READ_BYTES = 2 ** 16;
/** Of what the server sends at once, in turn. */
const SHARES_SENT_NOW = [1, 0, 1, 1, 0.5, 0, 1, 0.9];
/** Stands for what a client says to begin TLS; known by being this very object. */
const HELLO = Buffer.of(0x16);

export class FuzzTransport implements Transport {
  readonly peer = 'fuzz';
  readonly isLossy = false;
  /** At most so many bytes come with one read, at the beginning of what was fed. */
  readonly readBytesMax: number;
  /** False while the client takes nothing: what is sent stays queued. */
  clientReads = true;
  serverEnded = false;
  /** Counts whatever happens here. */
  activity = 0;
  destroyed = false;
  /** Everything that the server sends, at the moment when it gives it away. */
  readonly #onBytes: (bytes: Buffer) => void;
  #sink: TransportSink | null = null;
  #reading = true;
  #parked = true;
  #broken = false;
  #closeDelivered = false;
  #pending: Buffer[] = [];
  #clientEnded = false;
  #queued: { readonly size: number; readonly onSent: () => void }[] = [];
  #queuedBytes = 0;
  #pumping = false;
  #sendsNow = 0;
  #encrypting: ((failure: string | null) => void) | null = null;
  /** A planted mistake: bytes in the clear are taken for TLS. */
  readonly #isGullible: boolean;
  /** Since bytes were fed. */
  #reads = 0;

  constructor(options: {
    readonly readBytesMax: number;
    readonly onBytes: (bytes: Buffer) => void;
    readonly isGullible?: boolean;
  }) {
    this.#isGullible = options.isGullible === true;
    this.readBytesMax = options.readBytesMax;
    this.#onBytes = options.onBytes;
  }

  /** It was the client who broke it. */
  get brokenByClient(): boolean {
    return this.#broken;
  }

  get broken(): boolean {
    return this.#broken || this.destroyed;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** False while the server has stopped reading. */
  get reading(): boolean {
    return this.#reading;
  }

  start(sink: TransportSink): void {
    this.#sink = sink;
  }

  /** Now all of it leaves, now a part, now nothing, as a kernel's buffer has room. */
  sendNow(bytes: Uint8Array): number {
    this.#checkMaySend(bytes);
    this.#sendsNow += 1;
    if (this.#queued.length > 0 || !this.clientReads || this.broken) return 0;
    const share = SHARES_SENT_NOW[this.#sendsNow % SHARES_SENT_NOW.length]!;
    const size = Math.floor(bytes.length * share);
    if (size > 0) this.#onBytes(Buffer.from(bytes.subarray(0, size)));
    this.activity += 1;
    return size;
  }

  send(bytes: Uint8Array, onSent: () => void): void {
    this.#checkMaySend(bytes);
    this.activity += 1;
    this.#onBytes(Buffer.from(bytes));
    this.#queued.push({ size: bytes.length, onSent });
    this.#queuedBytes += bytes.length;
  }

  cork(): void {}

  uncork(): void {}

  resume(): void {
    this.activity += 1;
    this.#reading = true;
  }

  /** TLS begins when the client says hello, and fails when it says anything else. */
  encrypt(_upgrade: TlsUpgrade, done: (failure: string | null) => void): void {
    if (this.#encrypting !== null) throw new Error('TLS was started twice');
    this.#encrypting = done;
    this.activity += 1;
  }

  end(): void {
    if (this.serverEnded) throw new Error('The transport was ended twice');
    this.serverEnded = true;
  }

  destroy(): void {
    this.destroyed = true;
  }

  /** The client sends bytes. */
  feed(bytes: Buffer): void {
    this.#reads = 0;
    if (bytes.length > 0) this.#pending.push(bytes);
    this.#pump();
  }

  /** The client begins TLS: not to be called but when the server waits for it. */
  feedHello(): void {
    this.#pending.push(HELLO);
    this.activity += 1;
  }

  /** The client ends its side. */
  feedEnd(): void {
    this.#clientEnded = true;
    this.#pump();
  }

  /** The client is gone: first a send or a read fails, and later the socket closes. */
  break(): void {
    if (!this.destroyed) this.#broken = true;
  }

  /** What a turn of the event loop brings: bytes leave, more come, a closed socket says so. */
  turn(): void {
    if (this.broken) {
      if (this.#closeDelivered) return;
      this.#closeDelivered = true;
      this.activity += 1;
      // As a socket does: what could not be sent belongs to its sender again.
      for (const { onSent } of this.#queued.splice(0)) onSent();
      // A server without a place for it has never looked at it.
      this.#sink?.closed();
      return;
    }
    this.#shakeHands();
    if (this.clientReads) {
      for (const { size, onSent } of this.#queued.splice(0)) {
        this.activity += 1;
        this.#queuedBytes -= size;
        onSent();
      }
    }
    this.#pump();
  }

  #checkMaySend(bytes: Uint8Array): void {
    if (this.destroyed) throw new Error('Bytes were sent on a destroyed transport');
    if (this.serverEnded) throw new Error('Bytes were sent behind the end');
    if (bytes.length === 0) throw new Error('No bytes were sent');
  }

  #shakeHands(): void {
    const [first] = this.#pending;
    const done = this.#encrypting;
    if (done === null || (first === undefined && !this.#clientEnded)) return;
    this.activity += 1;
    this.#encrypting = null;
    if (this.#reading) throw new Error('bytes were read while TLS begins');
    if (first === HELLO) this.#pending.shift();
    done(first === HELLO || this.#isGullible ? null : 'this is no TLS');
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#reading && this.#pending.length > 0 && !this.broken) this.#readOnce();
    this.#pumping = false;
    if (this.#clientEnded && this.#pending.length === 0 && this.#reading && !this.broken) {
      this.#clientEnded = false;
      this.activity += 1;
      this.#sink!.ended();
    }
  }

  #readOnce(): void {
    this.activity += 1;
    const next = this.#pending[0]!;
    this.#reads += 1;
    const piece = this.#reads > SMALL_READS ? LARGE_READ_BYTES : this.readBytesMax;
    const most = this.#parked ? Math.min(PARKING_BYTES, piece) : piece;
    let more: boolean;
    let size: number;
    if (this.#parked) {
      size = Math.min(most, next.length);
      more = this.#sink!.receivedElsewhere(next.subarray(0, size));
    } else {
      const window = this.#sink!.window();
      if (window.length === 0) throw new Error('A window of no bytes');
      size = Math.min(most, next.length, window.length);
      window.set(next.subarray(0, size));
      more = this.#sink!.received(size);
    }
    if (size === next.length) this.#pending.shift();
    else this.#pending[0] = next.subarray(size);
    this.#parked = !more;
    if (!more) this.#reading = false;
  }
}
