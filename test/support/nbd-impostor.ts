/** A server that says what the test wants, without sockets, and the client that listens to it. */

import { ClientConnection } from '../../src/nbd/client/client-connection.ts';
import { ClientRequest } from '../../src/nbd/client/client-request.ts';
import {
  type ClientNegotiated,
  negotiateTransmission,
  type ReplyForm,
} from '../../src/nbd/client/negotiation.ts';
import { HandClock } from './nbd-clock.ts';
import { MemoryTransport } from './nbd-session.ts';
import * as wire from './nbd-wire.ts';

export const IMPOSTOR_SIZE = 2 ** 20;

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** INFO_EXPORT, as the payload of an INFO reply. */
export function exportInfo(size: number | bigint = IMPOSTOR_SIZE, flags = 0b1101): Buffer {
  return Buffer.concat([Buffer.from([0, 0]), u64(size), Buffer.from([flags >> 8, flags & 255])]);
}

export interface ImpostorOptions {
  readonly form?: ReplyForm;
  readonly contexts?: readonly string[];
}

export class Impostor {
  readonly transport = new MemoryTransport();
  readonly clock = new HandClock();
  readonly connection: ClientConnection;
  negotiated: ClientNegotiated | null = null;
  /** Why the connection is over; null while it is not. */
  lost: string | null = null;
  unanswered: ClientRequest[] = [];
  readonly answered: ClientRequest[] = [];

  constructor({ form = 'simple', contexts = [] }: ImpostorOptions = {}) {
    this.connection = new ClientConnection({
      connect: () => this.transport,
      tls: null,
      negotiation: negotiateTransmission({ exportName: 'data', form, contexts }),
      clock: this.clock,
      handshakeMsMax: 1000,
      onReady: (negotiated) => {
        this.negotiated = negotiated;
      },
      onLost: (error, unanswered) => {
        this.lost = error.message;
        this.unanswered = unanswered;
      },
    });
  }

  /** One whose handshake is over, and who has said yes to everything. */
  static ready(options: ImpostorOptions = {}): Impostor {
    const impostor = new Impostor(options);
    const { form = 'simple', contexts = [] } = options;
    impostor.say(wire.GREETING);
    if (form !== 'simple') {
      impostor.say(wire.optionReply(form === 'extended' ? 11 : 8, wire.ACK));
    }
    if (contexts.length > 0) {
      for (const [id, name] of contexts.entries()) {
        impostor.say(wire.optionReply(10, 4, Buffer.concat([wire.u32(id), Buffer.from(name)])));
      }
      impostor.say(wire.optionReply(10, wire.ACK));
    }
    impostor.say(wire.optionReply(7, 3, exportInfo()), wire.optionReply(7, wire.ACK));
    impostor.transport.take();
    return impostor;
  }

  /** All bytes at once, what is deferred run, what was sent gone. */
  say(...messages: Uint8Array[]): void {
    if (!this.transport.destroyed) this.transport.feed(Buffer.concat(messages));
    this.clock.run();
    this.transport.drain();
  }

  /** Submits a request, lets it leave, and gives it with its cookie as it was on the wire. */
  ask(fields: Partial<ClientRequest>): { readonly request: ClientRequest; cookie: Buffer } {
    const request = new ClientRequest((ended) => this.answered.push(ended));
    Object.assign(request, fields);
    this.connection.submit(request);
    this.clock.run();
    this.transport.drain();
    return { request, cookie: this.transport.take().subarray(8, 16) };
  }
}
