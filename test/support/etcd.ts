/** etcd members as processes of their own, on free ports of the loopback, gone with the test. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { waitUntil } from './wait-until.ts';

export interface EtcdMember {
  readonly url: string;
  readonly child: ChildProcess;
}

/** A cluster of so many members, ready for clients. */
export async function startEtcd(
  t: Test,
  directory: string,
  options: { readonly members?: number; readonly args?: readonly string[] } = {},
): Promise<EtcdMember[]> {
  const count = options.members ?? 1;
  const ports = await freePorts(count * 2);
  const urlOf = (port: number): string => `http://127.0.0.1:${port}`;
  const peers = ports.slice(count).map(urlOf);
  const cluster = peers.map((peer, index) => `m${index}=${peer}`).join(',');
  const members = peers.map((peer, index) => {
    const url = urlOf(ports[index]!);
    const args = [
      ...['--name', `m${index}`, '--data-dir', join(directory, `etcd${index}`)],
      ...['--listen-client-urls', url, '--advertise-client-urls', url],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', cluster, ...(options.args ?? [])],
    ];
    const child = spawn('etcd', args, { stdio: 'ignore' });
    t.teardown(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    return { url, child };
  });
  for (const { url } of members) await waitUntil(`etcd at ${url}`, () => isHealthy(url));
  return members;
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`);
    return ((await response.json()) as { health?: unknown }).health === 'true';
  } catch {
    return false;
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
