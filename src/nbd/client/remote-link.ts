/**
 * The way to an export on another server: made once, and made again for a while when it is lost,
 * if that is wished. What answers then must be the same export with the same promises.
 *
 *     up --lost--> down --within the delay--> up
 *                       --later, or another export--> failed, for good
 */

import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { transmissionFlagNames } from '../constants.ts';
import type { TlsUpgrade } from '../tls.ts';
import type { Transport } from '../transport.ts';
import type { ClientRequest } from './client-request.ts';
import { ConnectionGroup } from './connection-group.ts';
import { NbdConnectionError } from './nbd-error.ts';
import type { ClientNegotiated, ReplyForm } from './negotiation.ts';

/** The first pause between two attempts, and the longest. */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1000;
/** How long a server may take to close after our goodbye. */
const GOODBYE_MS_MAX = 2000;
/** A request is given up at most one part of this many of its time late. */
const LOOKS_PER_TIMEOUT = 4;
/** Before a stop: two of these without any answer to what is asked, and nobody waits any more. */
const SILENCE_MS = 5000;

export interface RemoteLinkOptions {
  /** For messages. */
  readonly name: string;
  readonly connect: (onError: (error: Error) => void) => Transport;
  readonly tls: TlsUpgrade | null;
  readonly exportName: string;
  readonly form: ReplyForm;
  readonly contexts: readonly string[];
  readonly connections: number;
  readonly handshakeMsMax: number;
  /** How long to try again after a loss; 0: not at all. */
  readonly reconnectMs: number;
  /** How long a request may wait for its answer while the connection lives; 0: for ever. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RemoteLinkEvents {
  /** Lost; requests that were not answered never will be. `onUp` or `onFailed` follows. */
  onDown(unanswered: ClientRequest[]): void;
  /** There again. The same export, as far as anybody can tell; maybe another life of its server. */
  onUp(): void;
  /** Lost for good. */
  onFailed(reason: string): void;
}

export class RemoteLink {
  readonly #options: RemoteLinkOptions;
  readonly #negotiated: ClientNegotiated;
  #group: ConnectionGroup | null;
  #events: RemoteLinkEvents | null = null;
  #state: 'up' | 'down' | 'failed' | 'closed' = 'up';
  /** When there is no more use in trying; null while nothing is wrong. */
  #deadline: Timer | null = null;
  #retry: Timer | null = null;
  #silence: Timer | null = null;
  #timeout: Timer | null = null;
  #retryMs = RETRY_MS_MIN;
  #lastError = '';
  #downSince = 0;
  #mayWait = true;
  #onGroupClosed: (() => void) | null = null;

  private constructor(
    options: RemoteLinkOptions,
    group: ConnectionGroup,
    negotiated: ClientNegotiated,
  ) {
    this.#options = options;
    this.#group = group;
    this.#negotiated = negotiated;
  }

  /** @throws NbdConnectionError when nobody answers; NbdRefusal when the server does not want. */
  static open(options: RemoteLinkOptions): Promise<RemoteLink> {
    return new Promise((resolve, reject) => {
      let link: RemoteLink | null = null;
      const group: ConnectionGroup = new ConnectionGroup({
        ...options,
        onReady: (negotiated) => {
          link = new RemoteLink(options, group, negotiated);
          resolve(link);
        },
        onLost: (error, unanswered) => {
          if (link === null) reject(error);
          else link.#lost(error, unanswered);
        },
        onClosed: () => {
          if (link !== null) link.#closed(group);
        },
      });
    });
  }

  /** What the server has promised, whenever it is up. */
  get negotiated(): ClientNegotiated {
    return this.#negotiated;
  }

  get isUp(): boolean {
    return this.#state === 'up';
  }

  /** Once, before the first request. */
  listen(events: RemoteLinkEvents): void {
    this.#events = events;
    // It may have been lost since it was opened.
    if (this.#state === 'down') this.#goDown([]);
    else if (this.#state === 'up') this.#watchRequests(this.#group!);
  }

  /** Only while it is up. */
  submit(request: ClientRequest): void {
    this.#group!.submit(request);
  }

  /**
   * A server that lets one request wait for too long has failed. It is not connected to again: it
   * may still do late what it was asked (NBD protocol, 16.1).
   */
  #watchRequests(group: ConnectionGroup): void {
    const { timeoutMs, clock } = this.#options;
    if (timeoutMs === 0) return;
    const marks: (readonly number[])[] = [];
    const look = (): void => {
      const old = marks.length === LOOKS_PER_TIMEOUT ? marks.shift()! : [];
      if (group.hasUnanswered(old)) {
        this.fail(`Server has not answered a request within ${timeoutMs / 1000} s`);
        return;
      }
      marks.push(group.marks);
      this.#timeout = clock.after(timeoutMs / LOOKS_PER_TIMEOUT, look);
    };
    look();
  }

  /**
   * From now on a loss is final, also one that lasts, and so is a server that is there and answers
   * nothing: nobody will wait any more.
   */
  stopWaiting(): void {
    if (!this.#mayWait) return;
    this.#mayWait = false;
    if (this.#state === 'down') this.fail(`${this.#lastError}; nobody waits for it any more`);
    if (this.#state === 'up') this.#watchSilence(this.#group!, null);
  }

  /** `silentSince`: so many answers had come, and requests were waiting, one look ago. */
  #watchSilence(group: ConnectionGroup, silentSince: number | null): void {
    const { answers } = group;
    this.#silence = this.#options.clock.after(SILENCE_MS, () => {
      if (this.#state !== 'up') return;
      const isSilent = group.inFlight > 0 && group.answers === answers;
      if (isSilent && silentSince === answers) {
        this.fail('Server does not answer; nobody waits for it any more');
      } else this.#watchSilence(group, isSilent ? answers : null);
    });
  }

  /** All is as it was before the loss: the next one has its whole delay again. */
  settled(): void {
    this.#deadline?.cancel();
    this.#deadline = null;
    this.#retryMs = RETRY_MS_MIN;
    const seconds = ((this.#options.clock.now() - this.#downSince) / 1000).toFixed(1);
    this.#options.log.info(`connection to "${this.#options.name}" is back`, { seconds });
  }

  /** The server must not be used any more as it is: as if it had hung up. */
  lose(reason: string): void {
    this.#group?.lose(new NbdConnectionError(reason));
  }

  /** Gives up. */
  fail(reason: string): void {
    if (this.#state === 'failed' || this.#state === 'closed') return;
    this.#state = 'failed';
    this.#stopTimers();
    this.#options.log.error(`"${this.#options.name}" has failed: ${reason}`);
    const group = this.#group;
    this.#group = null;
    group?.destroy();
    this.#events?.onFailed(reason);
  }

  /** Says goodbye; ends when the server has closed, or has not for a while. */
  close(): Promise<void> {
    const group = this.#group;
    const isUp = this.#state === 'up';
    this.#state = 'closed';
    this.#stopTimers();
    if (group === null) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(GOODBYE_MS_MAX, () => group.destroy());
      this.#onGroupClosed = () => {
        timer.cancel();
        resolve();
      };
      if (isUp) group.disconnect();
      else group.destroy();
    });
  }

  #closed(group: ConnectionGroup): void {
    if (group === this.#group) this.#onGroupClosed?.();
  }

  #lost(error: NbdConnectionError, unanswered: ClientRequest[]): void {
    if (this.#state === 'failed') this.#events?.onDown(unanswered);
    if (this.#state === 'failed' || this.#state === 'closed') return;
    this.#lastError = error.message;
    this.#timeout?.cancel();
    this.#group = null;
    this.#state = 'down';
    if (this.#events !== null) this.#goDown(unanswered);
  }

  #goDown(unanswered: ClientRequest[]): void {
    const { name, reconnectMs, clock, log } = this.#options;
    this.#events!.onDown(unanswered);
    if (reconnectMs === 0 || !this.#mayWait) {
      this.fail(this.#lastError);
      return;
    }
    if (this.#deadline === null) {
      const seconds = reconnectMs / 1000;
      log.warn(`connection to "${name}" is lost: ${this.#lastError}`, { triesForSeconds: seconds });
      this.#downSince = clock.now();
      this.#deadline = clock.after(reconnectMs, () =>
        this.fail(`${this.#lastError}; no connection within ${seconds} s`),
      );
    }
    this.#tryLater();
  }

  #tryLater(): void {
    this.#retry = this.#options.clock.after(this.#retryMs, () => this.#try());
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MS_MAX);
  }

  #try(): void {
    if (this.#state !== 'down') return;
    let isReady = false;
    const group: ConnectionGroup = new ConnectionGroup({
      ...this.#options,
      onReady: (negotiated) => {
        isReady = true;
        this.#reconnected(negotiated);
      },
      onLost: (error, unanswered) => {
        if (isReady || this.#state !== 'down') {
          this.#lost(error, unanswered);
          return;
        }
        this.#group = null;
        this.#lastError = error.message;
        this.#tryLater();
      },
      onClosed: () => this.#closed(group),
    });
    this.#group = group;
  }

  #reconnected(negotiated: ClientNegotiated): void {
    const difference = differenceOf(this.#negotiated, negotiated);
    if (difference !== null) {
      this.fail(`the server is back with another export: ${difference}`);
      return;
    }
    this.#state = 'up';
    this.#watchRequests(this.#group!);
    this.#events!.onUp();
  }

  #stopTimers(): void {
    this.#deadline?.cancel();
    this.#retry?.cancel();
    this.#silence?.cancel();
    this.#timeout?.cancel();
  }
}

/** What is not as it was; null where nobody can tell the two apart. */
function differenceOf(before: ClientNegotiated, now: ClientNegotiated): string | null {
  if (now.size !== before.size) {
    return `its size is ${now.size} bytes, must be ${before.size} as before`;
  }
  if (now.transmissionFlags !== before.transmissionFlags) {
    const [flags, old] = [now, before].map((one) => transmissionFlagNames(one.transmissionFlags));
    return `its flags are ${flags}, must be ${old} as before`;
  }
  if (now.name !== before.name) {
    return `its name is "${now.name ?? ''}", must be "${before.name ?? ''}" as before`;
  }
  if (now.blockSizes.minimum !== before.blockSizes.minimum) {
    const { minimum } = now.blockSizes;
    return `its blocks have ${minimum} bytes, must have ${before.blockSizes.minimum} as before`;
  }
  return null;
}
