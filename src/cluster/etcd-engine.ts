/**
 * The engine on etcd. It, `etcd-login.ts` and `etcd-watch.ts` are all that knows the client, which
 * is loaded where nodes share logs.
 *
 * The client's habit of repeating what failed is off: an answer that does not come in time is
 * `unknown`, and so is everything but what etcd surely refused (docs/decisions/).
 */

import type { Etcd3, ICompare, IOptions, IRequestOp } from 'etcd3';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type {
  Absence,
  Changes,
  CommitOutcome,
  Engine,
  Entry,
  KeepAliveOutcome,
  Snapshot,
  Transaction,
  Watch,
  WatchListener,
} from './engine.ts';
import { EtcdLogin, type EtcdUser } from './etcd-login.ts';
import { watchEtcd } from './etcd-watch.ts';

/** PEM. */
export interface EtcdCertificates {
  /** Who may have signed that of etcd. */
  readonly authority: Buffer;
  /** Of this node, where etcd asks for one. */
  readonly own: { readonly certificate: Buffer; readonly key: Buffer } | null;
}

export interface EtcdEngineOptions {
  /** `http://host:port` or `https://host:port`, any number of members. */
  readonly hosts: readonly string[];
  /** For `https`; absent or null without. */
  readonly certificates?: EtcdCertificates | null;
  readonly user?: EtcdUser | null;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long an answer may take. */
  readonly deadlineMs: number;
}

/**
 * gRPC codes with which etcd says that it did not do it: invalid, not found, not permitted,
 * precondition, out of range, not authenticated. Not "exhausted": the transaction that finds the
 * quota used up is carried out all the same. The client leaves them in the text alone.
 */
const REFUSAL = /^(3|5|7|9|11|16) [A-Z_]+:|lease not found/;

/** What etcd is asked for, and how it is told that it does not do it. */
const SERVICES = {
  read: 'etcd answers no questions',
  commit: 'etcd takes no transactions: marks are not stored, and writes wait',
  lease: 'etcd keeps no leases',
} as const;
type Service = keyof typeof SERVICES;

type Library = typeof import('etcd3');

/** @throws UserError where etcd does not know the user, or has another password. */
export async function connectEtcd(options: EtcdEngineOptions): Promise<Engine> {
  const library = await import('etcd3');
  const { noop } = await import('cockatiel');
  const { hosts, user = null, certificates = null, deadlineMs } = options;
  const login = user === null ? null : new EtcdLogin(user, () => deadlineIn(deadlineMs));
  const settings: IOptions = {
    hosts: [...hosts],
    ...(certificates === null ? {} : { credentials: credentialsOf(certificates) }),
    dialTimeout: deadlineMs,
    faultHandling: { global: noop, host: () => noop },
    grpcOptions: {
      // Keepalives of the connection find a member that is gone without a word.
      'grpc.keepalive_time_ms': 2000,
      'grpc.keepalive_timeout_ms': 1000,
      // By default one that comes back is not looked for within two minutes.
      'grpc.initial_reconnect_backoff_ms': 200,
      'grpc.max_reconnect_backoff_ms': 1000,
      // All of a log comes in one answer: the bits of each node.
      'grpc.max_receive_message_length': -1,
      interceptors: [addMetadata(login)],
    } as NonNullable<IOptions['grpcOptions']>,
  };
  const client = new library.Etcd3(settings);
  await login?.enter(client);
  return new EtcdEngine(client, library, login, options);
}

function credentialsOf({ authority, own }: EtcdCertificates): NonNullable<IOptions['credentials']> {
  if (own === null) return { rootCertificate: authority };
  return { rootCertificate: authority, certChain: own.certificate, privateKey: own.key };
}

/** gRPC counts deadlines by the time of day. */
function deadlineIn(ms: number): { deadline: number } {
  return { deadline: Date.now() + ms };
}

interface StartingCall {
  start(metadata: { set(name: string, value: string): void }, listener?: object): void;
}

/**
 * With each call goes the token. A member that is cut off from the others knows of no change, and
 * says nothing: its watches stay. Asked for a leader it ends them, and another member is found.
 */
function addMetadata(login: EtcdLogin | null) {
  return <O extends { readonly method_definition: { readonly path: string } }>(
    options: O,
    nextCall: (options: O) => StartingCall,
  ): StartingCall => {
    const call = nextCall(options);
    const start = call.start.bind(call);
    call.start = (metadata, listener) => {
      if (options.method_definition.path.endsWith('/Watch')) metadata.set('hasleader', 'true');
      const token = login?.token ?? null;
      if (token !== null) metadata.set('token', token);
      start(metadata, listener);
    };
    return call;
  };
}

class EtcdEngine implements Engine {
  readonly #client: Etcd3;
  readonly #library: Library;
  readonly #login: EtcdLogin | null;
  readonly #options: EtcdEngineOptions;
  readonly #problems = new Map<Service, string>();

  constructor(
    client: Etcd3,
    library: Library,
    login: EtcdLogin | null,
    options: EtcdEngineOptions,
  ) {
    this.#client = client;
    this.#library = library;
    this.#login = login;
    this.#options = options;
  }

  get problem(): string | null {
    return this.#problems.values().next().value ?? null;
  }

  async read(prefix: string): Promise<Snapshot | null> {
    const found = await this.#orNull('read', () =>
      this.#client.getAll().prefix(prefix).options(this.#deadline()).exec(),
    );
    if (found === null) return null;
    const entries = new Map<string, Entry>();
    for (const kv of found.kvs) {
      entries.set(kv.key.toString(), { value: kv.value, revision: Number(kv.mod_revision) });
    }
    return { revision: Number(found.header.revision), entries };
  }

  async commit({ compares, puts, deletes }: Transaction): Promise<CommitOutcome> {
    const { CompareResult, CompareTarget } = this.#library;
    const compare: ICompare[] = [...compares].map(([key, revision]) => ({
      key: Buffer.from(key),
      target: CompareTarget.Mod,
      result: CompareResult.Equal,
      mod_revision: revision,
    }));
    const success: IRequestOp[] = [
      ...puts.map(({ key, value, lease }) => ({
        request_put: {
          key: Buffer.from(key),
          value: Buffer.from(value),
          ...(lease === undefined ? {} : { lease }),
        },
      })),
      ...deletes.map((key) => ({ request_delete_range: { key: Buffer.from(key) } })),
    ];
    const failure: IRequestOp[] = [...compares.keys()].map((key) => ({
      request_range: { key: Buffer.from(key) },
    }));
    try {
      await this.#login?.ready(this.#client);
      const done = await this.#client.kv.txn({ compare, success, failure }, this.#deadline());
      this.#note('commit', null);
      const revision = Number(done.header.revision);
      if (done.succeeded) return { kind: 'done', revision };
      return {
        kind: 'conflict',
        current: currentOf([...compares.keys()], done.responses, revision),
      };
    } catch (error) {
      const reason = reasonOf(error);
      this.#login?.heard(error);
      this.#note('commit', reason);
      return { kind: REFUSAL.test(reason) ? 'refused' : 'unknown', reason };
    }
  }

  watch(prefix: string, afterRevision: number, listener: WatchListener): Watch {
    return watchEtcd({
      open: async () => {
        await this.#login?.ready(this.#client);
        return this.#client.watchClient.watch();
      },
      range: this.#library.Range.prefix(prefix),
      afterRevision,
      listener,
      onEnd: (error) => {
        this.#login?.heard(error);
        this.#options.log.debug('etcd: a watch ended', { why: reasonOf(error) });
      },
    });
  }

  async grant(lastsMs: number): Promise<string | null> {
    const seconds = Math.ceil(lastsMs / 1000);
    const granted = await this.#orNull('lease', () =>
      this.#client.leaseClient.leaseGrant({ TTL: seconds }, this.#deadline()),
    );
    return granted?.ID ?? null;
  }

  async keepAlive(lease: string): Promise<KeepAliveOutcome> {
    const { clock, deadlineMs } = this.#options;
    let stream: Awaited<ReturnType<Etcd3['leaseClient']['leaseKeepAlive']>>;
    try {
      await this.#login?.ready(this.#client);
      stream = await this.#client.leaseClient.leaseKeepAlive(this.#deadline());
    } catch {
      return 'unknown';
    }
    const outcome = await new Promise<KeepAliveOutcome>((resolve) => {
      const timer = clock.after(deadlineMs, () => resolve('unknown'));
      const end = (result: KeepAliveOutcome): void => {
        timer.cancel();
        resolve(result);
      };
      stream.on('data', ({ TTL }) => end(Number(TTL) > 0 ? 'alive' : 'gone'));
      stream.on('error', (error) => {
        this.#login?.heard(error);
        end('unknown');
      });
      stream.on('end', () => end('unknown'));
      stream.write({ ID: lease });
    });
    stream.end();
    return outcome;
  }

  async revoke(lease: string): Promise<void> {
    try {
      await this.#login?.ready(this.#client);
      await this.#client.leaseClient.leaseRevoke({ ID: lease }, this.#deadline());
    } catch (error) {
      this.#login?.heard(error);
    }
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #deadline(): { deadline: number } {
    return deadlineIn(this.#options.deadlineMs);
  }

  /** Null where nobody answers: for what may be asked again. */
  async #orNull<T>(service: Service, ask: () => Promise<T>): Promise<T | null> {
    try {
      await this.#login?.ready(this.#client);
      const given = await ask();
      this.#note(service, null);
      return given;
    } catch (error) {
      this.#login?.heard(error);
      this.#note(service, reasonOf(error));
      return null;
    }
  }

  /** Said when it begins, when an alarm turns out to be the reason, and when it ends. */
  #note(service: Service, reason: string | null): void {
    const { log } = this.#options;
    const before = this.#problems.get(service) ?? null;
    if (reason === null) {
      this.#problems.delete(service);
      if (before !== null) log.warn(`${SERVICES[service].split(':')[0]}: over`);
      return;
    }
    this.#problems.set(service, reason);
    const isNews = before === null || (isFull(reason) && !isFull(before));
    if (isNews) log.error(SERVICES[service], { why: reason });
  }
}

interface RangeResponse {
  readonly response_range?: {
    readonly kvs?: readonly { readonly value: Buffer; readonly mod_revision: string }[];
  };
}

/** What the comparisons found, as of this revision: one answer for each key, in order. */
function currentOf(
  keys: readonly string[],
  responses: readonly unknown[],
  revision: number,
): Changes {
  const current = new Map<string, Entry | Absence>();
  for (const [index, key] of keys.entries()) {
    const kv = (responses[index] as RangeResponse | undefined)?.response_range?.kvs?.[0];
    if (kv === undefined) current.set(key, { value: null, revision });
    else current.set(key, { value: kv.value, revision: Number(kv.mod_revision) });
  }
  return current;
}

function isFull(reason: string): boolean {
  return reason.includes('space exceeded');
}

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : 'unknown';
  return message.replace(/\.? Resolution note: *$/, '').slice(0, 200);
}
