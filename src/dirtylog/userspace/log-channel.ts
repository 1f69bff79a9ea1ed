/**
 * The way from the mirrors of a process to their log server: requests out, each with its answer.
 *
 * One connection for all logs. A reply is matched by its `seq`; after 15 s without one the request
 * is sent again under a new `seq`, so that a late reply to the old one finds nobody (specification
 * 10.2, 10.3). The connection itself is injected. When it breaks, requests without an answer are
 * `lost`: what becomes of them is for the log to decide, since a new server must first be told of
 * the log (`log-session.ts`). Counterpart: dm-log-userspace-transfer.
 */

import { assert } from '../../base/assert.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { EAGAIN, EINVAL, ENOSPC, EPROTO, type IoResult, OK } from '../../base/errno.ts';
import { ULOG_RESEND_MS } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import {
  encodeUlogMessage,
  ULOG_REQUEST_DATA_BYTES_MAX,
  ULOG_VERSION,
  type UlogMessage,
  UlogReader,
} from './ulog-codec.ts';
import { ulogTypeName } from './ulog-payloads.ts';

/** A stream of bytes to a server. Nothing is called back any more after `close`. */
export interface LogConnection {
  send(bytes: Uint8Array): void;
  close(): void;
}

export interface LogConnectionEvents {
  received(bytes: Uint8Array): void;
  /** It broke, or the server closed it; the last call. */
  closed(reason: string): void;
}

export interface LogTransport {
  /** Where the server listens, for people. */
  readonly address: string;
  /** The reason, as a string, where nobody listens. */
  connect(events: LogConnectionEvents): Promise<LogConnection | string>;
}

export interface LogChannelOptions {
  readonly transport: LogTransport;
  readonly clock: Clock;
  readonly log: Logger;
  /** Numbers of logs go up from here; no other process's logs at the same server may have them. */
  readonly firstLuid: bigint;
}

/** Which log a request is about. */
export interface LogIdentity {
  readonly luid: bigint;
  readonly uuid: string;
}

export interface LogQuestion {
  readonly log: LogIdentity;
  readonly type: number;
  readonly data: Uint8Array;
  /** How much data the answer may have; more is ENOSPC. */
  readonly roomBytes: number;
}

/**
 * `lost`: the connection broke, and nobody knows whether it was carried out. `again`: it was sent
 * more than once, so that it may have been carried out after requests that were sent after it.
 */
export type LogAnswer =
  | {
      readonly lost: false;
      readonly again: boolean;
      readonly result: IoResult;
      readonly data: Uint8Array;
    }
  | { readonly lost: true };

interface Waiter {
  readonly question: LogQuestion;
  readonly resolve: (answer: LogAnswer) => void;
  seq: number;
  timer: Timer | null;
  sent: number;
}

const NEVER = new Promise<never>(() => {});
const LOST: LogAnswer = { lost: true };
const NO_DATA = new Uint8Array(0);
const SEQ_COUNT = 2 ** 32;

export class LogChannel {
  readonly #options: LogChannelOptions;
  readonly #waiters = new Map<number, Waiter>();
  #connection: LogConnection | null = null;
  #connecting: Promise<number> | null = null;
  /** Counts connections; 0: there is none. What was said in an earlier one may be forgotten. */
  #generation = 0;
  #connectionsMade = 0;
  #nextSeq = 0;
  #nextLuid: bigint;
  #closed = false;
  readonly #sleepers = new Set<Timer>();
  #desertedWaiters: (() => void)[] = [];
  /** When a log of this process last asked for a remote recovery (specification 10.7). */
  #askedRemoteAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: LogChannelOptions) {
    this.#options = options;
    this.#nextLuid = options.firstLuid;
  }

  get address(): string {
    return this.#options.transport.address;
  }

  /** The number of the connection, from 1; 0 while there is none. */
  get generation(): number {
    return this.#generation;
  }

  get log(): Logger {
    return this.#options.log;
  }

  takeLuid(): bigint {
    const luid = this.#nextLuid;
    this.#nextLuid = BigInt.asUintN(64, luid + 1n);
    return luid;
  }

  /** False where the last question was less than `intervalMs` ago; if not, this is the last one. */
  mayAskRemote(intervalMs: number): boolean {
    const now = this.#options.clock.now();
    if (now - this.#askedRemoteAtMs < intervalMs) return false;
    this.#askedRemoteAtMs = now;
    return true;
  }

  /** Ends with the number of the connection that there is now; 0: nobody listens. */
  connect(): Promise<number> {
    if (this.#generation !== 0) return Promise.resolve(this.#generation);
    this.#connecting ??= this.#open();
    return this.#connecting;
  }

  /**
   * Asks the server at the other end of the connection. Without one the question is lost; more data
   * than a request can carry are EINVAL.
   */
  ask(question: LogQuestion): Promise<LogAnswer> {
    if (question.data.length > ULOG_REQUEST_DATA_BYTES_MAX) {
      return Promise.resolve({ lost: false, again: false, result: EINVAL, data: NO_DATA });
    }
    if (this.#closed) return NEVER;
    if (this.#connection === null) return Promise.resolve(LOST);
    return new Promise((resolve) => {
      this.#send({ question, resolve, seq: 0, timer: null, sent: 0 });
    });
  }

  /** A log waits for a server that is not there. */
  awaitServer(delayMs: number): Promise<void> {
    if (this.#closed) return NEVER;
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(delayMs, () => {
        this.#sleepers.delete(timer);
        resolve();
      });
      this.#sleepers.add(timer);
      const waiters = this.#desertedWaiters;
      this.#desertedWaiters = [];
      for (const waiter of waiters) waiter();
    });
  }

  /** Ends as soon as a log waits for a server that is not there, which may be never. */
  deserted(): Promise<void> {
    if (this.#sleepers.size > 0) return Promise.resolve();
    return new Promise((resolve) => this.#desertedWaiters.push(resolve));
  }

  /**
   * For good. Whoever waits for an answer waits for ever: an answer of ours could let a write pass
   * that no log knows of.
   */
  close(): void {
    this.#closed = true;
    this.#connection?.close();
    this.#connection = null;
    this.#generation = 0;
    for (const { timer } of this.#waiters.values()) timer?.cancel();
    this.#waiters.clear();
    for (const timer of this.#sleepers) timer.cancel();
    this.#sleepers.clear();
  }

  async #open(): Promise<number> {
    const { transport, log } = this.#options;
    const reader = new UlogReader();
    const mine = this.#connectionsMade + 1;
    const isMine = (): boolean => this.#generation === mine;
    let gone: string | null = null;
    const connection = await transport.connect({
      received: (bytes) => {
        if (!isMine()) return;
        const problem = reader.push(bytes, (message) => this.#received(message));
        if (problem !== null) this.#refuse(problem);
      },
      closed: (reason) => {
        gone = reason;
        if (!isMine()) return;
        const { unfinishedBytes } = reader;
        const cut = unfinishedBytes === 0 ? '' : `, ${unfinishedBytes} bytes into a message`;
        log.warn(`The log server at ${this.address} has gone: ${reason}${cut}`);
        this.#disconnected();
      },
    });
    this.#connecting = null;
    if (typeof connection === 'string' || gone !== null) {
      log.debug(`No log server at ${this.address}: ${gone ?? connection}`);
      return 0;
    }
    if (this.#closed) {
      connection.close();
      return 0;
    }
    this.#connection = connection;
    this.#connectionsMade = mine;
    this.#generation = mine;
    return mine;
  }

  #send(waiter: Waiter): void {
    const { question } = waiter;
    assert(this.#connection !== null, 'A log request is sent without a connection');
    waiter.seq = this.#takeSeq();
    waiter.sent += 1;
    this.#waiters.set(waiter.seq, waiter);
    waiter.timer = this.#options.clock.after(ULOG_RESEND_MS, () => this.#timedOut(waiter));
    this.#connection.send(
      encodeUlogMessage({
        ...question.log,
        version: ULOG_VERSION,
        error: 0,
        seq: waiter.seq,
        requestType: question.type,
        data: question.data,
      }),
    );
  }

  #takeSeq(): number {
    for (;;) {
      const seq = this.#nextSeq;
      this.#nextSeq = (seq + 1) % SEQ_COUNT;
      if (!this.#waiters.has(seq)) return seq;
    }
  }

  #timedOut(waiter: Waiter): void {
    const { type, log } = waiter.question;
    this.#waiters.delete(waiter.seq);
    this.#options.log.warn(`The log server does not answer: ${ulogTypeName(type)}`, {
      uuid: log.uuid,
      seq: waiter.seq,
    });
    this.#send(waiter);
  }

  /** A reply nobody waits for is a late or a doubled one. */
  #received(message: UlogMessage): void {
    const waiter = this.#waiters.get(message.seq);
    if (waiter === undefined) return;
    this.#waiters.delete(message.seq);
    waiter.timer?.cancel();
    const result = this.#judge(waiter.question, message);
    // "Send it again now"; with a new seq, like any request that is sent again.
    if (result === EAGAIN) this.#send(waiter);
    else {
      const again = waiter.sent > 1;
      waiter.resolve({ lost: false, again, result, data: message.data });
    }
  }

  /** The server's error, or ours where the answer cannot be believed. */
  #judge({ log, type, roomBytes }: LogQuestion, reply: UlogMessage): IoResult {
    const wrong = (problem: string): IoResult => {
      this.#options.log.error(`The log server answers ${ulogTypeName(type)} wrongly: ${problem}`, {
        uuid: log.uuid,
      });
      return EPROTO;
    };
    if (reply.version !== ULOG_VERSION) {
      return wrong(`its version is ${reply.version}, must be ${ULOG_VERSION}`);
    }
    // The luid is no part of it: servers that share logs between nodes do not keep it (11.2).
    if (reply.uuid !== log.uuid) return wrong(`uuid is "${reply.uuid}", must be the request's`);
    if (reply.requestType !== type) return wrong(`type is ${reply.requestType}, must be ${type}`);
    if (reply.error > 0) return wrong(`error is ${reply.error}, must be 0 or negative`);
    if (reply.error < 0) return -reply.error;
    return reply.data.length > roomBytes ? ENOSPC : OK;
  }

  #refuse(problem: string): void {
    this.#options.log.error(`The log server at ${this.address} sends no log messages: ${problem}`);
    this.#connection?.close();
    this.#disconnected();
  }

  #disconnected(): void {
    this.#connection = null;
    this.#generation = 0;
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const { timer, resolve } of waiters) {
      timer?.cancel();
      resolve(LOST);
    }
  }
}
