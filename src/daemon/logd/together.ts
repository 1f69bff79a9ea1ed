/** Messages that are sent in one step of the event loop leave in one system call. */

import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';

export class Together {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #leave = (): void => this.#write();
  #messages: Uint8Array[] = [];

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
  }

  send(message: Uint8Array): void {
    this.#messages.push(message);
    if (this.#messages.length === 1) this.#clock.defer(this.#leave);
  }

  #write(): void {
    const messages = this.#messages;
    this.#messages = [];
    const bytes = messages.length === 1 ? messages[0]! : Buffer.concat(messages);
    if (this.#socket.writable) this.#socket.write(bytes);
  }
}
