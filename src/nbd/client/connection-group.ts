/**
 * Several connections to one export, used as one: they are ready together, and when one is lost
 * all are. Requests go to the connection with the fewest in flight.
 *
 * More than one only where the server promises CAN_MULTI_CONN (NBD protocol, 7): then a flush on
 * one covers what was acknowledged on all, and a read on one sees it.
 */

import type { Clock } from '../../base/clock.ts';
import { TRANSMISSION_FLAGS } from '../constants.ts';
import type { TlsUpgrade } from '../tls.ts';
import type { Transport } from '../transport.ts';
import { ClientConnection } from './client-connection.ts';
import type { ClientRequest } from './client-request.ts';
import { NbdConnectionError } from './nbd-error.ts';
import { type ClientNegotiated, negotiateTransmission, type ReplyForm } from './negotiation.ts';

export interface ConnectionGroupOptions {
  readonly connect: (onError: (error: Error) => void) => Transport;
  readonly tls: TlsUpgrade | null;
  readonly exportName: string;
  readonly form: ReplyForm;
  /** Metadata contexts to be selected where the server has them. */
  readonly contexts: readonly string[];
  readonly connections: number;
  readonly clock: Clock;
  /** Of each connection. */
  readonly handshakeMsMax: number;
  readonly onReady: (negotiated: ClientNegotiated) => void;
  /** The last call but `onClosed`; with the requests that will not come back otherwise. */
  readonly onLost: (error: NbdConnectionError, unanswered: ClientRequest[]) => void;
  /** Nothing of it is left. */
  readonly onClosed: () => void;
}

export class ConnectionGroup {
  readonly #options: ConnectionGroupOptions;
  readonly #connections: ClientConnection[] = [];
  #negotiated: ClientNegotiated | null = null;
  #readyCount = 0;
  #closedCount = 0;
  #isLost = false;
  readonly #unanswered: ClientRequest[] = [];

  constructor(options: ConnectionGroupOptions) {
    this.#options = options;
    this.#open();
  }

  /** Requests without an answer. */
  get inFlight(): number {
    return this.#connections.reduce((sum, { inFlight }) => sum + inFlight, 0);
  }

  /** How many answers have come. */
  get answers(): number {
    return this.#connections.reduce((sum, { answers }) => sum + answers, 0);
  }

  /** What has been submitted so far, as a mark for `hasUnanswered`. */
  get marks(): readonly number[] {
    return this.#connections.map(({ mark }) => mark);
  }

  hasUnanswered(marks: readonly number[]): boolean {
    return marks.some((mark, index) => this.#connections[index]!.hasUnanswered(mark));
  }

  submit(request: ClientRequest): void {
    let best = this.#connections[0]!;
    for (const connection of this.#connections) {
      if (connection.inFlight < best.inFlight) best = connection;
    }
    best.submit(request);
  }

  /** Says goodbye on all of them; `onLost` and `onClosed` follow. */
  disconnect(): void {
    for (const connection of this.#connections) connection.disconnect();
  }

  /** Vanishes at once; `onLost` is called before this returns. */
  destroy(): void {
    this.#lose(new NbdConnectionError('Connection was closed'), []);
  }

  /** Gives the connections up, for this reason. */
  lose(reason: NbdConnectionError): void {
    this.#lose(reason, []);
  }

  #open(): void {
    const { connect, tls, clock, handshakeMsMax, exportName, form, contexts } = this.#options;
    this.#connections.push(
      new ClientConnection({
        connect,
        tls,
        clock,
        handshakeMsMax,
        negotiation: negotiateTransmission({ exportName, form, contexts }),
        onReady: (negotiated) => this.#ready(negotiated),
        onLost: (error, unanswered) => this.#lose(error, unanswered),
        onClosed: () => this.#closed(),
      }),
    );
  }

  #ready(negotiated: ClientNegotiated): void {
    const { connections: wanted, onReady } = this.#options;
    this.#readyCount += 1;
    if (this.#negotiated === null) {
      this.#negotiated = negotiated;
      const mayShare = (negotiated.transmissionFlags & TRANSMISSION_FLAGS.CAN_MULTI_CONN) !== 0;
      if (wanted > 1 && !mayShare) {
        const problem = `Server does not promise CAN_MULTI_CONN, connections must be 1`;
        this.lose(new NbdConnectionError(`${problem} instead of ${wanted}`));
        return;
      }
      while (this.#connections.length < wanted && !this.#isLost) this.#open();
    } else if (!isSame(this.#negotiated, negotiated)) {
      this.lose(new NbdConnectionError('Server says different things on two connections'));
      return;
    }
    if (this.#readyCount === wanted) onReady(this.#negotiated);
  }

  #lose(error: NbdConnectionError, unanswered: ClientRequest[]): void {
    this.#unanswered.push(...unanswered);
    if (this.#isLost) return;
    this.#isLost = true;
    for (const connection of this.#connections) connection.lose(error);
    this.#options.onLost(error, this.#unanswered);
  }

  #closed(): void {
    this.#closedCount += 1;
    if (this.#closedCount === this.#connections.length) this.#options.onClosed();
  }
}

function isSame(one: ClientNegotiated, other: ClientNegotiated): boolean {
  return one.size === other.size && one.transmissionFlags === other.transmissionFlags;
}
