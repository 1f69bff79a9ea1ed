/**
 * One log at its server: requests that outlive the server.
 *
 * A server that comes back knows nothing of its logs. So each new connection begins, for each log,
 * with CTR and, where the log is in use, RESUME; then every region that counts as marked is marked
 * again. Only then does a request go out that was waiting (specification 10.3; what is marked again
 * is a departure, docs/quirks.md: the kernel forgets the marks that a flush was about to follow).
 */

import { ESRCH, errnoName, type IoResult, OK } from '../../base/errno.ts';
import { ULOG_RECONNECT_MS } from '../../base/limits.ts';
import type { Region } from '../../base/units.ts';
import type { LogAnswer, LogChannel, LogIdentity } from './log-channel.ts';
import {
  type BareType,
  encodeUlogRequest,
  ULOG_CTR,
  ULOG_DEVICE_NAME_BYTES_MAX,
  type ULOG_DTR,
  ULOG_FLUSH,
  ULOG_MARK_REGION,
  type ULOG_POSTSUSPEND,
  ULOG_PRESUSPEND,
  ULOG_REGIONS_MAX,
  ULOG_RESUME,
  type UlogRequest,
  ulogTypeName,
} from './ulog-payloads.ts';

export interface LogSessionOptions {
  readonly channel: LogChannel;
  readonly uuid: string;
  /** `<target length> <type> <arguments>`. */
  readonly ctrText: string;
  /** What a server that starts anew must be told to be dirty. */
  readonly markedRegions: () => Iterable<Region>;
  /** Another server knows the log now; it may have regions to copy. */
  readonly onServerChanged: () => void;
}

/** The answer of a request: 0 or an errno, and the data where it is 0. */
export interface SessionAnswer {
  readonly result: IoResult;
  readonly data: Uint8Array;
  /** It had to wait, or was sent more than once: later requests may have overtaken it. */
  readonly isLate: boolean;
}

const NO_DATA = new Uint8Array(0);
export const NOBODY: SessionAnswer = { result: ESRCH, data: NO_DATA, isLate: false };

/**
 * - `known`: the server knows the log, and what is marked.
 * - `not-now`: it has gone again, or does not take the log; later it may.
 * - `refused`: it took the log and would not resume it.
 */
type Introduction = 'known' | 'not-now' | 'refused';

export class LogSession {
  readonly #channel: LogChannel;
  readonly #identity: LogIdentity;
  readonly #options: LogSessionOptions;
  /** The connection in which the server knows the log; 0: it does not. */
  #generation = 0;
  /** The log is in use: from RESUME to POSTSUSPEND. */
  #resumed = false;
  #introducing: Promise<Introduction> | null = null;
  #establishing: Promise<boolean> | null = null;

  constructor(options: LogSessionOptions) {
    this.#options = options;
    this.#channel = options.channel;
    this.#identity = { luid: options.channel.takeLuid(), uuid: options.uuid };
  }

  /** The first CTR, which is tried once. Its answer is the name of the log's device, or nothing. */
  async construct(): Promise<SessionAnswer> {
    const generation = await this.#channel.connect();
    if (generation === 0) return NOBODY;
    const request = { type: ULOG_CTR, text: this.#options.ctrText } as const;
    const answer = await this.#ask(request, ULOG_DEVICE_NAME_BYTES_MAX);
    if (answer.lost) return NOBODY;
    if (answer.result === OK) this.#generation = generation;
    return { ...answer, isLate: answer.again };
  }

  /**
   * A request that just fails where the server has gone or started anew: there is nothing to leave
   * then.
   */
  async leave(
    type: typeof ULOG_PRESUSPEND | typeof ULOG_POSTSUSPEND | typeof ULOG_DTR,
  ): Promise<IoResult> {
    await this.#introducing;
    if (type !== ULOG_PRESUSPEND) this.#resumed = false;
    if (!this.#isKnown) return ESRCH;
    const answer = await this.#ask({ type }, 0);
    return answer.lost ? ESRCH : answer.result;
  }

  /** RESUME; a server that started anew is told of the log first. ESRCH: there is none. */
  async resume(): Promise<IoResult> {
    await this.#introducing;
    this.#resumed = true;
    if (!this.#isKnown) {
      const outcome = await this.#introduce(await this.#channel.connect());
      return outcome === 'known' ? OK : ESRCH;
    }
    const answer = await this.#ask({ type: ULOG_RESUME }, 0);
    return answer.lost ? ESRCH : answer.result;
  }

  /** Waits for a server as long as it takes. ESRCH: there is one, and it would not resume. */
  async request(request: UlogRequest, roomBytes: number): Promise<SessionAnswer> {
    for (let isLate = false; ; isLate = true) {
      if (!this.#isKnown) {
        isLate = true;
        if (!(await this.#establish())) return NOBODY;
      }
      const answer = await this.#ask(request, roomBytes);
      if (!answer.lost) return { ...answer, isLate: isLate || answer.again };
    }
  }

  /** For a status: ESRCH where there is no server, for which the kernel waits. */
  async inquire(type: BareType, roomBytes: number): Promise<SessionAnswer> {
    if (!this.#isKnown) {
      const outcome = await this.#introduce(await this.#channel.connect());
      if (outcome !== 'known') return NOBODY;
    }
    const answer = await this.#ask({ type }, roomBytes);
    return answer.lost ? NOBODY : { ...answer, isLate: answer.again };
  }

  /** Ends as soon as a log waits for a server that is not there, which may be never. */
  deserted(): Promise<void> {
    return this.#channel.deserted();
  }

  /** Rises when the server may have forgotten what it was told. */
  get generation(): number {
    return this.#generation;
  }

  get #isKnown(): boolean {
    return this.#generation !== 0 && this.#generation === this.#channel.generation;
  }

  #establish(): Promise<boolean> {
    this.#establishing ??= this.#lookForServer().finally(() => {
      this.#establishing = null;
    });
    return this.#establishing;
  }

  async #lookForServer(): Promise<boolean> {
    const { log, address } = this.#channel;
    for (let tries = 0; ; tries++) {
      const outcome = await this.#introduce(await this.#channel.connect());
      if (outcome !== 'not-now') return outcome === 'known';
      const { uuid } = this.#identity;
      if (tries === 0) log.error(`Waiting for the log server at ${address}`, { uuid });
      await this.#channel.awaitServer(ULOG_RECONNECT_MS);
    }
  }

  /** Tells the server at the other end of this connection, once for all who want it told. */
  #introduce(generation: number): Promise<Introduction> {
    if (generation === 0) return Promise.resolve('not-now');
    if (this.#isKnown) return Promise.resolve('known');
    this.#introducing ??= this.#tellAll(generation).finally(() => {
      this.#introducing = null;
    });
    return this.#introducing;
  }

  async #tellAll(generation: number): Promise<Introduction> {
    // With its NUL this time, as the kernel has it.
    const text = `${this.#options.ctrText}\0`;
    const constructed = await this.#tell({ type: ULOG_CTR, text }, ULOG_DEVICE_NAME_BYTES_MAX);
    if (constructed !== 'known') return 'not-now';
    if (this.#resumed) {
      const resumed = await this.#tell({ type: ULOG_RESUME });
      if (resumed !== 'known') return resumed;
      const marked = await this.#markAgain();
      if (marked !== 'known') return marked;
    }
    this.#generation = generation;
    if (!this.#isKnown) return 'not-now';
    this.#options.onServerChanged();
    return 'known';
  }

  async #markAgain(): Promise<Introduction> {
    const regions = [...this.#options.markedRegions()];
    if (regions.length === 0) return 'known';
    for (let from = 0; from < regions.length; from += ULOG_REGIONS_MAX) {
      const group = regions.slice(from, from + ULOG_REGIONS_MAX);
      const marked = await this.#tell({ type: ULOG_MARK_REGION, regions: group });
      if (marked !== 'known') return marked;
    }
    return this.#tell({ type: ULOG_FLUSH, regions: [] });
  }

  async #tell(request: UlogRequest, roomBytes = 0): Promise<Introduction> {
    const answer = await this.#ask(request, roomBytes);
    if (answer.lost) return 'not-now';
    if (answer.result === OK) return 'known';
    this.#channel.log.error(`The log server refuses ${ulogTypeName(request.type)}`, {
      uuid: this.#identity.uuid,
      errno: errnoName(answer.result),
    });
    return 'refused';
  }

  #ask(request: UlogRequest, roomBytes: number): Promise<LogAnswer> {
    const data = encodeUlogRequest(request);
    const { type } = request;
    return this.#channel.ask({ log: this.#identity, type, data, roomBytes });
  }
}
