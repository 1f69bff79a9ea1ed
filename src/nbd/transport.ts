/**
 * A byte stream in both directions, as a connection sees it: a socket, or its stand-in in a
 * simulation. Whoever reads decides where received bytes are placed, so that large payloads are
 * never copied.
 */

import type { TlsUpgrade } from './tls.ts';

/** Where a server listens, and clients connect. */
export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export interface TransportSink {
  /** Where the next bytes shall be placed; asked before every read. */
  window(): Uint8Array;
  /** `size` bytes are in the last window. False: no more until `resume`. */
  received(size: number): boolean;
  /** Bytes that came before a window was asked for; to be copied. False: no more until `resume`. */
  receivedElsewhere(bytes: Uint8Array): boolean;
  /** The peer will send no more. Where we have ended our side too, `closed` follows by itself. */
  ended(): void;
  /** Nothing can be sent or received any more; the last call. */
  closed(): void;
}

export interface Transport {
  /** Who is at the other end, for the log. */
  readonly peer: string;
  /** Its IP address, where it has one. */
  readonly address?: string | null;
  /** Bytes given to `send` that have not left yet. */
  readonly queuedBytes: number;
  /** A send has failed: the peer is gone, and `closed` follows. */
  readonly broken: boolean;
  /** Once, before anything else. */
  start(sink: TransportSink): void;
  /**
   * Sends as much as leaves without waiting, and says how many bytes that was. They belong to the
   * caller again; the rest is to be given to `send`. 0 while earlier bytes wait.
   */
  sendNow(bytes: Uint8Array): number;
  /** `onSent` is called, in the order of the calls, when the bytes belong to the caller again. */
  send(bytes: Uint8Array, onSent: () => void): void;
  /** What is sent until `uncork` leaves together. */
  cork(): void;
  uncork(): void;
  resume(): void;
  /**
   * Goes on encrypted once all that was sent has left. To be called while nothing is read; `done`
   * comes once, with null, and then `resume` brings decrypted bytes, or with what went wrong.
   * Missing where there is no socket.
   */
  encrypt?(upgrade: TlsUpgrade, done: (failure: string | null) => void): void;
  /** Ends our side when everything has been sent; the peer may go on sending. */
  end(): void;
  /** Closes both sides at once, with whatever is queued lost. */
  destroy(): void;
}
