/**
 * The engine on etcd, and the one file that imports its client, loaded where nodes share logs.
 *
 * The client's habit of repeating what failed is off: an answer that does not come in time is
 * `unknown`, and so is everything but what etcd surely refused (docs/decisions/).
 */

import type { Etcd3, ICompare, IOptions, IRequestOp, Watcher } from 'etcd3';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type {
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

export interface EtcdEngineOptions {
  /** `http://host:port`, any number of members. */
  readonly hosts: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  /** How long an answer may take. */
  readonly deadlineMs: number;
}

/**
 * gRPC codes with which etcd says that it did not do it: invalid, not found, precondition, out of
 * range. Not "exhausted": the transaction that finds the quota used up is carried out all the same.
 */
const REFUSALS: ReadonlySet<number> = new Set([3, 5, 9, 11]);

/** What etcd is asked for, and how it is told that it does not do it. */
const SERVICES = {
  read: 'etcd answers no questions',
  commit: 'etcd takes no transactions: marks are not stored, and writes wait',
  lease: 'etcd keeps no leases',
} as const;
type Service = keyof typeof SERVICES;

type Library = typeof import('etcd3');

export async function connectEtcd(options: EtcdEngineOptions): Promise<Engine> {
  const library = await import('etcd3');
  const { noop } = await import('cockatiel');
  const settings: IOptions = {
    hosts: [...options.hosts],
    dialTimeout: options.deadlineMs,
    faultHandling: { global: noop, host: () => noop },
    grpcOptions: {
      // Keepalives of the connection find a member that is gone without a word.
      'grpc.keepalive_time_ms': 2000,
      'grpc.keepalive_timeout_ms': 1000,
      // By default one that comes back is not looked for within two minutes.
      'grpc.initial_reconnect_backoff_ms': 200,
      'grpc.max_reconnect_backoff_ms': 1000,
      interceptors: [watchOnlyWithLeader],
    } as NonNullable<IOptions['grpcOptions']>,
  };
  return new EtcdEngine(new library.Etcd3(settings), library, options);
}

interface StartingCall {
  start(metadata: { set(name: string, value: string): void }, listener?: object): void;
}

/**
 * A member that is cut off from the others knows of no change, and says nothing: its watches stay.
 * Asked so, it ends them, and another member is found.
 */
function watchOnlyWithLeader<O extends { readonly method_definition: { readonly path: string } }>(
  options: O,
  nextCall: (options: O) => StartingCall,
): StartingCall {
  const call = nextCall(options);
  if (!options.method_definition.path.endsWith('/Watch')) return call;
  const start = call.start.bind(call);
  call.start = (metadata, listener) => {
    metadata.set('hasleader', 'true');
    start(metadata, listener);
  };
  return call;
}

class EtcdEngine implements Engine {
  readonly #client: Etcd3;
  readonly #library: Library;
  readonly #options: EtcdEngineOptions;
  readonly #problems = new Map<Service, string>();

  constructor(client: Etcd3, library: Library, options: EtcdEngineOptions) {
    this.#client = client;
    this.#library = library;
    this.#options = options;
  }

  get problem(): string | null {
    return this.#problems.values().next().value ?? null;
  }

  async read(prefix: string): Promise<Snapshot | null> {
    const range = this.#client.getAll().prefix(prefix).options(this.#deadline());
    const found = await this.#orNull('read', range.exec());
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
      const done = await this.#client.kv.txn({ compare, success, failure }, this.#deadline());
      this.#note('commit', null);
      if (done.succeeded) return { kind: 'done', revision: Number(done.header.revision) };
      return { kind: 'conflict', current: currentOf([...compares.keys()], done.responses) };
    } catch (error) {
      const reason = reasonOf(error);
      this.#note('commit', reason);
      return { kind: isRefusal(error) ? 'refused' : 'unknown', reason };
    }
  }

  watch(prefix: string, afterRevision: number, listener: WatchListener): Watch {
    let isClosed = false;
    const watcher: Watcher = this.#client
      .watch()
      .prefix(prefix)
      .startRevision(String(afterRevision + 1))
      .watcher();
    const close = (): void => {
      isClosed = true;
      // One that never came to be, or is gone already, has nothing to cancel.
      void watcher.cancel().catch(() => undefined);
    };
    // The client would go on by itself, but from where the last connection *began*: what it had not
    // delivered of before that would be missed.
    const lost = (error: unknown): void => {
      if (isClosed) return;
      this.#options.log.debug('etcd: a watch ended', { why: reasonOf(error) });
      close();
      listener.lost();
    };
    watcher.on('data', ({ header, events }) => {
      if (isClosed) return;
      const changes = new Map<string, Entry | null>();
      for (const { type, kv } of events) {
        const isPut = type === 'Put';
        const entry = isPut ? { value: kv.value, revision: Number(kv.mod_revision) } : null;
        changes.set(kv.key.toString(), entry);
      }
      listener.changed(changes, Number(header.revision));
    });
    watcher.on('disconnected', lost);
    watcher.on('error', lost);
    return { close };
  }

  async grant(lastsMs: number): Promise<string | null> {
    const seconds = Math.ceil(lastsMs / 1000);
    const granted = await this.#orNull(
      'lease',
      this.#client.leaseClient.leaseGrant({ TTL: seconds }, this.#deadline()),
    );
    return granted?.ID ?? null;
  }

  async keepAlive(lease: string): Promise<KeepAliveOutcome> {
    const { clock, deadlineMs } = this.#options;
    let stream: Awaited<ReturnType<Etcd3['leaseClient']['leaseKeepAlive']>>;
    try {
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
      stream.on('error', () => end('unknown'));
      stream.on('end', () => end('unknown'));
      stream.write({ ID: lease });
    });
    stream.end();
    return outcome;
  }

  async revoke(lease: string): Promise<void> {
    await this.#client.leaseClient
      .leaseRevoke({ ID: lease }, this.#deadline())
      .catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  /** gRPC counts deadlines by the time of day. */
  #deadline(): { deadline: number } {
    return { deadline: Date.now() + this.#options.deadlineMs };
  }

  /** Null where nobody answers: for what may be asked again. */
  async #orNull<T>(service: Service, answer: Promise<T>): Promise<T | null> {
    try {
      const given = await answer;
      this.#note(service, null);
      return given;
    } catch (error) {
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

/** What the comparisons found: one answer for each key, in order. */
function currentOf(keys: readonly string[], responses: readonly unknown[]): Changes {
  const current = new Map<string, Entry | null>();
  for (const [index, key] of keys.entries()) {
    const kv = (responses[index] as RangeResponse | undefined)?.response_range?.kvs?.[0];
    const entry = kv === undefined ? null : { value: kv.value, revision: Number(kv.mod_revision) };
    current.set(key, entry);
  }
  return current;
}

function isFull(reason: string): boolean {
  return reason.includes('space exceeded');
}

function isRefusal(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  const message = error instanceof Error ? error.message : '';
  return (typeof code === 'number' && REFUSALS.has(code)) || /lease not found/.test(message);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, 200) : 'unknown';
}
