/** A way between a mirror that asks again and its log server: messages are late, and lost. */

import type { Clock } from '../../../src/base/clock.ts';
import type { LogClient } from '../../../src/cluster/log-instance.ts';
import type { UlogMessage } from '../../../src/dirtylog/userspace/ulog-codec.ts';
import type { LogServerEnd } from '../../../src/sim/machine/log-wire.ts';
import type { AskedWire } from './asked-log.ts';

/** Time, and the mishaps of messages. */
export interface Weather {
  readonly clock: Clock;
  delayMs(): number;
  isLost(): boolean;
}

export class BadWire {
  readonly #weather: Weather;
  readonly #name: string;
  #server: LogServerEnd | null = null;
  #client: LogClient | null = null;
  readonly #replies = new Map<UlogMessage, (message: UlogMessage) => void>();

  constructor(weather: Weather, name: string) {
    this.#weather = weather;
    this.#name = name;
  }

  /** A server listens from now on. */
  serve(server: LogServerEnd): void {
    this.#server = server;
    this.#connect();
  }

  /** The server is gone. */
  cut(): void {
    this.#server = null;
    this.#client = null;
  }

  /** The mirror is gone. */
  hangUp(): void {
    const client = this.#client;
    this.#client = null;
    if (client !== null) this.#server?.disconnected(client);
  }

  /** The way of one mirror, which takes its replies on its own clock, as long as it lives. */
  from(clock: Clock, isAlive: () => boolean): AskedWire {
    if (this.#client === null) this.#connect();
    return {
      send: (message, onReply) => {
        this.#replies.set(message, (reply) => {
          this.#carry(() => clock.defer(() => onReply(reply)));
        });
        this.#carry(() => {
          if (this.#client !== null && isAlive()) this.#server?.handle(this.#client, message);
        });
      },
    };
  }

  #connect(): void {
    if (this.#server === null) return;
    this.#client = { name: this.#name, reply: (message) => this.#replied(message) };
    this.#server.connected(this.#client);
  }

  #replied(message: UlogMessage): void {
    for (const [asked, onReply] of this.#replies) {
      if (asked.seq === message.seq && asked.requestType === message.requestType) onReply(message);
    }
  }

  #carry(work: () => void): void {
    const { clock } = this.#weather;
    if (this.#weather.isLost()) return;
    clock.after(this.#weather.delayMs() / 5, work);
    if (this.#weather.isLost()) clock.after(this.#weather.delayMs() * 20, work);
  }
}
