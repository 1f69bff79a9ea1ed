/**
 * etcd members as processes of their own, on free ports of the loopback: killed, stopped and
 * started again, gone with the test. They are asked over their JSON gateway, by nothing of ours.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { TestScope } from './test-scope.ts';
import { waitUntil } from './wait-until.ts';

const ANSWER_MS_MAX = 1000;

interface MemberStatus {
  readonly header: { readonly member_id: string };
  readonly leader?: string;
}

export class EtcdMember {
  readonly url: string;
  readonly #healthUrl: string;
  readonly #args: readonly string[];
  #child: ChildProcess | null = null;

  constructor(url: string, healthUrl: string, args: readonly string[]) {
    this.url = url;
    this.#healthUrl = healthUrl;
    this.#args = args;
  }

  get isRunning(): boolean {
    const child = this.#child;
    return child !== null && child.exitCode === null && child.signalCode === null;
  }

  start(): void {
    this.#child = spawn('etcd', this.#args, { stdio: 'ignore' });
  }

  /** With -9; of no effect if it has ended. */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    const exit = once(this.#child!, 'exit');
    this.#child!.kill('SIGKILL');
    await exit;
  }

  /** It stands still until told to go on. */
  stop(): void {
    this.#child!.kill('SIGSTOP');
  }

  go(): void {
    this.#child!.kill('SIGCONT');
  }

  async isHealthy(): Promise<boolean> {
    try {
      const response = await fetch(`${this.#healthUrl}/health`, { signal: inTime() });
      return ((await response.json()) as { health?: unknown }).health === 'true';
    } catch {
      return false;
    }
  }

  /** Null where it does not answer, or refuses. */
  async ask<T>(path: string, question: object = {}): Promise<T | null> {
    try {
      const body = JSON.stringify(question);
      const response = await fetch(`${this.url}/v3/${path}`, {
        method: 'POST',
        body,
        signal: inTime(),
      });
      return response.ok ? ((await response.json()) as T) : null;
    } catch {
      return null;
    }
  }
}

export interface EtcdOptions {
  readonly members?: number;
  readonly args?: readonly string[];
  /** A folder of `scripts/make-certificates`: clients speak TLS, and have a certificate. */
  readonly certificates?: string;
}

function tlsArgs(certificates: string): string[] {
  const path = (name: string): string => join(certificates, name);
  return [
    ...['--cert-file', path('server-cert.pem'), '--key-file', path('server-key.pem')],
    ...['--client-cert-auth', '--trusted-ca-file', path('ca-cert.pem')],
  ];
}

/** A cluster of so many members, ready for clients. */
export async function startEtcd(
  scope: TestScope,
  directory: string,
  options: EtcdOptions = {},
): Promise<EtcdMember[]> {
  const { certificates } = options;
  const count = options.members ?? 1;
  const ports = await freePorts(count * 3);
  const urlOf = (port: number): string => `http://127.0.0.1:${port}`;
  const peers = ports.slice(count, 2 * count).map(urlOf);
  const cluster = peers.map((peer, index) => `m${index}=${peer}`).join(',');
  const members = peers.map((peer, index) => {
    const plain = urlOf(ports[index]!);
    const url = certificates === undefined ? plain : plain.replace('http:', 'https:');
    const health = urlOf(ports[2 * count + index]!);
    const member = new EtcdMember(url, health, [
      ...['--name', `m${index}`, '--data-dir', join(directory, `etcd${index}`)],
      ...['--listen-client-urls', url, '--advertise-client-urls', url],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', cluster, '--listen-metrics-urls', health],
      ...(certificates === undefined ? [] : tlsArgs(certificates)),
      ...(options.args ?? []),
    ]);
    scope.teardown(() => member.kill());
    member.start();
    return member;
  });
  for (const member of members) {
    await waitUntil(`etcd at ${member.url}`, () => member.isHealthy());
  }
  return members;
}

/** The member that the others follow; null while there is none. */
export async function leaderOf(members: readonly EtcdMember[]): Promise<EtcdMember | null> {
  for (const member of members) {
    const status = await member.ask<MemberStatus>('maintenance/status');
    if (status !== null && status.leader === status.header.member_id) return member;
  }
  return null;
}

function inTime(): AbortSignal {
  return AbortSignal.timeout(ANSWER_MS_MAX);
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
