/**
 * Plays a hostile server against our client, and judges the client: it never throws; each request
 * comes back exactly once, with all of its data or with an error; nothing is written beside the
 * data; and in the end nothing is left.
 */

import { ClientConnection } from '../../src/nbd/client/client-connection.ts';
import { ClientRequest } from '../../src/nbd/client/client-request.ts';
import { type ClientNegotiated, negotiateTransmission } from '../../src/nbd/client/negotiation.ts';
import type { ClientScript, ScriptStep } from './client-script.ts';
import { FuzzClock } from './fuzz-clock.ts';
import { FuzzTransport } from './fuzz-transport.ts';

/** No server says this byte: where it is left, nothing was read. */
export const UNTOUCHED = 0xee;
const GUARD_BYTES = 64;
const HANDSHAKE_MS = 1000;
const READ = 0;
const WRITE = 1;

interface Asked {
  readonly request: ClientRequest;
  readonly room: Buffer | null;
  /** The cookie as it was on the wire; null until it has left. */
  cookie: Buffer | null;
  returned: boolean;
}

/** What a planted mistake does to a request that has come back well. */
export type ScriptCanary = (request: ClientRequest) => 'forgotten' | 'returned';

export function playScript(script: ClientScript, canary?: ScriptCanary): void {
  new ScriptPlayer(script, canary).play();
}

class ScriptPlayer {
  readonly #steps: readonly ScriptStep[];
  readonly #canary: ScriptCanary | undefined;
  readonly #clock = new FuzzClock();
  readonly #transport: FuzzTransport;
  readonly #connection: ClientConnection;
  readonly #asked: Asked[] = [];
  #sent: Buffer[] = [];
  #negotiated: ClientNegotiated | null = null;
  #lost = false;

  constructor({ setup, steps }: ClientScript, canary: ScriptCanary | undefined) {
    this.#steps = steps;
    this.#canary = canary;
    const { readBytesMax, form, contexts } = setup;
    const onBytes = (bytes: Buffer): void => void this.#sent.push(bytes);
    this.#transport = new FuzzTransport({ readBytesMax, onBytes });
    this.#connection = new ClientConnection({
      connect: () => this.#transport,
      negotiation: negotiateTransmission({ exportName: 'data', form, contexts }),
      clock: this.#clock,
      handshakeMsMax: HANDSHAKE_MS,
      onReady: (negotiated) => {
        if (this.#negotiated !== null) throw new Error('the client was ready twice');
        this.#negotiated = negotiated;
      },
      onLost: (error, unanswered) => this.#onLost(error, unanswered),
    });
  }

  play(): void {
    for (const step of this.#steps) {
      this.#step(step);
      this.#settle();
    }
    this.#connection.destroy();
    this.#settle();
    if (!this.#lost) throw new Error('the client was not told that it is over');
    const missing = this.#asked.filter(({ returned }) => !returned).length;
    if (missing > 0) throw new Error(`${missing} requests never came back`);
    if (this.#clock.pending > 0) throw new Error(`${this.#clock.pending} timers are left behind`);
    if (this.#connection.inFlight > 0) throw new Error('requests are left behind');
    for (const { room } of this.#asked) checkGuard(room);
  }

  #step(step: ScriptStep): void {
    if (this.#transport.broken) return;
    switch (step.kind) {
      case 'say':
        this.#transport.feed(step.bytes);
        break;
      case 'reply': {
        const cookie = this.#asked[step.to]?.cookie;
        const bytes = Buffer.from(step.bytes);
        cookie?.copy(bytes, 8);
        this.#transport.feed(bytes);
        break;
      }
      case 'ask':
        if (this.#negotiated !== null && !this.#lost) this.#ask(step);
        break;
      case 'end':
        this.#transport.feedEnd();
        break;
      case 'wait':
        while (this.#clock.step(this.#clock.now() + step.value)) this.#settle();
        break;
      default:
        this.#transport.clientReads = step.kind === 'read';
    }
  }

  #ask({ command, offset, length }: Extract<ScriptStep, { kind: 'ask' }>): void {
    const request = new ClientRequest((ended) => this.#ended(ended));
    const hasData = command === READ || command === WRITE;
    const room = hasData ? Buffer.alloc(length + 2 * GUARD_BYTES, UNTOUCHED) : null;
    const data = room?.subarray(GUARD_BYTES, GUARD_BYTES + length) ?? null;
    Object.assign(request, { command, offset, length, data });
    this.#asked.push({ request, room, cookie: null, returned: false });
    this.#sent = [];
    this.#connection.submit(request);
    this.#settle();
    const bytes = Buffer.concat(this.#sent);
    if (bytes.length >= 28) this.#asked.at(-1)!.cookie = bytes.subarray(8, 16);
  }

  #ended(request: ClientRequest): void {
    if (this.#lost) throw new Error('a request came back after the connection was lost');
    if (this.#canary?.(request) === 'forgotten') return;
    const asked = this.#takeBack(request);
    if (request.command !== READ || request.error !== 0) return;
    const data = asked.room!.subarray(GUARD_BYTES, GUARD_BYTES + request.length);
    if (data.includes(UNTOUCHED)) throw new Error('a READ succeeded with bytes that never came');
  }

  #onLost(error: Error, unanswered: readonly ClientRequest[]): void {
    if (this.#lost) throw new Error('the connection was lost twice');
    if (error.message === '') throw new Error('nobody says why the connection is lost');
    this.#lost = true;
    for (const request of unanswered) this.#takeBack(request);
  }

  #takeBack(request: ClientRequest): Asked {
    const asked = this.#asked.find((one) => one.request === request);
    if (asked === undefined || asked.returned) throw new Error('a request came back twice');
    asked.returned = true;
    return asked;
  }

  #settle(): void {
    for (;;) {
      const before = this.#clock.ran + this.#transport.activity;
      this.#clock.run();
      this.#transport.turn();
      if (this.#clock.ran + this.#transport.activity === before) return;
    }
  }
}

function checkGuard(room: Buffer | null): void {
  if (room === null) return;
  const guards = [room.subarray(0, GUARD_BYTES), room.subarray(-GUARD_BYTES)];
  for (const guard of guards) {
    if (guard.some((byte) => byte !== UNTOUCHED)) throw new Error('bytes were written elsewhere');
  }
}
