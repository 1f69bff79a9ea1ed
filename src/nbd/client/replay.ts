/**
 * Sends unflushed writes once more, to a server that may have lost them: in their order where they
 * overlap, side by side where they do not.
 */

import { COMMANDS, nbdErrorName } from '../constants.ts';
import { ClientRequest } from './client-request.ts';
import { setRange } from './remote-job.ts';
import type { UnflushedWrite } from './unflushed-writes.ts';

/** Requests at once. */
const AT_ONCE_MAX = 32;
const COMMAND_OF = {
  write: COMMANDS.WRITE,
  discard: COMMANDS.TRIM,
  'write-zeroes': COMMANDS.WRITE_ZEROES,
} as const;

export interface ReplayOptions {
  readonly writes: readonly UnflushedWrite[];
  /** Bytes of one request. */
  readonly sizeMax: number;
  readonly submit: (request: ClientRequest) => void;
  /** All have been acknowledged; or why one was not. */
  readonly onEnd: (problem: string | null) => void;
}

export class Replay {
  readonly #options: ReplayOptions;
  readonly #running = new Set<ClientRequest>();
  #next = 0;
  /** Bytes of the next write that have been sent. */
  #sent = 0;
  #hasEnded = false;
  readonly #answered = (request: ClientRequest): void => this.#ended(request);

  constructor(options: ReplayOptions) {
    this.#options = options;
  }

  start(): void {
    this.#go();
  }

  /** The server is gone again: nothing of this replay counts. */
  abandon(): void {
    this.#hasEnded = true;
  }

  #go(): void {
    const { writes, sizeMax, submit, onEnd } = this.#options;
    while (this.#next < writes.length && this.#running.size < AT_ONCE_MAX) {
      const write = writes[this.#next]!;
      const offset = write.offset + this.#sent;
      const length = Math.min(write.length - this.#sent, sizeMax);
      if (this.#mustWait(offset, length)) return;
      const request = new ClientRequest(this.#answered);
      const data = write.data?.subarray(this.#sent, this.#sent + length) ?? null;
      setRange(request, COMMAND_OF[write.op], offset, length, data);
      this.#sent += length;
      if (this.#sent === write.length) {
        this.#next += 1;
        this.#sent = 0;
      }
      this.#running.add(request);
      submit(request);
    }
    if (this.#running.size > 0 || this.#hasEnded) return;
    this.#hasEnded = true;
    onEnd(null);
  }

  #mustWait(offset: number, length: number): boolean {
    for (const other of this.#running) {
      if (offset < other.offset + other.length && other.offset < offset + length) return true;
    }
    return false;
  }

  #ended(request: ClientRequest): void {
    if (this.#hasEnded) return;
    this.#running.delete(request);
    if (request.error === 0) {
      this.#go();
      return;
    }
    this.#hasEnded = true;
    const text = request.text === '' ? '' : ` (${request.text})`;
    this.#options.onEnd(`${nbdErrorName(request.error)}${text}`);
  }
}
