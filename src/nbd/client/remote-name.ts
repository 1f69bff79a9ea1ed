/**
 * A device on another NBD server, as it is named in a table or an option: an NBD URI with
 * parameters of ours.
 *
 *     nbd://host:10809/export
 *     nbd+unix:///export?socket=/run/nbd.sock&reconnect-delay=30&timeout=60
 *     nbds://host/export?tls-certificates=/etc/pki&connections=4
 */

import { UserError } from '../../base/failure.ts';
import { printable } from '../../base/printable.ts';
import type { ListenAddress } from '../transport.ts';
import { looksLikeUri, parseNbdUri, type UriTls } from '../uri.ts';

/** A day: whoever waits longer has another problem. */
const WAIT_SECONDS_MAX = 86_400;
const CONNECTIONS_MAX = 16;

export interface RemoteName {
  readonly address: ListenAddress;
  readonly exportName: string;
  readonly tls: UriTls | null;
  /** 0: a lost connection is the end. */
  readonly reconnectMs: number;
  /** 0: a request is waited for as long as its connection lives. */
  readonly timeoutMs: number;
  readonly connections: number;
}

/** True for a name that means a device on another server, be it well-formed or not. */
export function isRemoteName(name: string): boolean {
  return looksLikeUri(name);
}

/** @throws UserError saying what is wrong with it. */
export function parseRemoteName(name: string): RemoteName {
  const uri = parseNbdUri(name, ['reconnect-delay', 'timeout', 'connections']);
  const { address, exportName, tls, parameters } = uri;
  const whole = (parameter: string, usual: number, min: number, max: number): number => {
    const word = parameters.get(parameter);
    if (word === undefined) return usual;
    const value = /^[0-9]{1,9}$/.test(word) ? Number(word) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new UserError(
      'uri-invalid',
      `Cannot use NBD URI "${printable(name, 200)}": ${parameter} is "${printable(word)}", ` +
        `must be ${min} to ${max}`,
    );
  };
  return {
    address,
    exportName,
    tls,
    reconnectMs: 1000 * whole('reconnect-delay', 0, 0, WAIT_SECONDS_MAX),
    timeoutMs: 1000 * whole('timeout', 0, 0, WAIT_SECONDS_MAX),
    connections: whole('connections', 1, 1, CONNECTIONS_MAX),
  };
}

/** Equal for two names of one export, as far as names can tell. */
export function remoteIdentity({ address, exportName }: RemoteName): string {
  const place =
    address.kind === 'unix' ? address.path : `${address.host.toLowerCase()}:${address.port}`;
  return `nbd ${address.kind} ${place} ${exportName}`;
}
