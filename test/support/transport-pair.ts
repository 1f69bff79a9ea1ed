/**
 * A byte stream between two ends in one process, without sockets: what one sends the other gets in
 * a later step of the clock. It can be cut.
 */

import type { Clock } from '../../src/base/clock.ts';
import type { Transport, TransportSink } from '../../src/nbd/transport.ts';

class PairEnd implements Transport {
  readonly peer = 'pair';
  other!: PairEnd;
  readonly #clock: Clock;
  #sink: TransportSink | null = null;
  /** On its way to this end. */
  #coming: { bytes: Buffer; onSent: () => void }[] = [];
  #reading = true;
  #isScheduled = false;
  #hasEnded = false;
  #sawEnd = false;
  #isGone = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get broken(): boolean {
    return this.#isGone;
  }

  get queuedBytes(): number {
    return this.other.#coming.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  start(sink: TransportSink): void {
    this.#sink = sink;
    this.#schedule();
  }

  sendNow(): number {
    return 0;
  }

  send(bytes: Uint8Array, onSent: () => void): void {
    if (this.#isGone) return;
    this.other.#coming.push({ bytes: Buffer.from(bytes), onSent });
    this.other.#schedule();
  }

  cork(): void {}

  uncork(): void {}

  resume(): void {
    this.#reading = true;
    this.#schedule();
  }

  end(): void {
    if (this.#isGone) return;
    this.#hasEnded = true;
    this.other.#schedule();
  }

  destroy(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#clock.defer(() => this.#sink?.closed());
    this.other.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#sink === null) return;
    this.#isScheduled = true;
    this.#clock.defer(() => {
      this.#isScheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    while (this.#reading && !this.#isGone && this.#coming.length > 0) {
      const { bytes, onSent } = this.#coming.shift()!;
      onSent();
      this.#reading = this.#sink!.receivedElsewhere(bytes);
    }
    if (this.#isGone || this.#sawEnd || this.#coming.length > 0 || !this.#reading) return;
    if (!this.other.#hasEnded && !this.other.#isGone) return;
    this.#sawEnd = true;
    this.#sink!.ended();
  }
}

/** What was sent before a cut may still arrive; nothing is sent after it. */
export class TransportPair {
  readonly client: Transport;
  readonly server: Transport;

  constructor(clock: Clock) {
    const [client, server] = [new PairEnd(clock), new PairEnd(clock)];
    client.other = server;
    server.other = client;
    this.client = client;
    this.server = server;
  }

  /** Both ends find it broken. */
  cut(): void {
    this.client.destroy();
    this.server.destroy();
  }
}
