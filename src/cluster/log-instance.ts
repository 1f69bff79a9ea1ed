/**
 * One instance of a log in the server: its mirror's connection, whether it is resumed, and its
 * requests in the order in which they came.
 */

import { type Awaitable, isPromise } from '../base/awaitable.ts';
import { OK } from '../base/errno.ts';
import type { UlogMessage } from '../dirtylog/ulog-codec.ts';
import { encodeDeviceName } from '../dirtylog/ulog-payloads.ts';
import type { NoAnswer, ServedLog } from './served-log.ts';

/** One connection of a mirror's side. */
export interface LogClient {
  /** For messages. */
  readonly name: string;
  reply(message: UlogMessage): void;
}

export interface Answer {
  /** 0, or a positive errno. */
  readonly error: number;
  readonly data: Uint8Array;
}

/** What comes of a request. */
export type Given = Answer | NoAnswer;

interface Pending {
  readonly message: UlogMessage;
  readonly answer: Promise<Given>;
}

const NO_DATA = new Uint8Array(0);
const SUCCESS: Answer = { error: OK, data: NO_DATA };

export function success(data: Uint8Array = NO_DATA): Answer {
  return data.length === 0 ? SUCCESS : { error: OK, data };
}

export function refusal(error: number): Answer {
  return { error, data: NO_DATA };
}

/** From this version on a CTR may answer the name of a device (specification 10.1). */
const VERSION_WITH_DEVICE = 2;

export interface LogInstanceOptions {
  readonly uuid: string;
  readonly luid: bigint;
  /** Of the CTR. */
  readonly text: string;
  readonly client: LogClient;
  readonly log: ServedLog;
}

export class LogInstance {
  readonly uuid: string;
  readonly luid: bigint;
  readonly text: string;
  readonly log: ServedLog;
  client: LogClient;
  /** The one that came last, as long as it is not answered; all before it are answered sooner. */
  #latest: Pending | null = null;
  #lastSeq: number | null = null;

  constructor(options: LogInstanceOptions) {
    this.uuid = options.uuid;
    this.luid = options.luid;
    this.text = options.text;
    this.client = options.client;
    this.log = options.log;
  }

  /** `suspended` also before the first resume. */
  get state(): 'suspended' | 'resumed' {
    return this.log.isLive ? 'resumed' : 'suspended';
  }

  /** False: it was overtaken by one that was sent later. */
  isNext(seq: number): boolean {
    if (this.isOvertaken(seq)) return false;
    this.#lastSeq = seq;
    return true;
  }

  isOvertaken(seq: number): boolean {
    if (this.#lastSeq === null) return false;
    const ahead = (seq - this.#lastSeq) >>> 0;
    return ahead === 0 || ahead >= 2 ** 31;
  }

  constructed(version: number): Answer {
    // Numbers may begin anew with a new connection.
    this.#lastSeq = null;
    return success(version < VERSION_WITH_DEVICE ? NO_DATA : encodeDeviceName(this.log.deviceName));
  }

  /** Carries it out when all that came before are done with: at once where they are. */
  run(message: UlogMessage, carryOut: () => Awaitable<Given>): Awaitable<Given> {
    const latest = this.#latest;
    if (latest !== null && isSame(latest.message, message)) return latest.answer;
    const answer = latest === null ? carryOut() : latest.answer.then(carryOut);
    if (!isPromise(answer)) return answer;
    const pending: Pending = { message, answer };
    this.#latest = pending;
    void answer.finally(() => {
      if (this.#latest === pending) this.#latest = null;
    });
    return answer;
  }

  /** The mirror is gone for good. */
  async orphaned(): Promise<void> {
    await this.#latest?.answer;
    await this.log.orphaned?.();
  }

  /** The log is let go of when its last request has ended; one that waits is not answered. */
  async close(): Promise<void> {
    this.log.abandon?.();
    await this.#latest?.answer;
    await this.log.destroy();
  }
}

/** The same request, sent again; its number is another one. */
function isSame(one: UlogMessage, other: UlogMessage): boolean {
  return one.requestType === other.requestType && Buffer.compare(one.data, other.data) === 0;
}
