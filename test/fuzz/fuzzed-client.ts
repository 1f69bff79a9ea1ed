/** One client of a fuzzed server, with the observer that judges what its connection does. */

import { NBD_PAYLOAD_STALL_MS_MAX } from '../../src/base/limits.ts';
import { ByteStream } from './byte-stream.ts';
import { HagglingObserver, type HagglingWorld } from './observe-haggling.ts';
import { TransmissionObserver, type TransmissionWorld } from './observe-transmission.ts';

export interface ClientWorld {
  readonly haggling: HagglingWorld;
  readonly handshakeMsMax: number;
  now(): number;
  /** What is known of the export that was agreed on. */
  transmission(exportName: string): TransmissionWorld;
  /** The server stops, or the export is removed: any connection may end. */
  endsAll(): boolean;
}

/** The client's end of a byte stream. */
export interface ClientEnd {
  readonly broken: boolean;
  readonly brokenByClient: boolean;
  /** False while the server is known not to read. */
  readonly reading: boolean;
  /** What the server has said last may be lost with the connection. */
  readonly isLossy: boolean;
  /** Whether it takes what the server sends. */
  clientReads: boolean;
  feed(bytes: Buffer): void;
  /** Begins TLS. */
  feedHello(): void;
  feedEnd(): void;
  break(): void;
}

/** The beginning of a TLS record, where nobody asked for one. */
const STRAY_HELLO = Buffer.from('160301', 'hex');

export class FuzzedClient<End extends ClientEnd> {
  readonly transport: End;
  readonly #world: ClientWorld;
  readonly #sent = new ByteStream();
  readonly #received = new ByteStream();
  readonly #haggling: HagglingObserver;
  #transmission: TransmissionObserver | null = null;
  readonly #connectedAtMs: number;
  #lastSentAtMs = 0;
  /** The server had no place for it. */
  readonly #refused: boolean;
  #ended = false;
  #gone = false;

  constructor(
    world: ClientWorld,
    options: {
      readonly connect: (onBytes: (bytes: Buffer) => void) => End;
      readonly refused: boolean;
      /** What becomes of what the server sends, on its way. */
      readonly received?: ((bytes: Buffer) => Buffer) | undefined;
    },
  ) {
    this.#world = world;
    this.#refused = options.refused;
    this.#connectedAtMs = world.now();
    this.#haggling = new HagglingObserver(world.haggling, this.#sent, this.#received);
    const onBytes = (bytes: Buffer): void => this.#received.add(options.received?.(bytes) ?? bytes);
    this.transport = options.connect(onBytes);
  }

  /** The server has said all that it must say by now; what must end has ended. */
  get isSettled(): boolean {
    if (this.transport.broken) return true;
    if (this.#dropReason() !== null) return false;
    const { greeted, waits } = this.#haggling;
    return greeted && !waits && (this.#transmission?.unanswered ?? 0) === 0;
  }

  /** An option was sent whole that has no answer yet. */
  get isHaggling(): boolean {
    const { greeted, state, waits } = this.#haggling;
    return !greeted || (state === 'open' && waits);
  }

  get requests(): number {
    return this.#transmission?.requests ?? 0;
  }

  get replies(): number {
    return this.#transmission?.replies ?? 0;
  }

  send(bytes: Buffer): void {
    if (this.#ended || this.transport.broken) return;
    this.#sent.add(bytes);
    this.#lastSentAtMs = this.#world.now();
    this.transport.feed(bytes);
  }

  /** Begins TLS if the server is ready for it. */
  hello(): void {
    if (this.#ended || this.transport.broken) return;
    if (!this.#haggling.encrypted()) this.send(STRAY_HELLO);
    else this.transport.feedHello();
  }

  end(): void {
    if (this.#ended || this.transport.broken) return;
    this.#ended = true;
    this.#transmission?.clientEnded();
    this.transport.feedEnd();
  }

  /** An end of stream that the server sees late, or not at all, is a vanished client. */
  break(): void {
    this.transport.break();
  }

  /** @throws Error saying what the server did wrong so far. */
  observe(): void {
    if (this.#gone) return;
    this.#haggling.observe();
    if (this.#haggling.state === 'agreed' && this.#transmission === null) this.#agree();
    const transmission = this.#transmission;
    transmission?.observe();
    if (!this.transport.broken) {
      this.#checkOpen();
      return;
    }
    this.#gone = true;
    transmission?.lost();
    if (!this.transport.brokenByClient && !this.#mayBeDropped()) {
      throw new Error('the connection was dropped without a reason');
    }
  }

  /** Everything that it sent whole must have its answer by now. */
  checkAnswered(): void {
    if (this.transport.broken || this.#ended) return;
    if (this.#haggling.waits) throw new Error('an option got no answer');
    const unanswered = this.#transmission?.unanswered ?? 0;
    if (unanswered > 0) throw new Error(`${unanswered} requests got no reply`);
  }

  /** Something is half sent, or the rest of the stream is not understood. */
  get isIncomplete(): boolean {
    return this.#sent.available > 0;
  }

  #agree(): void {
    const { facts, contexts, exportName } = this.#haggling;
    this.#transmission = new TransmissionObserver({
      world: this.#world.transmission(exportName),
      facts: facts!,
      contexts,
      client: this.#sent,
      server: this.#received,
    });
    if (this.#ended) this.#transmission.clientEnded();
  }

  #checkOpen(): void {
    // While it ends, a server looks at nothing that comes.
    if (this.#world.endsAll()) return;
    const why = this.#dropReason();
    if (why !== null && this.transport.reading) throw new Error(`still open in spite of: ${why}`);
  }

  #dropReason(): string | null {
    if (this.#haggling.state === 'must-drop') return this.#haggling.why;
    if (this.#transmission?.state === 'must-drop') return this.#transmission.why;
    return null;
  }

  #mayBeDropped(): boolean {
    if (this.#dropReason() !== null || this.#refused || this.#ended || this.#world.endsAll())
      return true;
    const { state, mayDrop } = this.#haggling;
    // The reason may stand behind something whose answer was lost.
    if (this.transport.isLossy && this.isIncomplete) return true;
    if (state === 'may-end' || mayDrop) return true;
    if (this.#transmission !== null) {
      // Half a payload must give way when others wait for memory.
      const silentMs = this.#world.now() - this.#lastSentAtMs;
      const stalls = this.isIncomplete && silentMs >= NBD_PAYLOAD_STALL_MS_MAX;
      return stalls || this.#transmission.state === 'disconnected';
    }
    return this.#world.now() - this.#connectedAtMs >= this.#world.handshakeMsMax;
  }
}
