/** `--run`: a command that lives with the server, finds it by its environment, and ends it. */

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { ListenAddress } from '../nbd/transport.ts';
import { uriOf } from './attach-commands.ts';
import type { TlsSettings } from './tls/tls-settings.ts';

export interface Captive {
  /** The exit status a shell would tell: 128 and the signal's number for one that was killed. */
  readonly ended: Promise<number>;
  stop(signal: NodeJS.Signals): void;
}

export function startCaptive(
  command: string,
  address: ListenAddress,
  exportName: string,
  tls: TlsSettings,
): Captive {
  const child = spawn('/bin/sh', ['-c', command], {
    stdio: 'inherit',
    env: { ...process.env, ...captiveEnvironment(address, exportName, tls) },
  });
  return {
    ended: new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (status, signal) => {
        resolve(status ?? 128 + (constants.signals[signal!] ?? 0));
      });
    }),
    stop: (signal) => void child.kill(signal),
  };
}

/** The names are nbdkit's, so that scripts for it work here. */
function captiveEnvironment(
  address: ListenAddress,
  exportName: string,
  { policy, forClients }: TlsSettings,
): Record<string, string> {
  const isUnix = address.kind === 'unix';
  return {
    // Without credentials, where they are not needed.
    uri: uriOf(address, exportName, policy.mode === 'require' ? forClients : null),
    exportname: exportName,
    unixsocket: isUnix ? address.path : '',
    port: isUnix ? '' : `${address.port}`,
    // What qemu took before it knew URIs.
    nbd: isUnix ? `nbd:unix:${address.path}` : `nbd:localhost:${address.port}`,
    tls: { off: '', on: '1', require: '2' }[policy.mode],
  };
}
