/** A client's end of a real socket, with real TLS behind STARTTLS. */

import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ClientEnd } from './fuzzed-client.ts';
import { PSK_KEY, PSK_USER } from './server-under-fuzz.ts';

export class SocketEnd implements ClientEnd {
  /** A kernel does not tell whether the other side reads. */
  readonly reading = false;
  readonly isLossy = true;
  brokenByClient = false;
  readonly #onBytes: (bytes: Buffer) => void;
  readonly #onChange: () => void;
  #socket: Socket;
  #broken = false;
  #clientReads = true;

  constructor(path: string, onBytes: (bytes: Buffer) => void, onChange: () => void) {
    this.#onBytes = onBytes;
    this.#onChange = onChange;
    this.#socket = connect({ path });
    this.#listen(this.#socket);
  }

  get broken(): boolean {
    return this.#broken;
  }

  get clientReads(): boolean {
    return this.#clientReads;
  }

  set clientReads(reads: boolean) {
    this.#clientReads = reads;
    this.#socket[reads ? 'resume' : 'pause']();
  }

  feed(bytes: Buffer): void {
    // What cannot leave any more is the business of 'close'.
    if (!this.#socket.writable) return;
    this.#socket.write(bytes);
  }

  feedHello(): void {
    const plain = this.#socket;
    plain.removeAllListeners('data');
    this.#socket = connectTls({
      socket: plain,
      ciphers: 'PSK',
      minVersion: 'TLSv1.2',
      pskCallback: () => ({ psk: PSK_KEY, identity: PSK_USER }),
      checkServerIdentity: () => undefined,
    });
    this.#listen(this.#socket);
    if (!this.#clientReads) this.#socket.pause();
  }

  feedEnd(): void {
    this.#socket.end();
  }

  break(): void {
    if (!this.#broken) this.brokenByClient = true;
    this.#socket.destroy();
  }

  #listen(socket: Socket): void {
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      this.#onBytes(bytes);
      this.#onChange();
    });
    socket.on('close', () => {
      this.#broken = true;
      this.#onChange();
    });
  }
}
