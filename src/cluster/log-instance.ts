/**
 * One instance of a log in the server: its mirror's connection, whether it is resumed, and its
 * requests in the order in which they came.
 */

import { type Awaitable, isPromise } from '../base/awaitable.ts';
import { OK } from '../base/errno.ts';
import type { UlogMessage } from '../dirtylog/userspace/ulog-codec.ts';
import {
  encodeDeviceName,
  ULOG_CLEAR_REGION,
  ULOG_FLUSH,
  ULOG_GET_REGION_SIZE,
  ULOG_GET_RESYNC_WORK,
  ULOG_GET_SYNC_COUNT,
  ULOG_LEASE,
  ULOG_MARK_REGION,
  ULOG_STATUS_INFO,
  ULOG_STATUS_TABLE,
} from '../dirtylog/userspace/ulog-payloads.ts';
import { NO_ANSWER, type NoAnswer, type ServedLog } from './served-log.ts';

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
  /** Null: no request, but nothing may overtake it. */
  readonly message: UlogMessage | null;
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

/** Of what is known here, whatever marks wait to be stored. */
const QUESTIONS: ReadonlySet<number> = new Set([
  ULOG_GET_REGION_SIZE,
  ULOG_GET_SYNC_COUNT,
  ULOG_LEASE,
  ULOG_STATUS_INFO,
  ULOG_STATUS_TABLE,
]);
/** What changes no answer to them. */
const OVERTAKEN: ReadonlySet<number> = new Set([
  ...QUESTIONS,
  ULOG_CLEAR_REGION,
  ULOG_FLUSH,
  ULOG_GET_RESYNC_WORK,
  ULOG_MARK_REGION,
]);

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
  /** Not answered yet, and not to be overtaken. */
  #changing = 0;
  #lastSeq: number | null = null;
  #isClosing = false;
  #isResuming = false;

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

  /** Resumed, or about to be. */
  get isInUse(): boolean {
    return this.#isResuming || this.log.isLive;
  }

  /** From here on no other instance of the log may be resumed. Ends as the work does. */
  async resuming<T>(work: () => Awaitable<T>): Promise<T> {
    this.#isResuming = true;
    try {
      return await work();
    } finally {
      this.#isResuming = false;
    }
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

  /**
   * Carries it out when all that came before are done with: at once where they are. A question does
   * not wait for marks: whoever looks must see something, also while the store is away.
   */
  run(message: UlogMessage, carryOut: () => Awaitable<Given>): Awaitable<Given> {
    const latest = this.#latest;
    if (latest !== null && isSame(latest.message, message)) return latest.answer;
    const mayOvertake = latest !== null && this.#changing === 0;
    if (mayOvertake && QUESTIONS.has(message.requestType)) return carryOut();
    const inTurn = (): Awaitable<Given> => (this.#isClosing ? NO_ANSWER : carryOut());
    const answer = latest === null ? carryOut() : latest.answer.then(inTurn);
    if (!isPromise(answer)) return answer;
    this.#waitFor({ message, answer }, { isChange: !OVERTAKEN.has(message.requestType) });
    return answer;
  }

  /**
   * Its mirror has gone for good: what others wait for is left. In its turn, so that a mirror that
   * comes back all the same resumes a log that was left, and none that is about to be.
   */
  async orphaned(isStillGone: () => boolean): Promise<void> {
    const before = this.#latest?.answer ?? Promise.resolve();
    const left = before.then(async (): Promise<NoAnswer> => {
      if (isStillGone() && !this.#isClosing) await this.log.orphaned?.();
      return NO_ANSWER;
    });
    this.#waitFor({ message: null, answer: left }, { isChange: true });
    await left;
  }

  /** The log is let go of when its last request has ended; one that waits is not answered. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.log.abandon?.();
    await this.#latest?.answer;
    await this.log.destroy();
  }

  #waitFor(pending: Pending, { isChange }: { readonly isChange: boolean }): void {
    this.#latest = pending;
    if (isChange) this.#changing += 1;
    void pending.answer.finally(() => {
      if (isChange) this.#changing -= 1;
      if (this.#latest === pending) this.#latest = null;
    });
  }
}

/** The same request, sent again; its number is another one. */
function isSame(one: UlogMessage | null, other: UlogMessage): boolean {
  if (one === null) return false;
  return one.requestType === other.requestType && Buffer.compare(one.data, other.data) === 0;
}
