/**
 * The way between mirrors and a log server, on a bad day: messages take their time, are lost or
 * come twice, and the server goes and comes back. What one side sent first arrives first, as on the
 * socket that this stands for.
 */

import type { Clock } from '../../base/clock.ts';
import type { Prng } from '../../base/prng.ts';
import type { LogClient } from '../../cluster/log-instance.ts';
import type {
  LogConnection,
  LogConnectionEvents,
  LogTransport,
} from '../../dirtylog/userspace/log-channel.ts';
import {
  decodeUlogMessage,
  encodeUlogMessage,
  type UlogMessage,
} from '../../dirtylog/userspace/ulog-codec.ts';

/** What of a log server the wire ends at. */
export interface LogServerEnd {
  connected(client: LogClient): void;
  disconnected(client: LogClient): void;
  handle(client: LogClient, message: UlogMessage): void;
}

export interface WireFaults {
  /** Of a thousand messages, so many are lost. */
  readonly lostPerMille: number;
  readonly doubledPerMille: number;
  /** A message takes this long at most; 0: it is there at once, still after the caller is done. */
  readonly delayMsMax: number;
}

export const GOOD_DAY: WireFaults = { lostPerMille: 0, doubledPerMille: 0, delayMsMax: 0 };

export interface LogWireOptions {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly faults: WireFaults;
  /** Hears every message that the server gets or sends, also one that is lost. */
  readonly tap?: (message: UlogMessage, from: 'mirror' | 'server') => void;
}

export class LogWire implements LogTransport {
  readonly address = 'the log wire';
  readonly #options: LogWireOptions;
  readonly #links = new Set<Link>();
  #server: LogServerEnd | null = null;
  #connections = 0;

  constructor(options: LogWireOptions) {
    this.#options = options;
  }

  /** A server listens from now on. */
  serve(server: LogServerEnd): void {
    this.#server = server;
  }

  /** The server is gone, and with it every connection and what is on the way. */
  cut(): void {
    this.#server = null;
    for (const link of this.#links) link.break('the server has gone');
    this.#links.clear();
  }

  async connect(events: LogConnectionEvents): Promise<LogConnection | string> {
    const server = this.#server;
    if (server === null) return 'nobody listens';
    this.#connections += 1;
    const name = `mirror ${this.#connections}`;
    const link = new Link({ ...this.#options, name, server, events });
    this.#links.add(link);
    server.connected(link);
    return link;
  }
}

interface LinkOptions extends LogWireOptions {
  readonly name: string;
  readonly server: LogServerEnd;
  readonly events: LogConnectionEvents;
}

/** One connection, seen from both its ends. */
class Link implements LogConnection, LogClient {
  readonly name: string;
  readonly #options: LinkOptions;
  readonly #toServer: Lane;
  readonly #toMirror: Lane;
  #open = true;

  constructor(options: LinkOptions) {
    this.name = options.name;
    this.#options = options;
    this.#toServer = new Lane(options);
    this.#toMirror = new Lane(options);
  }

  /** One whole message at a time, as the channel sends them. */
  send(bytes: Uint8Array): void {
    const { value: message, problem } = decodeUlogMessage(bytes);
    if (problem !== null) throw new Error(`The mirror sends what is no message: ${problem}`);
    this.#options.tap?.(message, 'mirror');
    this.#toServer.carry(() => {
      if (this.#open) this.#options.server.handle(this, message);
    });
  }

  reply(message: UlogMessage): void {
    if (!this.#open) return;
    this.#options.tap?.(message, 'server');
    const bytes = encodeUlogMessage(message);
    this.#toMirror.carry(() => {
      if (this.#open) this.#options.events.received(bytes);
    });
  }

  /** By the mirror. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#options.server.disconnected(this);
  }

  break(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#options.server.disconnected(this);
    this.#options.events.closed(reason);
  }
}

/** One direction. */
class Lane {
  readonly #options: LogWireOptions;
  #lastArrivalMs = 0;

  constructor(options: LogWireOptions) {
    this.#options = options;
  }

  carry(deliver: () => void): void {
    const { prng, faults } = this.#options;
    if (prng.chance(faults.lostPerMille, 1000)) return;
    this.#deliverLater(deliver);
    if (prng.chance(faults.doubledPerMille, 1000)) this.#deliverLater(deliver);
  }

  #deliverLater(deliver: () => void): void {
    const { clock, prng, faults } = this.#options;
    const now = clock.now();
    const delayMs = faults.delayMsMax === 0 ? 0 : prng.between(0, faults.delayMsMax);
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, now + delayMs);
    clock.after(this.#lastArrivalMs - now, deliver);
  }
}
