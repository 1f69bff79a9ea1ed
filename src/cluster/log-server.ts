/**
 * The log server: takes every request of the protocol (specification 10.4) from many mirrors, for
 * many logs, and knows who asked. Counterpart: `cmirrord`, or whatever else listens on the kernel's
 * connector.
 *
 * A log is known by its uuid, an instance of it by uuid and luid: a table that waits to go live has
 * the uuid of the one that is live. At most one instance of a uuid is resumed: two mirrors that
 * take one name for theirs would each believe the other's marks to be its own.
 *
 * The requests of an instance are carried out one after the other, in the order in which they came:
 * a mirror of ours sends several together. Only questions do not wait for marks to be stored. One
 * that is equal to the one before, which is not answered yet, is the same one, sent again after too
 * long a wait: both get the one answer. A mirror's numbers rise: what comes with an earlier one was
 * overtaken, and was answered, or will be asked again.
 */

import { assert } from '../base/assert.ts';
import { type Awaitable, isPromise } from '../base/awaitable.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { EALREADY, EBUSY, EINVAL, EPROTO, errnoName, OK } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import type { Logger } from '../base/log.ts';
import type { UlogMessage } from '../dirtylog/userspace/ulog-codec.ts';
import { ULOG_VERSION } from '../dirtylog/userspace/ulog-codec.ts';
import {
  decodeUlogRequest,
  ULOG_CTR,
  ULOG_DTR,
  type UlogRequest,
  ulogTypeName,
} from '../dirtylog/userspace/ulog-payloads.ts';
import { answerRequest, type ResumeAlone } from './answer-request.ts';
import {
  type Answer,
  type Given,
  type LogClient,
  LogInstance,
  refusal,
  success,
} from './log-instance.ts';
import { parseConstructor } from './parse-constructor.ts';
import { type LogDescription, type LogImplementation, NO_ANSWER } from './served-log.ts';

export interface LogServerOptions {
  readonly implementations: readonly LogImplementation[];
  readonly log: Logger;
  /** When a mirror that has gone does not come back any more. Absent: it may, at any time. */
  readonly orphans?: OrphanOptions;
}

export interface OrphanOptions {
  readonly clock: Clock;
  /** Of a log that others wait for. */
  readonly sharedAfterMs: number;
  /**
   * Of one that nobody else asks for. What it costs to keep it is a device that stays locked. What
   * it costs to forget it: a kernel's mirror whose bridge comes back later finds no log.
   */
  readonly localAfterMs: number;
}

/** What fits the type's eight bits. */
const REQUEST_TYPES = 256;

export class LogServer {
  readonly #options: LogServerOptions;
  /** By uuid and luid. */
  readonly #instances = new Map<string, LogInstance>();
  /** Being made: by the same key. */
  readonly #creations = new Map<string, { text: string; made: Promise<Answer> }>();
  readonly #open = new Set<LogClient>();
  /** By their type; refused ones too. */
  readonly #requestCounts: number[] = Array<number>(REQUEST_TYPES).fill(0);
  /** For each log whose mirror has gone, until it is given up. */
  readonly #patience = new Set<Timer>();
  #isStopping = false;

  constructor(options: LogServerOptions) {
    this.#options = options;
  }

  connected(client: LogClient): void {
    this.#open.add(client);
  }

  /** The mirror may come back, on another connection; its logs are kept for it, for a while. */
  disconnected(client: LogClient): void {
    this.#open.delete(client);
    for (const instance of this.#instances.values()) {
      if (instance.client === client) this.#keepForAWhile(instance);
    }
  }

  #keepForAWhile(instance: LogInstance): void {
    const { orphans } = this.#options;
    if (orphans === undefined || this.#isStopping) return;
    const { client, log } = instance;
    const { clock, sharedAfterMs, localAfterMs } = orphans;
    const afterMs = log.orphaned === undefined ? localAfterMs : sharedAfterMs;
    const timer = clock.after(afterMs, () => {
      this.#patience.delete(timer);
      if (instance.client === client) void this.#giveUp(instance);
    });
    this.#patience.add(timer);
  }

  /**
   * Forgets the instances of a log whose mirrors have gone, without waiting any longer. How many:
   * of what remains the mirror is there.
   */
  async forget(uuid: string): Promise<{ readonly forgotten: number; readonly kept: number }> {
    const named = [...this.#instances.values()].filter((instance) => instance.uuid === uuid);
    const gone = named.filter(({ client }) => !this.#open.has(client));
    await Promise.all(gone.map((instance) => this.#giveUp(instance)));
    const kept = named.filter((instance) => this.#instances.get(keyOf(instance)) === instance);
    return { forgotten: named.length - kept.length, kept: kept.length };
  }

  /** Its mirror has gone for good. One that comes back all the same begins anew. */
  async #giveUp(instance: LogInstance): Promise<void> {
    const isStillGone = (): boolean =>
      !this.#open.has(instance.client) && this.#instances.get(keyOf(instance)) === instance;
    await instance.orphaned(isStillGone);
    if (!isStillGone()) return;
    this.#instances.delete(keyOf(instance));
    const { uuid } = instance;
    this.#options.log.warn('log server: a log is forgotten: its mirror is gone', { uuid });
    await instance.close();
  }

  /** Takes one message. The reply comes when there is one, which may be before this returns. */
  handle(client: LogClient, message: UlogMessage): void {
    this.#requestCounts[message.requestType]! += 1;
    const request = decodeUlogRequest(message.requestType, message.data);
    if (request.problem !== null) {
      this.#warn('request refused', client, message, request.problem);
      this.#reply(client, message, refusal(EINVAL));
      return;
    }
    if (message.version < 1 || message.version > ULOG_VERSION) {
      const problem = `version is ${message.version}, must be 1 to ${ULOG_VERSION}`;
      this.#warn('request refused', client, message, problem);
      this.#reply(client, message, refusal(EPROTO));
      return;
    }
    const given = this.#carryOut(client, message, request.value);
    if (isPromise(given)) void given.then((late) => this.#answer(client, message, late));
    else this.#answer(client, message, given);
  }

  /** Requests since the start, by name, for figures. */
  get requestCounts(): Readonly<Record<string, number>> {
    const named = this.#requestCounts.map((count, type) => [ulogTypeName(type), count] as const);
    return Object.fromEntries(named.filter(([, count]) => count > 0));
  }

  /** The instances there are, the resumed ones first. */
  async list(): Promise<readonly InstanceDescription[]> {
    const listed: InstanceDescription[] = [];
    for (const instance of this.#instances.values()) {
      const { uuid, luid, state, client, log } = instance;
      const isConnected = this.#open.has(client);
      listed.push({ uuid, luid, state, isConnected, log: await log.describe() });
    }
    return listed.sort((a, b) => rank(a) - rank(b) || (a.uuid < b.uuid ? -1 : 1));
  }

  /** Answers nothing more, and lets go of every log; what is marked stays marked. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const timer of this.#patience) timer.cancel();
    this.#patience.clear();
    await Promise.all([...this.#creations.values()].map(({ made }) => made));
    await Promise.all([...this.#instances.values()].map((instance) => instance.close()));
    this.#instances.clear();
  }

  #carryOut(client: LogClient, message: UlogMessage, request: UlogRequest): Awaitable<Given> {
    if (this.#isStopping) return NO_ANSWER;
    if (request.type === ULOG_CTR) return this.#construct(client, message, request.text);
    const pending = this.#creations.size === 0 ? undefined : this.#creations.get(keyOf(message));
    if (pending === undefined) return this.#ofInstance(client, message, request);
    return pending.made.then(() => this.#ofInstance(client, message, request));
  }

  #ofInstance(client: LogClient, message: UlogMessage, request: UlogRequest): Awaitable<Given> {
    const key = keyOf(message);
    const instance = this.#instances.get(key);
    if (instance === undefined) {
      // Of a server that was started anew, or a repeated DTR: there is nothing left to release.
      return request.type === ULOG_DTR ? success() : refusal(EINVAL);
    }
    if (request.type === ULOG_DTR) {
      this.#instances.delete(key);
      return instance.close().then(() => success());
    }
    if (instance.client !== client) {
      if (this.#open.has(instance.client)) {
        this.#warn('request refused', client, message, `log is that of ${instance.client.name}`);
        return refusal(EBUSY);
      }
      return refusal(EINVAL);
    }
    if (!instance.isNext(message.seq)) return NO_ANSWER;
    const resumeAlone: ResumeAlone = (resume) => this.#resumeAlone(instance, resume);
    return instance.run(message, () => answerRequest({ instance, request }, resumeAlone));
  }

  async #resumeAlone<T>(instance: LogInstance, resume: () => Awaitable<T>): Promise<T | null> {
    for (;;) {
      const rival = [...this.#instances.values()].find(
        (other) => other !== instance && other.uuid === instance.uuid && other.isInUse,
      );
      // Nothing comes between this look and the word that it is in use.
      if (rival === undefined) return instance.resuming(resume);
      if (this.#open.has(rival.client)) return null;
      // Its mirror died without a word: what it had marked is as after a crash.
      this.#instances.delete(keyOf(rival));
      await rival.close();
    }
  }

  async #construct(client: LogClient, message: UlogMessage, text: string): Promise<Given> {
    const key = keyOf(message);
    const pending = this.#creations.get(key);
    if (pending !== undefined) return pending.text === text ? pending.made : refusal(EALREADY);
    const known = this.#instances.get(key);
    // Sent twice, and come when the log was in use already: it must not begin anew.
    if (known?.client === client && known.isOvertaken(message.seq)) return NO_ANSWER;
    if (known !== undefined && this.#isSameMirror(known, client, message, text)) {
      return this.#reattach(known, client, message, text);
    }
    this.#instances.delete(key);
    const made = this.#make(client, message, text, known ?? null);
    this.#creations.set(key, { text, made });
    try {
      return await made;
    } finally {
      this.#creations.delete(key);
    }
  }

  /**
   * A mirror that comes back sends its text with the NUL, a new one sends it without (specification
   * 10.3, 10.4). The numbers of a kernel are addresses: after a power cut another mirror may have
   * those of the one that died, and what that one had marked is to be copied.
   */
  #isSameMirror(known: LogInstance, client: LogClient, message: UlogMessage, text: string) {
    if (known.client !== client && this.#open.has(known.client)) return true;
    if (message.data.at(-1) === 0) return known.client === client || known.text === text;
    return known.text === text && known.state !== 'resumed';
  }

  /** `old`: of a mirror with the same numbers that is gone. */
  async #make(
    client: LogClient,
    message: UlogMessage,
    text: string,
    old: LogInstance | null,
  ): Promise<Answer> {
    const { uuid, luid } = message;
    await old?.close();
    for (const other of this.#instances.values()) {
      if (other.uuid !== uuid || !other.isInUse || other.client === client) continue;
      if (!this.#open.has(other.client)) continue;
      const problem = `log is in use by ${other.client.name}, must be of one mirror`;
      this.#warn('log refused', client, message, problem);
      return refusal(EBUSY);
    }
    try {
      const { implementation, targetSectors, args } = parseConstructor(
        uuid,
        text,
        this.#options.implementations,
      );
      const log = await implementation.create({ uuid, luid, targetSectors, args });
      const instance = new LogInstance({ uuid, luid, text, client, log });
      this.#instances.set(keyOf(message), instance);
      if (!this.#open.has(client)) this.#keepForAWhile(instance);
      return instance.constructed(message.version);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.#warn('log refused', client, message, error.message);
      return refusal(error.errno ?? EINVAL);
    }
  }

  /** The mirror lost its connection and found the way back; or it asks twice. */
  #reattach(instance: LogInstance, client: LogClient, message: UlogMessage, text: string): Answer {
    if (instance.client !== client && this.#open.has(instance.client)) {
      const problem = `log is that of ${instance.client.name}, must be of one mirror`;
      this.#warn('log refused', client, message, problem);
      return refusal(EBUSY);
    }
    if (instance.text !== text) {
      this.#warn('log refused', client, message, 'log is there with other arguments');
      return refusal(EALREADY);
    }
    instance.client = client;
    return instance.constructed(message.version);
  }

  #answer(client: LogClient, message: UlogMessage, given: Given): void {
    if (given !== NO_ANSWER) this.#reply(client, message, given);
  }

  #reply(client: LogClient, message: UlogMessage, { error, data }: Answer): void {
    assert(error === OK || data.length === 0, 'A refusal carries data');
    // Clients that have gone are asked for nothing and told nothing.
    if (!this.#open.has(client) || this.#isStopping) return;
    if (error !== OK) {
      this.#options.log.debug(`log server: ${ulogTypeName(message.requestType)} failed`, {
        uuid: message.uuid,
        result: errnoName(error),
      });
    }
    client.reply({ ...message, error: error === OK ? 0 : -error, data });
  }

  #warn(what: string, client: LogClient, message: UlogMessage, problem: string): void {
    this.#options.log.warn(`log server: ${what}: ${problem}`, {
      client: client.name,
      uuid: message.uuid,
      request: ulogTypeName(message.requestType),
    });
  }
}

export interface InstanceDescription {
  readonly uuid: string;
  readonly luid: bigint;
  readonly state: LogInstance['state'];
  /** Its mirror is there. */
  readonly isConnected: boolean;
  readonly log: LogDescription;
}

function keyOf({ uuid, luid }: { readonly uuid: string; readonly luid: bigint }): string {
  return `${luid}/${uuid}`;
}

function rank({ state }: InstanceDescription): number {
  return state === 'resumed' ? 0 : 1;
}
